"""SIGTERM during training: seen where the state can be saved, at once where nothing would be lost."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

from core.base.errors import Terminated


class Interruptions:
    """Holds SIGTERM back while its block runs.

    :class:`core.base.errors.Terminated` is raised by :meth:`check`, and at any moment within :meth:`welcome`. Outside
    the main thread, where Python takes no signals, nothing is held back.
    """

    def __init__(self) -> None:
        self._asked = self._welcome = False
        self._before: Any = None

    def __enter__(self) -> "Interruptions":
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._take)
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    def check(self) -> None:
        """Raise Terminated where SIGTERM has arrived."""
        if self._asked:
            raise Terminated()

    @contextlib.contextmanager
    def welcome(self) -> Iterator[None]:
        """Let SIGTERM end the block wherever it is."""
        self.check()
        self._welcome = True
        try:
            yield
        finally:
            self._welcome = False

    def _take(self, signum: int, frame: Any) -> None:
        self._asked = True
        if self._welcome:
            raise Terminated()
