"""Run one stage's command as a process of this machine, and end it with everything it started."""

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from core.base.supervision import SAVING_SECONDS, end_with_this_process, more_time

# A stage that trains may save its state; every other one of ours ends within core.base.supervision.GRACE_SECONDS.
GRACE_SECONDS = SAVING_SECONDS + 1.0


def run_process(argv: list[str], environment: dict[str, str], folder: Path, write_line: Callable[[str], None],
                held: Sequence[int] = ()) -> int:
    """Run ``argv`` in ``folder`` and return its exit code; standard output and error go to ``write_line``.

    The process leads a group of its own, so that a Ctrl-C in the terminal reaches only this program, which then
    ends the whole group: SIGTERM, and SIGKILL to what is left after ``GRACE_SECONDS``. Whatever else ends this
    program, SIGKILL too, ends the process.

    Args:
        argv: The command.
        environment: All its variables.
        folder: Its working folder.
        write_line: Takes each line of output.
        held: File descriptors that it keeps open, such as those of locks, for as long as it lives.
    """
    with more_time(GRACE_SECONDS + 1.0, signal.SIGTERM, signal.SIGINT):
        process = subprocess.Popen(argv, cwd=str(folder), env=environment, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8",
                                   errors="replace", bufsize=1, start_new_session=True, pass_fds=tuple(held),
                                   preexec_fn=end_with_this_process())
        try:
            for line in process.stdout:
                write_line(line.rstrip("\n"))
            return process.wait()
        finally:
            _end_group(process, write_line)


def _end_group(process: subprocess.Popen, write_line: Callable[[str], None]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            # Reading on lets a process that fills the pipe with its last words come to its end.
            last_words, _ = process.communicate(timeout=GRACE_SECONDS)
            for line in last_words.splitlines():
                write_line(line)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    process.stdout.close()
