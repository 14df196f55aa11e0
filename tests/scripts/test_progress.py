import io
import os
import re
import sys
import threading
import time

import pytest

from core.base.errors import UserError
from scripts import progress
from scripts.progress import Steps, clock, doing


@pytest.fixture
def lock(tmp_path):
    descriptor = os.open(str(tmp_path / "lock"), os.O_CREAT | os.O_RDWR)
    yield descriptor
    os.close(descriptor)


def python(program: str):
    return [sys.executable, "-c", program]


@pytest.mark.parametrize("line, said", [
    ("Collecting boto3==1.37.38 (from -r requirements.txt (line 13))", "collecting boto3==1.37.38"),
    ("Processing /a/folder/cycler-0.12.1-py3-none-any.whl (from -r x)", "collecting cycler-0.12.1-py3-none-any.whl"),
    ("  Downloading torch-2.1.2-cp311.whl (670.2 MB)", "downloading torch-2.1.2-cp311.whl (670.2 MB)"),
    ("  Downloading https://host.example/x/y/torch-2.1.2.whl (670.2 MB)", "downloading torch-2.1.2.whl (670.2 MB)"),
    ("  Using cached mmcv_full-1.7.2-cp311.whl", "taking mmcv_full-1.7.2-cp311.whl from pip's cache"),
    ("  Building wheel for jstyleson (setup.py): started", "building jstyleson"),
    ("  Building wheel for mmcv-full (setup.py): still running...",
     "building mmcv-full (once per machine, about 12 minutes on 2 cores)"),
    ("Installing collected packages: a, b", "unpacking the packages"),
    ("WARNING: something else", ""),
])
def test_doing_reads_pips_lines(line, said):
    assert doing(line) == said


def test_doing_takes_the_last_line_that_tells():
    assert doing("Collecting a\n  Downloading a-1.whl (3 kB)\nWARNING: b\n\n") == "downloading a-1.whl (3 kB)"


def test_clock():
    assert [clock(0.4), clock(65), clock(3600)] == ["0:00", "1:05", "60:00"]


def test_step_tells_its_title_heartbeat_and_end(tmp_path, lock, monkeypatch):
    monkeypatch.setattr(progress, "HEARTBEAT_SECONDS", 0.2)
    out = io.StringIO()
    steps = Steps("train", 3, tmp_path / "log", lock, out)
    steps.run("installing", [python("import time; print('Collecting torch', flush=True); time.sleep(0.7)")], os.environ)
    lines = out.getvalue().splitlines()
    assert lines[0] == "[train 1/3] installing"
    assert re.fullmatch(r"\[train 1/3\] done in \d+:\d\d", lines[-1])
    assert "[train 1/3] 0:00 collecting torch" in lines[1:-1]
    assert (tmp_path / "log").read_text() == "Collecting torch\n"


def test_failed_command_is_told_with_its_last_errors_and_the_log(tmp_path, lock):
    steps = Steps("train", 1, tmp_path / "log", lock, io.StringIO())
    program = "print('ERROR: no such release'); print('[notice] a new pip'); raise SystemExit(1)"
    with pytest.raises(UserError) as failed:
        steps.run("installing", [python(program), python("open('never', 'w')")], os.environ)
    assert str(failed.value).startswith("set-up of train: installing failed: ERROR: no such release.")
    assert str(tmp_path / "log") in str(failed.value)


def test_index_that_does_not_answer_is_told(tmp_path, lock):
    steps = Steps("train", 1, tmp_path / "log", lock, io.StringIO())
    program = """
print("WARNING: Retrying (Retry(total=0, status=None)) after connection broken by "
      "'NewConnectionError('<x>: [Errno 111] Connection refused')': /simple/filelock/")
print("ERROR: No matching distribution found for filelock==1")
raise SystemExit(1)"""
    with pytest.raises(UserError) as failed:
        steps.run("installing", [python(program)], os.environ)
    assert ("no connection to the package index (NewConnectionError('<x>: [Errno 111] Connection refused')) / "
            "ERROR: No matching distribution found for filelock==1") in str(failed.value)


def test_errors_of_an_earlier_command_are_not_blamed(tmp_path, lock):
    steps = Steps("train", 2, tmp_path / "log", lock, io.StringIO())
    steps.run("first", [python("print('ERROR: harmless')")], os.environ)
    with pytest.raises(UserError) as failed:
        steps.run("second", [python("raise SystemExit(3)")], os.environ)
    assert "second failed: without a word." in str(failed.value)


def test_interrupt_ends_the_command_and_what_it_started(tmp_path, lock, is_running):
    steps = Steps("train", 1, tmp_path / "log", lock, io.StringIO())
    program = ("import subprocess, sys; child = subprocess.Popen(['sleep', '600']); "
               f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid)); child.wait()")

    def interrupt_when_started():
        while not (tmp_path / "pid").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), 2)

    threading.Thread(target=interrupt_when_started, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        steps.run("installing", [python(program)], os.environ)
    assert not is_running(int((tmp_path / "pid").read_text()))
