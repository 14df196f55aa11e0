"""Run a command so that a signal ends it in bounded time, with the right exit code, and with all it has started.

Python runs a signal's handler between two bytecodes of the main thread, so none runs while native code works or waits;
and a process whose native threads still work may wait for the GIL for ever when the interpreter is finalised. So a
command is two processes: a *worker*, which runs it, and a *supervisor* without any work of its own, which started it.

1. SIGTERM or SIGINT reaches the supervisor, which passes it to the worker; or it reaches the worker, whose C-level
   handler tells the supervisor through a pipe. The worker raises Terminated or KeyboardInterrupt in its main thread.
2. The worker cleans up, says so and leaves by ``os._exit``, without finalisation.
3. A worker that is not gone after ``GRACE_SECONDS``, or what it asked for by :func:`more_time`, or at a second
   signal, is killed. The supervisor adopts all that the worker leaves behind, kills it too and returns the exit code.
4. A supervisor that is killed takes the worker with it, a worker its children (PR_SET_PDEATHSIG).
5. A supervisor that has no parent to die with, in a container, watches the file that ``LIFELINE_VARIABLE`` names: when
   nobody holds its lock any more, or somebody else does, it acts as if SIGTERM had come.

Where there is no fork (Windows), as for a bundle's runner, a command runs as it is.
"""

import contextlib
import ctypes
import functools
import mmap
import os
import select
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from core.base.errors import Terminated
from core.base.exit_codes import EXIT_INTERRUPTED, EXIT_STATE_SAVED, EXIT_TERMINATED, EXIT_UNREAD

GRACE_SECONDS = 3.0
"""What a worker has to end by itself after a signal."""

SAVING_SECONDS = 25.0
"""What it has while a training state must be saved: within the 30 s that Kubernetes gives a pod."""

LIFELINE_VARIABLE = "MMDET_COMPRESS_LIFELINE"
"""Names a file that the program which started this command holds locked (flock) as long as it lives."""

# timeout(1) of coreutils signals its child and then the child's whole group: both are one signal.
_REPEAT_SECONDS = 0.5
_SWEEP_SECONDS = 1.0
_LIFELINE_SECONDS = 1.0
_CODES = {signal.SIGTERM: EXIT_TERMINATED, signal.SIGINT: EXIT_INTERRUPTED}
_WORDS = {signal.SIGTERM: "terminated by SIGTERM", signal.SIGINT: "interrupted"}
# Of <linux/prctl.h>.
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def run_command(program: str, main: Callable[[], int]) -> int:
    """Run ``main`` in a worker process and return its exit code, there; the supervisor's process ends here.

    To be called once, at a process's start: ``sys.exit(run_command(PROGRAM, main))``.

    Args:
        program: The command's name, for messages.
        main: Returns the exit code.
    """
    if not hasattr(os, "fork"):
        return main()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    grace, own, workers = _Grace(), _Pipe(), _Pipe()
    # One that is ignored, as SIGINT is in a shell's background jobs, stays so.
    watched = [number for number in (*_CODES, signal.SIGTSTP) if signal.getsignal(number) != signal.SIG_IGN]
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    before = {number: signal.signal(number, _do_nothing) for number in (*watched, signal.SIGCHLD)}
    signal.set_wakeup_fd(own.write_end, warn_on_full_buffer=False)
    supervisor = os.getpid()
    worker = os.fork()
    if worker:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(workers.write_end)
        os._exit(_Supervisor(program, worker, grace, own, workers).watch())
    own.close()
    signal.set_wakeup_fd(workers.write_end, warn_on_full_buffer=False)
    _become_worker(supervisor, before, grace)
    return _work(program, main, mask)


@contextlib.contextmanager
def more_time(seconds: float, *signals: signal.Signals) -> Iterator[None]:
    """Ask, for as long as the block runs, that one of ``signals`` leaves this command ``seconds`` for its end."""
    before = {number: _grace.get(number) for number in signals} if _grace is not None else {}
    for number in before:
        _grace.set(number, seconds)
    try:
        yield
    finally:
        for number, value in before.items():
            _grace.set(number, value)


