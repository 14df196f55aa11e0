"""Runs of the whole pipeline as a user starts them; a run is made once and looked at by many tests."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Run:
    """A finished run: its exit code, what it printed and the folder of its results."""

    code: int
    text: str
    folder: Path

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads((self.folder / "summary.json").read_text())

    @property
    def chosen(self) -> str:
        """The name of the candidate that was chosen."""
        return self.summary["provenance"]["models"]["candidate"]


def compress(work_dir: Path, *options: str) -> Run:
    """Run ``pipelines/compress.py`` and return what came of it; its output is also streamed."""
    process = subprocess.Popen([sys.executable, "pipelines/compress.py", "--work-dir", str(work_dir), *options],
                               cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = []
    for line in process.stdout:
        sys.__stdout__.write(line)
        sys.__stdout__.flush()
        lines.append(line)
    latest = work_dir / "latest"
    return Run(process.wait(), "".join(lines), latest.resolve() if latest.exists() else work_dir)


def boxes_of_self_check(bundle: Path) -> int:
    """Let a copied bundle check itself, with nothing of this repository, and return its golden image's boxes."""
    checked = subprocess.run([sys.executable, "-I", str(bundle / "runner"), "--self-check"], cwd=str(bundle.parent),
                             capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")
    expected = re.search(r"golden image: 0 of (\d+) boxes missing, 0 unexpected", checked.stdout)
    assert expected, checked.stdout
    return int(expected.group(1))


@pytest.fixture(scope="session")
def work_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def run_pipeline(work_dir) -> Callable[..., Run]:
    """Return a function that runs the pipeline with options in the session's work folder."""
    return lambda *options: compress(work_dir, *options)


@pytest.fixture(scope="session")
def run_in() -> Callable[..., Run]:
    """Return a function that runs the pipeline in a work folder of choice."""
    return compress


@pytest.fixture(scope="session")
def digits_options(work_dir) -> list[str]:
    return ["--params", "configs/pipelines/digits.yaml", "-p", f"destination={work_dir / 'published'}"]


@pytest.fixture(scope="session")
def digits(run_pipeline, digits_options) -> Run:
    return run_pipeline(*digits_options)


@pytest.fixture(scope="session")
def bccd_root() -> Path:
    root = Path(os.environ.get("BCCD_ROOT", ROOT.parent / "shared/datasets/bccd"))
    if not (root / "Annotations").is_dir():
        pytest.skip(f"the BCCD data set is not at {root}; set BCCD_ROOT")
    return root
