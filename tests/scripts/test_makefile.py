import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.environment import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def run_make(*arguments: str, **environ: str) -> subprocess.CompletedProcess:
    # A bare environment: under `make test` the outer make would pass its own variables on.
    return subprocess.run(["make", *arguments], cwd=ROOT, env={"PATH": os.environ["PATH"], **environ},
                          capture_output=True, text=True, check=False)


def make(*arguments: str, **environ: str) -> str:
    done = run_make(*arguments, **environ)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def bare(tmp_path, tools):
    """The variables of a machine without any Python."""
    (tools / "make").symlink_to(shutil.which("make"))
    return {"PATH": f"{tmp_path / 'bin'}:{tools}", "HOME": str(tmp_path / "home")}


def python_link(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(sys._base_executable)
    return path


def test_help_is_the_default_and_lists_every_target():
    targets = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE).group(1).split()
    assert [line.split()[1] for line in make().splitlines()] == targets


def test_run_sets_up_and_starts_the_built_in_job():
    assert [line.strip() for line in make("-n", "run", "VENV=E", "PYTHON=python3").splitlines()] == [
        "'python3' scripts/setup.py --folder 'E'",
        "'E/bin/python' pipelines/compress.py --params configs/pipelines/digits.yaml"]


def chosen(environ) -> str:
    return re.match(r"'(.+)' scripts/setup\.py", make("-n", "setup", **environ)).group(1)


def test_a_shim_that_does_not_run_is_passed_over(tmp_path, bare, fake_program):
    fake_program(tmp_path / "bin" / "python3.11", "#!/bin/sh\necho 'pyenv: command not found' >&2\nexit 127\n")
    fake_program(tmp_path / "bin" / "python3", f"#!/bin/sh\nexec {sys._base_executable} \"$@\"\n")
    assert os.path.samefile(chosen(bare), sys._base_executable)


def test_a_python_of_pyenv_or_uv_runs_set_up_where_path_has_an_older_one(tmp_path, bare, fake_program):
    fake_program(tmp_path / "bin" / "python3", "#!/bin/sh\nexit 1\n")
    managed = python_link(tmp_path / "a b" / "python3.11")
    fake_program(tmp_path / "bin" / "uv", f'#!/bin/sh\n[ "$*" = "python find 3.11" ] && echo "{managed}"\n')
    assert chosen(bare) == str(managed)
    pyenv = python_link(tmp_path / "home" / ".pyenv" / "versions" / "3.11.7" / "bin" / "python")
    assert chosen(bare) == str(pyenv)
    named = python_link(tmp_path / "named")
    assert chosen({**bare, "PYTHON311": str(named)}) == str(named)


def test_a_machine_without_python_is_told_three_ways_to_get_one(bare):
    refused = run_make("setup", **bare)
    assert refused.returncode == 2
    for way in ("apt-get install python3.11", "pyenv install 3.11", "uv python install 3.11", "PYTHON311"):
        assert way in refused.stderr
    assert make("-n", "clean", **bare)


def test_a_folder_with_a_space_is_one_folder(tmp_path):
    (tmp_path / "show.mk").write_text('show:\n\t@echo "$$MMDET_COMPRESS_VENV"\ninclude Makefile\n')
    show = ("-s", "-f", str(tmp_path / "show.mk"), "show")
    assert make(*show, VENV="/of mine/venv") == "/of mine/venv\n"
    assert make(*show, MMDET_COMPRESS_VENV="/of mine/venv") == "/of mine/venv\n"
    assert make(*show, VENV="my venv") == f"{ROOT}/my venv\n"
    assert "--folder '/of mine/venv'" in make("-n", "setup", VENV="/of mine/venv")


def test_sigterm_reaches_set_up(tmp_path, fake_program):
    python = fake_program(tmp_path / "a b" / "python", "#!/bin/sh\necho $PPID\n")
    process = subprocess.Popen(["make", "-s", "setup", f"PYTHON={python}"], cwd=ROOT, env={"PATH": os.environ["PATH"]},
                               stdout=subprocess.PIPE, text=True)
    # Its parent is make itself, which passes SIGTERM on, and no shell, which would not.
    assert int(process.communicate()[0]) == process.pid


def test_clean_leaves_the_environment():
    assert "venv" not in make("-n", "clean")
