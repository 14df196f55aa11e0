"""The toy project that the local runner is tried on."""

import importlib.util
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.summaries import summary_record

TOY = Path(__file__).parent / "toy"
TOY_RUN = Path(__file__).parent / "toy_run.py"
PROJECT = Path(__file__).parents[2]


def summary_text():
    """Return a summary.json that passes."""
    return json.dumps(summary_record())


@dataclass(frozen=True)
class ToyProject:
    """A project of toy stages with its environments, and the way to run its pipeline."""

    root: Path
    work_dir: Path
    switch: Path

    @property
    def options(self):
        return ["--work-dir", str(self.work_dir), "-p", f"switch={self.switch}"]

    def run(self, *options):
        """Run the toy pipeline in this process and return the exit code."""
        spec = importlib.util.spec_from_file_location("toy_run", TOY_RUN)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.main(self.root, [*self.options, *options])

    def command(self, *options):
        """Return the command that runs the toy pipeline as a process."""
        return [sys.executable, str(TOY_RUN), str(self.root), *self.options, *options]

    @property
    def runs(self):
        return sorted(path for path in self.work_dir.iterdir() if path.is_dir() and path.name[0] != "."
                      and not path.is_symlink())


@pytest.fixture
def toy(tmp_path, monkeypatch):
    from pipelines import compress

    for name in ("ROOT", "define_pipeline"):
        monkeypatch.setattr(compress, name, getattr(compress, name))
    root = tmp_path / "project"
    shutil.copytree(TOY / "components", root / "components")
    (root / "core").symlink_to(PROJECT / "core")
    for name in ("train", "openvino"):
        (root / "images" / name).mkdir(parents=True)
        (root / "images" / name / "requirements.txt").write_text("numpy==1.0\n")
    switch = tmp_path / "switch"
    switch.write_text(summary_text())
    return ToyProject(root, tmp_path / "runs", switch)
