"""Create or update the project's environments from their locks; any Python from 3.8 on runs this.

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
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from core.base.errors import UserError  # noqa: E402
from scripts.environments import ENVIRONMENTS  # noqa: E402
from scripts.installation import Installation  # noqa: E402
from scripts.progress import HEARTBEAT_SECONDS  # noqa: E402

EXIT_STALE, EXIT_USER_ERROR, EXIT_DISK_FULL, EXIT_INTERRUPTED = 1, 2, 3, 130
LOCK = ".set-up.lock"
VARIABLES = """environment variables:
  MMDET_COMPRESS_ENVS  folder of the environments; the pipeline obeys it too
  PYTHON38, PYTHON311  interpreters to create the environments from
  MMCV_WHEEL_INDEX     folder or page of prebuilt mmcv-full wheels; spares the build, their hash is not checked
  MAX_JOBS             compilers at a time (default: one a core)"""


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="setup", description=__doc__, epilog=VARIABLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", choices=[*ENVIRONMENTS, "all"], default="all", help="which environment (default: all)")
    parser.add_argument("--envs", metavar="DIR", type=Path,
                        default=Path(os.environ.get("MMDET_COMPRESS_ENVS") or ROOT / ".envs"),
                        help="folder of the environments (default: $MMDET_COMPRESS_ENVS, else .envs of this clone)")
    parser.add_argument("--without-nncf", action="store_true", help="train environment for plain training only")
    parser.add_argument("--check", action="store_true",
                        help=f"only tell whether all is up to date; exit code {EXIT_STALE} where not")
    return parser


@contextmanager
def sole_setup(envs: Path) -> Iterator[int]:
    """Wait until no other set-up works in ``envs``, then hold its lock; yields the lock's descriptor."""
    with (envs / LOCK).open("a+") as lock:
        told = float("-inf")
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() - told >= HEARTBEAT_SECONDS:
                    told = time.monotonic()
                    lock.seek(0)
                    print(f"setup: waiting for another set-up in {envs} (process {lock.read().strip()})", flush=True)
                time.sleep(0.5)
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield lock.fileno()


def set_up(installations: list[Installation], envs: Path) -> None:
    """Complete every installation that is not up to date; checks all before it starts with one."""
    if any(installation.stale() for installation in installations):
        envs.mkdir(parents=True, exist_ok=True)
        with sole_setup(envs) as lock:
            needed = [(installation, installation.preflight()) for installation in installations
                      if installation.stale()]
            for installation, base in needed:
                installation.complete(base, lock)
    print(f"setup: {', '.join(each.environment.name for each in installations)} up to date in {envs}")


def check(installations: list[Installation]) -> int:
    """Print each installation's state; return the exit code."""
    states = {installation.environment.name: installation.stale() for installation in installations}
    for name, stale in states.items():
        print(f"setup: {name}: {stale or 'up to date'}")
    return EXIT_STALE if any(states.values()) else 0


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    arguments = parser().parse_args(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    envs = arguments.envs.absolute()
    names = list(ENVIRONMENTS) if arguments.env == "all" else [arguments.env]
    installations = [Installation(ENVIRONMENTS[name], envs, not arguments.without_nncf, dict(os.environ))
                     for name in names]
    try:
        if arguments.check:
            return check(installations)
        set_up(installations, envs)
    except UserError as error:
        return _fail(str(error), EXIT_USER_ERROR)
    except KeyboardInterrupt:
        return _fail("interrupted. Start it again to go on from here.", EXIT_INTERRUPTED)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _fail(f"disk full: {error.filename or envs}. Free some space or name a folder on another disk with "
                         "--envs, then start again.", EXIT_DISK_FULL)
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            return _fail(f"cannot write {error.filename or envs} ({error.strerror}). Name a folder of your own with "
                         "--envs, or change the rights.", EXIT_USER_ERROR)
        raise
    return 0


def _interrupt(signum: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _fail(message: str, code: int) -> int:
    print(f"setup: {message}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
