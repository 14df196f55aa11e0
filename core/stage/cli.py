"""Run a stage's main function and turn its failures into messages and exit codes."""

import argparse
import errno
import json
import signal
import sys
from typing import Any, Callable, Dict, List, Optional

from core.errors import UserError
from core.stage.executor_output import ExecutorOutput

EXIT_USER_ERROR = 2
EXIT_DISK_FULL = 3
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


def stage_parser(stage: str, description: str) -> argparse.ArgumentParser:
    """Return an argument parser with the option that every stage takes."""
    parser = argparse.ArgumentParser(prog=stage, description=description,
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--executor-input", metavar="JSON", default=None,
                        help="KFP's ExecutorInput, passed by the pipeline; leave it out by hand")
    return parser


def json_object(text: str) -> Dict[str, Any]:
    """argparse type for a parameter that travels as a JSON object."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON ({error}); pass an object such as '{{}}'") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON object; pass one such as '{{}}'")
    return value


def run_stage(parser: argparse.ArgumentParser, work: Callable[[argparse.Namespace, ExecutorOutput], None],
              argv: Optional[List[str]] = None) -> int:
    """Parse ``argv``, do the stage's work, write its executor output and return the exit code.

    Failures a user can cause end as one paragraph on standard error; a fault of ours keeps its traceback.
    """
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        output = ExecutorOutput(arguments.executor_input)
        work(arguments, output)
        output.write()
    except UserError as error:
        return _fail(parser.prog, str(error), EXIT_USER_ERROR)
    except KeyboardInterrupt:
        return _fail(parser.prog, "interrupted. Finished stages are kept; start again to go on from here.",
                     EXIT_INTERRUPTED)
    except Terminated:
        return _fail(parser.prog, "terminated by SIGTERM. Finished stages are kept; start again to go on from here.",
                     EXIT_TERMINATED)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _fail(parser.prog, f"disk full: {error.filename or error}. The stage needs room for its outputs. "
                         "Free some space or choose another --work-dir, then start again.", EXIT_DISK_FULL)
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return _fail(parser.prog, f"no permission: {error.filename or error}. The stage must read its inputs and "
                         "write its outputs. Change the rights or choose another folder.", EXIT_USER_ERROR)
        raise
    return 0


class Terminated(BaseException):
    """SIGTERM arrived; not an Exception, so that only the outermost handler meets it."""


def _raise_terminated(signum: int, frame: Any) -> None:
    raise Terminated()


def _fail(stage: str, message: str, code: int) -> int:
    print(f"{stage}: {message}", file=sys.stderr, flush=True)
    return code
