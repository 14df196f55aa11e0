"""Create or update the project's environment from its locks; any Python from 3.11 on runs this.

A complete environment is stamped with the digest of its locks and costs a fraction of a second the next time. An
unfinished one is continued where it stopped, or made anew where its Python is broken. Interrupt it at any moment.
"""

import argparse
import errno
import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

if sys.version_info < (3, 11):  # noqa: UP036, an older one would end in what is imported below
    sys.exit(f"setup: this is Python {sys.version.split()[0]}. Start it with Python 3.11 or newer, or by make setup.")

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from core.base.errors import Terminated, UserError  # noqa: E402
from scripts.environment import FOLDER_VARIABLE  # noqa: E402
from scripts.installation import Installation  # noqa: E402
from scripts.progress import HEARTBEAT_SECONDS  # noqa: E402

EXIT_STALE, EXIT_USER_ERROR, EXIT_DISK_FULL, EXIT_INTERRUPTED, EXIT_TERMINATED = 1, 2, 3, 130, 143
VARIABLES = f"""environment variables:
  {FOLDER_VARIABLE}  folder of the environment; the pipeline obeys it too
  PYTHON311            interpreter to create the environment from
  MMCV_WHEEL_INDEX     folder or page of prebuilt mmcv-full wheels; spares the build, their hash is not checked
  TORCH_WHEEL_INDEX    folder or page of torch and torchvision wheels, such as those for CPUs alone, which spare the
                       CUDA libraries' 4 GB; their hashes are not checked
  FORCE_CUDA           1 compiles mmcv-full for GPUs, too; wants nvcc 12, and no mmcv-full in pip's cache
  MAX_JOBS             compilers at a time (default: one a core)"""


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="setup", description=__doc__, epilog=VARIABLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", metavar="DIR", type=Path,
                        default=Path(os.environ.get(FOLDER_VARIABLE) or ROOT / ".venv"),
                        help=f"the environment (default: ${FOLDER_VARIABLE}, else .venv of this clone)")
    parser.add_argument("--without-nncf", action="store_true", help="for plain training only")
    parser.add_argument("--check", action="store_true",
                        help=f"only report whether it is up to date; exit code {EXIT_STALE} where not")
    return parser


@contextmanager
def sole_setup(folder: Path) -> Iterator[int]:
    """Wait until no other set-up works on ``folder``, then hold its lock; yields the lock's descriptor."""
    with folder.with_name(f"{folder.name}.lock").open("a+") as lock:
        told = float("-inf")
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() - told >= HEARTBEAT_SECONDS:
                    told = time.monotonic()
                    lock.seek(0)
                    print(f"setup: waiting for another set-up of {folder} (process {lock.read().strip()})", flush=True)
                time.sleep(0.5)
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield lock.fileno()


def set_up(installation: Installation) -> None:
    """Complete the installation where it is not up to date."""
    if installation.stale():
        installation.folder.parent.mkdir(parents=True, exist_ok=True)
        with sole_setup(installation.folder) as lock:
            if installation.stale():
                installation.complete(installation.preflight(), lock)
    print(f"setup: {installation.folder} is up to date")


def check(installation: Installation) -> int:
    """Print the installation's state; return the exit code."""
    state = installation.stale()
    print(f"setup: {installation.folder}: {state or 'up to date'}")
    return EXIT_STALE if state else 0


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    arguments = parser().parse_args(argv)
    signal.signal(signal.SIGTERM, _terminate)
    folder = arguments.folder.absolute()
    installation = Installation(folder, not arguments.without_nncf, dict(os.environ))
    try:
        if arguments.check:
            return check(installation)
        set_up(installation)
    except UserError as error:
        return _fail(str(error), EXIT_USER_ERROR)
    except KeyboardInterrupt:
        return _fail("interrupted. Start it again to resume from here.", EXIT_INTERRUPTED)
    except Terminated:
        return _fail("terminated by SIGTERM. Start it again to resume from here.", EXIT_TERMINATED)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _fail(f"disk full: {error.filename or folder}. Free some space or name a folder on another disk "
                         "with --folder, then start again.", EXIT_DISK_FULL)
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            return _fail(f"cannot write {error.filename or folder} ({error.strerror}). Name a folder of your own with "
                         "--folder, or change the rights.", EXIT_USER_ERROR)
        raise
    return 0


def _terminate(signum: int, frame: Any) -> NoReturn:
    raise Terminated


def _fail(message: str, code: int) -> int:
    print(f"setup: {message}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
