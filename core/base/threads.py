"""Threads for which neither Ctrl-C nor SIGTERM has to wait."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import Empty, SimpleQueue
from typing import Any

_Task = tuple[Future[Any], Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class DaemonThreadPool(Executor):
    """An executor whose threads do not keep the process alive.

    The interpreter joins the threads of ``concurrent.futures.ThreadPoolExecutor`` before it ends, so one that waits for
    a silent server would keep a terminated process for minutes. Where the ``with`` block is left by an error, what has
    not begun is cancelled; where it is left by an interruption, what has begun is not waited for either.
    """

    def __init__(self, max_workers: int) -> None:
        self._most = max_workers
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """See :class:`concurrent.futures.Executor`."""
        future: Future[Any] = Future()
        self._tasks.put((future, fn, args, kwargs))
        if len(self._threads) < self._most:
            self._threads.append(threading.Thread(target=_work, args=(self._tasks,), daemon=True))
            self._threads[-1].start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """See :class:`concurrent.futures.Executor`."""
        while cancel_futures:
            try:
                task = self._tasks.get_nowait()
            except Empty:
                break
            if task is not None:
                task[0].cancel()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads if wait else ():
            thread.join()

    def __exit__(self, kind: type[BaseException] | None, *exception: Any) -> None:
        interrupted = kind is not None and not issubclass(kind, Exception)
        self.shutdown(wait=not interrupted, cancel_futures=kind is not None)


def _work(tasks: SimpleQueue[_Task | None]) -> None:
    while (task := tasks.get()) is not None:
        future, work, arguments, options = task
        if not future.set_running_or_notify_cancel():
            continue
        try:
            result = work(*arguments, **options)
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            future.set_exception(error)
        else:
            future.set_result(result)