def end_with_this_process() -> Callable[[], None]:
    """Return a ``preexec_fn`` for subprocess with which a child is killed when this process ends, however it ends.

    The kernel counts the thread that starts the child as its parent (prctl(2)), so that thread must outlive it.
    """
    return functools.partial(_kill_with_parent, os.getpid())


def raise_once(error: type[BaseException]) -> Callable[[int, Any], None]:
    """Return a signal handler that raises ``error`` once: a second signal must not interrupt the clean-up."""
    def handle(number: int, frame: Any) -> None:
        signal.signal(number, _do_nothing)
        raise error()

    return handle


class _Grace:
    """Seconds that each signal leaves, in memory that supervisor and worker share."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8 * len(_CODES))
        for number in _CODES:
            self.set(number, GRACE_SECONDS)

    def get(self, number: int) -> float:
        return struct.unpack_from("d", self._memory, 8 * list(_CODES).index(number))[0]

    def set(self, number: int, seconds: float) -> None:
        struct.pack_into("d", self._memory, 8 * list(_CODES).index(number), seconds)


_grace: _Grace | None = None


class _Pipe:
    """A pipe through which C-level signal handlers write signal numbers, a byte each (signal.set_wakeup_fd)."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        for end in (self.read_end, self.write_end):
            os.set_blocking(end, False)

    def close(self) -> None:
        os.close(self.read_end)
        os.close(self.write_end)


