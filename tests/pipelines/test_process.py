import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from pipelines import process
from pipelines.process import run_process

PROJECT = Path(__file__).parents[2]


def run(program, lines, **environment):
    return run_process([sys.executable, "-c", program], {**os.environ, "PYTHONUNBUFFERED": "1", **environment},
                       PROJECT, lines.append)


def test_output_comes_line_by_line_and_the_exit_code_is_kept():
    lines = []
    code = run("import sys; print('one'); print('two', file=sys.stderr); sys.stdout.buffer.write(b'\\xff\\rfour\\n');"
               "sys.exit(7)", lines)
    assert (code, lines) == (7, ["one", "two", "\ufffd", "four"])


def test_process_has_the_environment_and_folder_it_is_given():
    lines = []
    run("import os; print(os.getcwd(), os.environ['COLOUR'], os.getpgid(0) == os.getpid())", lines, COLOUR="red")
    assert lines == [f"{PROJECT} red True"]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def interrupt_when(lines, count):
    """Send SIGINT to this process when ``lines`` has ``count`` of them."""
    def wait():
        deadline = time.monotonic() + 30
        while len(lines) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=wait).start()


def test_interruption_ends_the_process_and_its_children_and_keeps_their_last_words():
    lines = []
    interrupt_when(lines, 2)
    with pytest.raises(KeyboardInterrupt):
        run("""
import os, signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
def stop(*_):
    print("x" * 200_000)
    print("ended by SIGTERM")
    sys.exit(1)
signal.signal(signal.SIGTERM, stop)
print(os.getpid())
print(child.pid)
time.sleep(600)
""", lines)
    assert lines[-1] == "ended by SIGTERM"
    deadline = time.monotonic() + 10
    while alive(lines[1]) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [alive(pid) for pid in lines[:2]] == [False, False]


def test_process_that_ignores_the_end_is_killed(monkeypatch):
    monkeypatch.setattr(process, "GRACE_SECONDS", 0.2)
    lines = []
    interrupt_when(lines, 1)
    with pytest.raises(KeyboardInterrupt):
        run("""
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid())
time.sleep(600)
""", lines)
    assert not alive(lines[0])


def test_end_by_sigkill_is_a_negative_code():
    lines = []
    assert run("import os; os.kill(os.getpid(), 9)", lines) == -signal.SIGKILL
