"""Run a stage's main function and turn its failures into messages and exit codes."""

import argparse
import errno
import math
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.base.errors import StateSaved, Terminated, UserError
from core.base.executor_input import ONLY_CANDIDATE
from core.base.executor_output import ExecutorOutput
from core.base.exit_codes import (
    EXIT_DISK_FULL,
    EXIT_INTERRUPTED,
    EXIT_STATE_SAVED,
    EXIT_TERMINATED,
    EXIT_USER_ERROR,
)
from core.base.files import FULL_DISK
from core.base.json_file import json_value
from core.base.supervision import raise_once
from core.base.text import bounded_repr, shown


def stage_parser(stage: str, description: str) -> argparse.ArgumentParser:
    """Return an argument parser with the option that every stage takes."""
    parser = argparse.ArgumentParser(prog=stage, description=description,
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--executor-input", metavar="JSON", default=None,
                        help="KFP's ExecutorInput, passed by the pipeline; leave it out by hand")
    return parser


def json_object(text: str) -> dict[str, Any]:
    """argparse type for a parameter that travels as a JSON object; by hand also ``@FILE`` that holds one."""
    content = text
    if text.startswith("@"):
        try:
            content = Path(text[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise argparse.ArgumentTypeError(f"{bounded_repr(text[1:])} cannot be read ({shown(error)}); pass @FILE or "
                                             "the JSON itself") from error
    value = _json(content, "an object such as '{}'")
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{bounded_repr(text)} is not a JSON object; pass one such as '{{}}'")
    return value


def boolean(text: str) -> bool:
    """argparse type for a parameter that is true or false, in the capitals of KFP, JSON or Python."""
    values = {"true": True, "false": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"{bounded_repr(text)} is neither true nor false; pass one of them")
    return values[text.lower()]


def whole_number(text: str) -> int:
    """argparse type for how many there are of something."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{bounded_repr(text)} is not a whole number from 1 on")
    return int(text)


def share(text: str) -> float:
    """argparse type for a part of something, or a difference of two such."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found <= 1:
        raise argparse.ArgumentTypeError(f"{bounded_repr(text)} is not a number from 0 to 1")
    return found


def name_list(text: str) -> list[str]:
    """argparse type for a list of names: a JSON list as KFP passes it, or by hand names between commas."""
    if not text.lstrip().startswith("["):
        return [name.strip() for name in text.split(",") if name.strip()]
    names = _json(text, "a list such as '[]'")
    if not all(isinstance(name, str) for name in names):
        raise argparse.ArgumentTypeError(f"{bounded_repr(text)} holds something other than text; pass names, such as "
                                         "'[\"cat\"]'")
    return names


def json_list(text: str) -> list[Any]:
    """argparse type for a parameter that travels as a JSON list of anything."""
    return _json(text, "a list such as '[]'")


def named_path(text: str) -> tuple[str, Path]:
    """argparse type for a candidate's file or folder: NAME=PATH, or the path alone of the only candidate."""
    name, equals, path = text.partition("=")
    return (name, Path(path)) if equals and "/" not in name else (ONLY_CANDIDATE, Path(text))


def run_stage(parser: argparse.ArgumentParser,
              work: Callable[[argparse.Namespace, ExecutorOutput], int | None],
              argv: list[str] | None = None) -> int:
    """Parse ``argv``, do the stage's work, write its executor output and return the exit code.

    ``work`` may return an exit code of its own; None stands for success.
    """
    arguments = parser.parse_args(argv)

    def stage() -> int:
        output = ExecutorOutput(arguments.executor_input)
        code = work(arguments, output) or 0
        output.write()
        return code

    return run_guarded(parser.prog, stage)


def run_guarded(program: str, work: Callable[[], int]) -> int:
    """Return the exit code of ``work`` or of the failure that ended it.

    Failures a user can cause end as one paragraph on standard error; a fault of ours keeps its traceback.
    SIGTERM raises :class:`core.base.errors.Terminated` in ``work``.
    """
    before = signal.signal(signal.SIGTERM, raise_once(Terminated))
    try:
        return work()
    except UserError as error:
        return _fail(program, str(error), EXIT_USER_ERROR)
    except KeyboardInterrupt:
        return _fail(program, "interrupted. Finished stages are kept; start again to resume from here.",
                     EXIT_INTERRUPTED)
    except StateSaved as saved:
        return _fail(program, f"terminated by SIGTERM; {saved}. Start again to resume from there.", EXIT_STATE_SAVED)
    except Terminated:
        return _fail(program, "terminated by SIGTERM. Finished stages are kept; start again to resume from here.",
                     EXIT_TERMINATED)
    except OSError as error:
        if error.errno in FULL_DISK:
            return _fail(program, f"disk full: {error.filename or error}. The stage needs room for its outputs. "
                         "Free some space or choose another --work-dir, then start again.", EXIT_DISK_FULL)
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return _fail(program, f"no permission: {error.filename or error}. The stage must read its inputs and "
                         "write its outputs. Change the rights or choose another folder.", EXIT_USER_ERROR)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _fail(program: str, message: str, code: int) -> int:
    print(f"{program}: {message}", file=sys.stderr, flush=True)
    return code


def _json(text: str, example: str) -> Any:
    try:
        return json_value(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{bounded_repr(text)} is not JSON ({shown(error)}); pass {example}") from error