class _Supervisor:
    def __init__(self, program: str, worker: int, grace: _Grace, own: _Pipe, workers: _Pipe) -> None:
        self._program, self._worker, self._grace = program, worker, grace
        self._own, self._workers = own.read_end, workers.read_end
        self._pipes = [self._own, self._workers]
        lifeline = os.environ.get(LIFELINE_VARIABLE)
        self._lifeline = _Lifeline(lifeline) if lifeline else None
        self._first: int | None = None
        self._first_at = self._deadline = 0.0
        # The worker does the same: whoever comes first.
        with contextlib.suppress(OSError):
            os.setpgid(worker, worker)
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)

    def watch(self) -> int:
        """Wait for the worker's end and return the command's exit code."""
        while True:
            wait = None if self._lifeline is None else _LIFELINE_SECONDS
            if self._first is not None:
                wait = max(0.0, self._deadline - time.monotonic())
            ready, _, _ = select.select(self._pipes, [], [], wait)
            second = any([self._take(pipe) for pipe in ready])
            if self._first is None and self._lifeline is not None and self._lifeline.broken():
                self._begin(signal.SIGTERM)
            if os.waitid(os.P_PID, self._worker, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return self._end()
            if second:
                return self._kill("was killed at the second signal")
            if self._first is not None and time.monotonic() >= self._deadline:
                seconds = self._deadline - self._first_at
                return self._kill(f"did not end within {seconds:g} s and was killed")

    def _begin(self, number: int, pass_on: bool = True) -> None:
        """Start ending the worker by a signal."""
        self._first, self._first_at = number, time.monotonic()
        self._deadline = self._first_at + self._grace.get(number)
        if pass_on:
            os.kill(self._worker, number)

    def _take(self, pipe: int) -> bool:
        """Take the signals from a pipe; return whether the worker is to be killed at once."""
        numbers = os.read(pipe, 1024)
        if not numbers:
            self._pipes.remove(pipe)
        if signal.SIGTSTP in numbers and pipe == self._own:
            # Ctrl-Z stops the worker's group and this process, until the shell continues it.
            os.killpg(self._worker, signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGSTOP)
            os.killpg(self._worker, signal.SIGCONT)
        repeated = False
        for number in (number for number in numbers if number in _CODES):
            if self._first is None:
                self._begin(number, pass_on=pipe == self._own)
            elif pipe == self._own and time.monotonic() - self._first_at >= _REPEAT_SECONDS:
                repeated = True
        return repeated

    def _kill(self, what: str) -> int:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._worker, signal.SIGKILL)
        self._end()
        self._say(f"{_WORDS[self._first]}; it {what}. Finished stages are kept; start again to resume from here.")
        return _CODES[self._first]

    def _end(self) -> int:
        """Kill what the worker leaves behind, reap it and return the exit code."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._worker, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(self._worker, 0)[1])
        if self._first is None:
            if code == -signal.SIGKILL:
                self._say("killed (SIGKILL), as happens where memory runs out.")
            return code if code >= 0 else 128 - code
        _kill_children()
        # A finished command keeps its code; any other failure was the signal's.
        return code if code in (0, EXIT_STATE_SAVED) else _CODES[self._first]

    def _say(self, what: str) -> None:
        with contextlib.suppress(OSError):
            print(f"{self._program}: {what}", file=sys.stderr, flush=True)


class _Lifeline:
    """The lock of the program that started this command; who holds it wrote its name into it."""

    def __init__(self, path: str) -> None:
        self._file = open(path, encoding="utf-8")  # noqa: SIM115 - until this process ends
        self._holder = self._file.read()

    def broken(self) -> bool:
        """Return whether its holder is gone; the lock is then held here, so that nothing else starts meanwhile."""
        import fcntl

        try:
            fcntl.flock(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            return self._file.read() not in ("", self._holder)
        return True


def _kill_children() -> None:
    """Kill all children of this process, and those that become its children by that."""
    deadline = time.monotonic() + _SWEEP_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(ProcessLookupError):
            for file in Path("/proc/self/task").glob("*/children"):
                for child in file.read_text().split():
                    os.kill(int(child), signal.SIGKILL)
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.01)
        except ChildProcessError:
            return


def _become_worker(supervisor: int, handlers: dict[int, Any], grace: _Grace) -> None:
    """Set up a fork as the worker that the module's docstring describes; ``handlers`` are those before the fork."""
    global _grace
    _grace = grace
    os.setpgid(0, 0)
    _kill_with_parent(supervisor)
    ours = {signal.SIGTERM: raise_once(Terminated), signal.SIGINT: raise_once(KeyboardInterrupt)}
    for number, handler in handlers.items():
        signal.signal(number, ours.get(number, handler))
    forked_by: list[tuple[int, bool]] = [(0, False)]

    def before_fork() -> None:
        forked_by[0] = os.getpid(), threading.current_thread() is threading.main_thread()

    def in_child() -> None:
        # A signal to a child, such as the end of a data loader's worker, is not meant for this command.
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        parent, by_main_thread = forked_by[0]
        if by_main_thread:
            _kill_with_parent(parent)

    os.register_at_fork(before=before_fork, after_in_child=in_child)


def _work(program: str, main: Callable[[], int], mask: set[int]) -> int:
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        if not _is_unread(sys.stdout):
            raise
        # As of any program before `| head`: nobody reads on, so there is nobody to tell.
        code = EXIT_UNREAD
    except Terminated:
        print(f"{program}: {_WORDS[signal.SIGTERM]}.", file=sys.stderr)
        code = EXIT_TERMINATED
    except KeyboardInterrupt:
        print(f"{program}: {_WORDS[signal.SIGINT]}.", file=sys.stderr)
        code = EXIT_INTERRUPTED
    if code in (EXIT_STATE_SAVED, EXIT_UNREAD, *_CODES.values()):
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    # The work is done; the supervisor ends a finalisation that hangs.
    for number in _CODES:
        signal.signal(number, _do_nothing)
    return code


def _is_unread(stream: Any) -> bool:
    """Return whether a stream is a pipe or a socket whose other end is closed."""
    poll = select.poll()
    with contextlib.suppress(OSError, ValueError):
        poll.register(stream.fileno(), 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    return False


def _do_nothing(number: int, frame: Any) -> None:
    pass


def _kill_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the thread that forked it ends; at once where it has ended already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(128 + signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    """Call prctl(2), which only Linux has."""
    if _libc is not None:
        _libc.prctl(option, value, 0, 0, 0)


# Loaded here: between fork and exec it must not be.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
