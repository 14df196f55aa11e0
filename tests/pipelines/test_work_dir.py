import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from core.base.errors import UserError
from pipelines.work_dir import open_work_dir

PROJECT = Path(__file__).parents[2]


def test_each_run_has_a_folder_of_its_own(tmp_path):
    with open_work_dir(tmp_path / "runs") as work_dir:
        first, second = work_dir.new_run("bccd"), work_dir.new_run("bccd")
    assert first != second
    assert {path.parent for path in (first, second)} == {tmp_path / "runs"}
    assert re.fullmatch(r"bccd-\d{8}-\d{6}(-\d+)?", first.name)


def test_latest_points_at_the_last_run(tmp_path):
    with open_work_dir(tmp_path) as work_dir:
        for name in ("first", "second"):
            run = work_dir.new_run(name)
            work_dir.point_latest_at(run)
            assert os.readlink(tmp_path / "latest") == run.name
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == [".pipeline"]


def test_folder_in_the_place_of_latest_is_refused_and_kept(tmp_path):
    (tmp_path / "latest").mkdir()
    with open_work_dir(tmp_path) as work_dir:
        run = work_dir.new_run("run")
        with pytest.raises(UserError, match=f"latest. It is a folder.*results are in {run}"):
            work_dir.point_latest_at(run)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".pipeline", "latest", run.name]


@pytest.mark.parametrize("name", ["", "a/b", "..", "latest", "-x", "a b"])
def test_name_that_is_no_folder_name_is_refused(tmp_path, name):
    with open_work_dir(tmp_path) as work_dir, pytest.raises(UserError, match="--name"):
        work_dir.new_run(name)


def test_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="work dir: .*/file/runs. It must be a folder that can be written .Not a dir"), \
            open_work_dir(tmp_path / "file" / "runs"):
        pass


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder nobody can write to")
def test_folder_that_cannot_be_written_is_refused():
    with pytest.raises(UserError, match="work dir: /proc/runs. It must be a folder that can be written"), \
            open_work_dir(Path("/proc/runs")):
        pass


def test_second_run_in_the_same_folder_is_refused(tmp_path):
    program = ("import sys; from pathlib import Path; from pipelines.work_dir import open_work_dir\n"
               "with open_work_dir(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()")
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], cwd=PROJECT, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=rf"Another run .process {other.pid}. is using it"), \
                open_work_dir(tmp_path):
            pass
        other.kill()
    with open_work_dir(tmp_path) as work_dir:
        assert work_dir.path == tmp_path
