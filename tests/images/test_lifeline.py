"""Containers end with the program that started them, on a real Docker Engine."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What the project's own images begin with.
IMAGE = "python:3.11-slim-bookworm"
pytestmark = pytest.mark.docker
STAGE = """
import sys, time
from core.base.supervision import run_command
def main():
    print("stage runs", flush=True)
    time.sleep(300)
sys.exit(run_command("stage", main))
"""
PROGRAM = f"""
import sys
from pathlib import Path
from core.base.cli import run_guarded
from core.base.supervision import LIFELINE_VARIABLE, run_command
from pipelines.containers import LABEL, Surroundings, connect, run_container
from pipelines.work_dir import LOCK, open_work_dir
def run():
    with open_work_dir(Path(sys.argv[1])) as work:
        root = work.pipeline_root
        around = Surroundings(
            {{{str(ROOT)!r}: {{"bind": "/app", "mode": "ro"}}, str(root): {{"bind": str(root), "mode": "rw"}}}},
            {{LIFELINE_VARIABLE: str(root / LOCK), "PYTHONPATH": "/app"}}, "bridge", {{LABEL: str(root)}})
        return run_container(connect(), {IMAGE!r}, ["python", "-c", {STAGE!r}], {{}}, around,
                             lambda line: print(line, flush=True))
sys.exit(run_command("run", lambda: run_guarded("run", run)))
"""


def docker(*arguments):
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module", autouse=True)
def engine():
    if importlib.util.find_spec("docker") is None or shutil.which("docker") is None or docker("info").returncode:
        pytest.skip("no Docker Engine answers")
    if docker("image", "inspect", IMAGE).returncode:
        pytest.skip(f"there is no image {IMAGE}")


@pytest.fixture
def run(tmp_path):
    """A started run whose stage is in a container: its process, and a function that lists its containers' states."""
    label = f"label=mmdet-compress.pipeline-root={tmp_path / 'runs' / '.pipeline'}"

    def containers():
        return docker("ps", "--all", "--filter", label, "--format", "{{.State}}").stdout.split()

    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path / "runs")], cwd=ROOT, text=True,
                               stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        assert process.stdout.readline() == "stage runs\n"
        yield process, containers
    finally:
        process.kill()
        process.communicate()
        for number in docker("ps", "--all", "--quiet", "--filter", label).stdout.split():
            docker("rm", "--force", number)


def seconds_until(condition, most=20.0):
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < most
        time.sleep(0.1)
    return time.monotonic() - begin


def test_a_container_ends_with_a_run_that_is_killed(run):
    process, containers = run
    # Longer than the stage looks for its lifeline: it ends for no other reason.
    time.sleep(3)
    assert containers() == ["running"]
    process.send_signal(signal.SIGKILL)
    # Nobody is left to remove it: the next run does.
    print(f"killed: {seconds_until(lambda: containers() == ['exited']):.1f} s")


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_container_is_stopped_and_removed_by_a_run_that_is_ended(run, number, code):
    process, containers = run
    process.send_signal(number)
    print(f"ended: {seconds_until(lambda: process.poll() is not None):.1f} s")
    assert process.returncode == code and containers() == []


def test_the_next_run_removes_what_a_killed_one_left(run, tmp_path):
    from pipelines.containers import connect, remove_left_over

    process, containers = run
    process.send_signal(signal.SIGKILL)
    assert remove_left_over(connect(), tmp_path / "runs" / ".pipeline") == 1
    assert containers() == []
