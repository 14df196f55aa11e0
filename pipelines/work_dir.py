"""The folder of runs: one run at a time, each in a folder of its own, ``latest`` pointing at the last."""

import contextlib
import errno
import fcntl
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.base.errors import UserError

LATEST = "latest"
PIPELINE_ROOT = ".pipeline"
LOCK = "lock"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class WorkDir:
    """An open folder of runs.

    Attributes:
        path: The folder, absolute.
        lock: Descriptor of the file that is locked while anyone has it open.
    """

    path: Path
    lock: int

    @property
    def pipeline_root(self) -> Path:
        """Where stages write their artifacts, which later runs may take over."""
        return self.path / PIPELINE_ROOT

    @property
    def training_state(self) -> Path:
        """Where training keeps its state, so that an interrupted run resumes; below what containers see, too."""
        return self.pipeline_root / "training-state"

    def new_run(self, name: str) -> Path:
        """Create and return a run's folder ``<name>-<time>``; raise UserError where the name cannot be a folder's."""
        if not _NAME.fullmatch(name) or name == LATEST:
            raise UserError("--name", repr(name), "It becomes a folder's name, so it must be letters, digits, '.', "
                            "'_' and '-', begin with a letter or digit, and not be 'latest'.", "Choose such a name.")
        stem = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
        for run in [self.path / stem, *(self.path / f"{stem}-{number}" for number in range(2, 1000))]:
            try:
                run.mkdir()
            except FileExistsError:
                continue
            return run
        raise UserError("work dir", self.path, f"It holds a thousand runs named {stem}.", "Wait a second.")

    def point_latest_at(self, run: Path) -> None:
        """Make ``latest`` a link to ``run``, in one step; raise UserError where it is a folder."""
        link = self.path / f".{LATEST}.{os.getpid()}"
        link.unlink(missing_ok=True)
        link.symlink_to(run.name)
        try:
            os.replace(link, self.path / LATEST)
        except IsADirectoryError as error:
            link.unlink()
            raise UserError("work dir", self.path / LATEST, "It is a folder, but must be a link to the last run.",
                            f"Move it away. This run's results are in {run}.") from error


@contextlib.contextmanager
def open_work_dir(path: Path) -> Iterator[WorkDir]:
    """Create the folder where it is absent and hold it against other runs, with the stages that keep ``lock`` open.

    Raises:
        UserError: It cannot be written, or another run holds it.
    """
    folder = Path(os.path.abspath(path))
    with contextlib.ExitStack() as stack:
        with _writable(folder):
            (folder / PIPELINE_ROOT).mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(open(folder / PIPELINE_ROOT / LOCK, "a+"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise UserError("work dir", folder, f"Another run (process {lock.read().strip() or 'unknown'}) is "
                            "using it, and it serves one at a time.",
                            "Wait until that run has ended, or choose another --work-dir.") from error
        with _writable(folder):
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
        yield WorkDir(folder, lock.fileno())


@contextlib.contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError("work dir", path, f"It must be a folder that can be written ({error.strerror}).",
                        "Change its rights or choose another --work-dir.") from error
