"""Ranks as processes: their surroundings, and what becomes of the others when one fails or the launcher ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.base.cli import stage_parser
from core.training.launch import launch, run_on_ranks

ROOT = Path(__file__).parents[3]
SELF = "import os, sys, time; rank = int(os.environ['MMDET_COMPRESS_RANK']); "


def ranks(code, count=2, devices=()):
    return launch([sys.executable, "-c", SELF + code], count, devices)


def test_every_rank_knows_its_place_and_sees_its_own_gpu(tmp_path):
    code = f"""
names = ('MMDET_COMPRESS_RANK', 'MMDET_COMPRESS_RANKS', 'CUDA_VISIBLE_DEVICES')
open('{tmp_path}/' + str(rank), 'w').write(' '.join([*map(os.environ.get, names), *sys.argv[1:]]))"""
    assert ranks(code, 3, ["2", "5", "7"]) == 0
    assert [(tmp_path / str(rank)).read_text() for rank in range(3)] == [
        "0 3 2", "1 3 5 --executor-input ", "2 3 7 --executor-input "]


def test_a_failed_rank_ends_the_others_with_its_message(capfd):
    assert ranks("print('out', rank, flush=True)\nif rank == 1: sys.exit('no room on the moon')\ntime.sleep(600)") == 1
    captured = capfd.readouterr()
    assert captured.out == "out 0\n"
    assert captured.err == "rank 1 of 2 ended with 1:\nno room on the moon\n"


def test_what_all_ranks_have_to_say_is_said_once(capfd):
    assert ranks("sys.stderr.write('train: wrong config\\n'); sys.exit(2)") == 2
    assert capfd.readouterr().err == "train: wrong config\n"


def test_a_killed_rank_has_a_shells_exit_code(capfd):
    assert ranks("\nif rank == 1: os.kill(os.getpid(), 9)\ntime.sleep(600)") == 128 + signal.SIGKILL
    assert "rank 1 of 2 ended with -9" in capfd.readouterr().err


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_the_launchers_end_is_the_ranks_end(tmp_path, sent):
    rank = SELF + f"open('{tmp_path}/' + str(rank), 'w').write(str(os.getpid())); time.sleep(600)"
    code = "import sys; from core.base.cli import run_guarded; from core.training.launch import launch; " + \
           "sys.exit(run_guarded('train', lambda: launch([sys.executable, '-c', sys.argv[1]], 2)))"
    with subprocess.Popen([sys.executable, "-c", code, rank], cwd=ROOT) as process:
        deadline = time.monotonic() + 60
        while len([file for file in tmp_path.iterdir() if file.read_text()]) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(sent)
    pids = [int(file.read_text()) for file in tmp_path.iterdir()]
    deadline = time.monotonic() + 20
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(pids) == 2 and not any(map(alive, pids))
    assert process.returncode == (128 + sent if sent == signal.SIGTERM else -sent)


def stage(*options, work=lambda arguments, output: 0):
    parser = stage_parser("train", "")
    parser.add_argument("--gpus", type=int, default=0)
    parser.add_argument("--cpu-processes", type=int, default=1)
    return run_on_ranks(parser, work, "nothing", list(options))


def test_without_gpus_a_stage_is_one_process_on_the_cpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    seen = []
    assert stage(work=lambda arguments, output: seen.append(os.environ["CUDA_VISIBLE_DEVICES"])) == 0
    assert (seen, os.environ["CUDA_VISIBLE_DEVICES"]) == ([""], "3")


@pytest.mark.parametrize(("options", "said"), [
    (["--gpus", "9"], "train: parameter gpus: 9. A stage runs in one pod, so it can have 0 to 8 GPUs."),
    (["--gpus", "2", "--cpu-processes", "2"], "train: --cpu-processes: 2 beside --gpus 2."),
    (["--gpus", "-1"], "train: parameter gpus: -1."), (["--cpu-processes", "0"], "train: --cpu-processes: 0.")])
def test_counts_that_cannot_be_are_refused(options, said, capsys):
    assert stage(*options) == 2
    assert said in capsys.readouterr().err


def test_importing_mmcv_writes_nothing():
    code = """
from core.base.cli import stage_parser
from core.training.launch import run_on_ranks
parser = stage_parser("toy", "A toy.")
parser.add_argument("--gpus", type=int, default=0)
parser.add_argument("--cpu-processes", type=int, default=1)
def work(arguments, output):
    import mmcv.runner
run_on_ranks(parser, work, "toy", [])
"""
    # Where torch finds a CUDA toolkit and no GPU it says so.
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
                          env={**os.environ, "CUDA_HOME": "/usr", "CUDA_VISIBLE_DEVICES": ""})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
