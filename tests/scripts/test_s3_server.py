import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import s3_server

PROJECT = Path(__file__).parents[2]


def test_a_machine_without_the_server_is_told_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert s3_server.main(["start", str(tmp_path / "server")]) == 1
    assert "install the packages ceph-mon ceph-osd radosgw" in capsys.readouterr().err
    assert not (tmp_path / "server").exists()


def test_a_server_that_cannot_start_leaves_no_process(tmp_path, monkeypatch):
    if s3_server.missing_programs():
        pytest.skip("the server's programs are missing")
    started = []

    def start_daemons(folder, *rest):
        program = "import sys, time; print(); sys.stdout.flush(); time.sleep(60)"
        started.append(subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE))
        started[0].stdout.readline()
        (folder / "run" / "mon.pid").write_text(str(started[0].pid))

    def never_ready(endpoint):
        raise RuntimeError("slow")

    monkeypatch.setattr(s3_server, "_start_daemons", start_daemons)
    monkeypatch.setattr(s3_server, "_wait_until_ready", never_ready)
    with pytest.raises(RuntimeError, match="slow"):
        s3_server.start(tmp_path / "server")
    assert started[0].wait(timeout=30) == -signal.SIGTERM


def test_another_program_with_the_same_number_is_left_alone(tmp_path):
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "mon.pid").write_text(str(other.pid))
        s3_server.stop(tmp_path)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_the_running_server_says_where_it_is(request):
    server = request.getfixturevalue("s3_server")
    folder = Path(server.ca_bundle).parent
    assert json.loads((folder / "server.json").read_text())["endpoint"] == server.endpoint
