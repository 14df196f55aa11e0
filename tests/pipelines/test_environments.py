import sys
from pathlib import Path

import pytest

from components import images
from core.base.errors import UserError
from pipelines.environments import STAGE_SETTINGS, child_environment, environment_python


@pytest.mark.parametrize("image", [images.TRAIN, images.OPENVINO])
def test_this_python_stands_in_for_each_image(image):
    assert environment_python(image) == Path(sys.executable)


def test_unknown_image_is_refused():
    with pytest.raises(UserError, match="image: python:3.11"):
        environment_python("python:3.11")


def test_stage_gets_code_tools_and_its_variables(monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    for name in STAGE_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    expected = {"PATH": "/envs/train/bin:/usr/bin", "PYTHONPATH": "/project", "PYTHONUNBUFFERED": "1", "KEY": "value",
                **STAGE_SETTINGS}
    environment = child_environment(Path("/envs/train/bin/python"), Path("/project"), {"KEY": "value"})
    assert expected.items() <= environment.items()


@pytest.mark.parametrize("name", STAGE_SETTINGS)
def test_a_persons_settings_are_kept(monkeypatch, name):
    monkeypatch.setenv(name, "5")
    assert child_environment(Path("/p/bin/python"), Path("/project"), {})[name] == "5"


def test_the_tests_have_the_pages_of_a_stage():
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    assert f"export GLIBC_TUNABLES ?= {STAGE_SETTINGS['GLIBC_TUNABLES']}\n" in makefile
