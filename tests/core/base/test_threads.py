import subprocess
import sys
import threading
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from core.base.threads import DaemonThreadPool

PROJECT = Path(__file__).parents[3]


def test_work_is_done_in_so_many_threads():
    seen, barrier = set(), threading.Barrier(3)

    def work(number):
        seen.add(threading.current_thread())
        barrier.wait(10)
        return number * 2

    with DaemonThreadPool(3) as pool:
        assert list(pool.map(work, range(9))) == [0, 2, 4, 6, 8, 10, 12, 14, 16]
    assert len(seen) == 3 and not any(thread.is_alive() for thread in seen)


def test_an_error_is_raised_where_the_result_is_asked_for():
    with DaemonThreadPool(1) as pool:
        failed = pool.submit(lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            failed.result()
        assert pool.submit(lambda: 1).result() == 1


@pytest.mark.parametrize("error, waits", [(ValueError, True), (KeyboardInterrupt, False)])
def test_an_error_cancels_what_has_not_begun_and_an_interruption_waits_for_nothing(error, waits):
    begun, go, ended = threading.Event(), threading.Event(), threading.Event()

    def work():
        begun.set()
        go.wait(10)
        ended.set()

    with pytest.raises(error), DaemonThreadPool(1) as pool:
        pool.submit(work)
        waiting = pool.submit(work)
        begun.wait(10)
        if waits:
            threading.Timer(0.2, go.set).start()
        raise error
    assert ended.is_set() is waits
    go.set()
    with pytest.raises(CancelledError):
        waiting.result(0)


def test_a_thread_that_waits_for_ever_does_not_keep_the_process():
    program = "import threading; from core.base.threads import DaemonThreadPool\n" \
              "DaemonThreadPool(2).submit(threading.Event().wait)\nraise SystemExit(3)"
    assert subprocess.run([sys.executable, "-c", program], cwd=PROJECT, timeout=60, check=False).returncode == 3
