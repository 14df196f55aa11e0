from pathlib import Path

import pytest

from components import images
from core.base.errors import UserError
from pipelines.environments import ENVIRONMENTS_VARIABLE, child_environment, environment_python


def make_environment(folder):
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    return python


def test_image_stands_for_an_environment_of_the_project(tmp_path, monkeypatch):
    monkeypatch.delenv(ENVIRONMENTS_VARIABLE, raising=False)
    python = make_environment(tmp_path / ".envs" / "openvino")
    assert environment_python(images.OPENVINO, tmp_path) == python


def test_environments_can_lie_elsewhere(tmp_path, monkeypatch):
    python = make_environment(tmp_path / "elsewhere" / "train")
    monkeypatch.setenv(ENVIRONMENTS_VARIABLE, str(tmp_path / "elsewhere"))
    assert environment_python(images.TRAIN, Path("/nowhere")) == python


def test_missing_environment_says_how_to_make_it(tmp_path, monkeypatch):
    monkeypatch.delenv(ENVIRONMENTS_VARIABLE, raising=False)
    with pytest.raises(UserError, match="environment: .*/.envs/train. It is not set up.*Run 'make setup'"):
        environment_python(images.TRAIN, tmp_path)


def test_unknown_image_is_refused(tmp_path):
    with pytest.raises(UserError, match="image: python:3.11"):
        environment_python("python:3.11", tmp_path)


def test_stage_gets_code_tools_and_its_variables(monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    environment = child_environment(Path("/envs/train/bin/python"), Path("/project"), {"KEY": "value"})
    assert {name: environment[name] for name in ("PATH", "PYTHONPATH", "PYTHONUNBUFFERED", "OMP_WAIT_POLICY", "KEY")} \
        == {"PATH": "/envs/train/bin:/usr/bin", "PYTHONPATH": "/project", "PYTHONUNBUFFERED": "1",
            "OMP_WAIT_POLICY": "PASSIVE", "KEY": "value"}


def test_a_persons_wait_policy_is_kept(monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert child_environment(Path("/p/bin/python"), Path("/project"), {})["OMP_WAIT_POLICY"] == "ACTIVE"
