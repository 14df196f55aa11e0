"""SIGTERM during training: taken where the state can be saved, at once where nothing would be lost."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

from core.base.errors import Terminated
from core.base.supervision import SAVING_SECONDS, more_time


class Interruptions:
    """Holds SIGTERM back while its block runs; ``SAVING_SECONDS`` are then left until the process is killed.

    :class:`core.base.errors.Terminated` is raised, once, by :meth:`check`, and anywhere within :meth:`interruptible`.
    Outside the main thread, where Python takes no signals, nothing is held back.

    Args:
        saving: Whether there is a state to save; without one SIGTERM is not held back.
    """

    def __init__(self, saving: bool = True) -> None:
        self._saving = saving
        self._asked = self._interruptible = self._raised = False
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Interruptions":
        def take(signum: int, frame: Any) -> None:
            self._asked = True
            if self._interruptible:
                self.check()

        if self._saving and threading.current_thread() is threading.main_thread():
            self._stack.enter_context(more_time(SAVING_SECONDS, signal.SIGTERM))
            self._stack.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, take))
        return self

    def __exit__(self, *exception: Any) -> None:
        self._stack.close()

    def check(self) -> None:
        """Raise Terminated where SIGTERM has arrived."""
        if self._asked and not self._raised:
            self._raised = True
            raise Terminated()

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let SIGTERM end the block wherever it is."""
        self.check()
        self._interruptible = True
        try:
            yield
        finally:
            self._interruptible = False
