import os
import re
import shutil
import subprocess

import pytest

from scripts.environment import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(*arguments: str) -> str:
    # A bare environment: under `make test` the outer make would pass its own variables on.
    return subprocess.run(["make", *arguments], cwd=ROOT, env={"PATH": os.environ["PATH"]}, stdout=subprocess.PIPE,
                          text=True, check=True).stdout


def test_help_is_the_default_and_lists_every_target():
    targets = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE).group(1).split()
    assert [line.split()[1] for line in make().splitlines()] == targets


def test_run_sets_up_and_starts_the_built_in_job():
    assert [line.strip() for line in make("-n", "run", "VENV=E", "PYTHON=python3").splitlines()] == [
        "python3 scripts/setup.py --folder E",
        "E/bin/python pipelines/compress.py --params configs/pipelines/digits.yaml"]


def test_clean_leaves_the_environment():
    assert "venv" not in make("-n", "clean")
