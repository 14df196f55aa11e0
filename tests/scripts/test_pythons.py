import os
import sys
from pathlib import Path

import pytest

from core.base.errors import UserError
from scripts.pythons import find_python, probe

FAILING_SHIM = "#!/bin/sh\necho 'pyenv: python3.11: command not found' >&2\nexit 127\n"


@pytest.fixture
def environ(tmp_path, tools):
    """A machine without any Python."""
    path = os.pathsep.join([str(tmp_path / "bin"), str(tmp_path / "other"), str(tools)])
    return {"PATH": path, "HOME": str(tmp_path / "home"), "FAKE_CALLS": os.devnull}


def test_probe_describes_the_running_interpreter():
    found = probe(Path(sys.executable), dict(os.environ))
    assert found.version == ".".join(map(str, sys.version_info[:3]))
    assert found.has_venv


def test_probe_is_none_for_what_is_no_python(tmp_path, fake_program):
    assert probe(fake_program(tmp_path / "python3.11", FAILING_SHIM), {}) is None
    assert probe(fake_program(tmp_path / "python3.11", "#!/bin/sh\necho nonsense\n"), {}) is None
    assert probe(tmp_path / "absent", {}) is None


def test_failing_shim_on_path_is_passed_over_for_the_next_folder(tmp_path, environ, fake_program, fake_python):
    fake_program(tmp_path / "bin" / "python3.11", FAILING_SHIM)
    real = fake_python(tmp_path / "other" / "python3.11", "3.11.18")
    assert find_python("3.11", environ).executable == real


def test_pyenv_gives_its_newest_release(tmp_path, environ, fake_program, fake_python):
    fake_program(tmp_path / "bin" / "python3.11", FAILING_SHIM)
    for name in ("3.11.9", "3.11.18", "3.11-dev", "3.110.1"):
        fake_python(tmp_path / "home" / ".pyenv" / "versions" / name / "bin" / "python", "3.11.1")
    assert find_python("3.11", environ).executable.parts[-3] == "3.11.18"


def test_pyenv_root_is_obeyed(tmp_path, environ, fake_python):
    expected = fake_python(tmp_path / "elsewhere" / "versions" / "3.11.2" / "bin" / "python", "3.11.2")
    environ["PYENV_ROOT"] = str(tmp_path / "elsewhere")
    assert find_python("3.11", environ).executable == expected


def test_uv_is_asked_last(tmp_path, environ, fake_program, fake_python):
    managed = fake_python(tmp_path / "uv-managed" / "python3.11", "3.11.20")
    fake_program(tmp_path / "bin" / "uv", f'#!/bin/sh\n[ "$*" = "python find 3.11" ] && echo {managed}\n')
    assert find_python("3.11", environ).executable == managed


def test_variable_overrides_path(tmp_path, environ, fake_python):
    fake_python(tmp_path / "bin" / "python3.11", "3.11.18")
    named = fake_python(tmp_path / "mine" / "python", "3.11.3")
    environ["PYTHON311"] = str(named)
    assert find_python("3.11", environ).executable == named


def test_variable_with_another_version_is_refused(tmp_path, environ, fake_python):
    named = fake_python(tmp_path / "python", "3.12.1")
    environ["PYTHON311"] = str(named)
    with pytest.raises(UserError) as refused:
        find_python("3.11", environ)
    assert str(refused.value).startswith(f"PYTHON311: {named} is Python 3.12.1.")


def test_variable_that_does_not_run_is_refused(tmp_path, environ):
    environ["PYTHON311"] = str(tmp_path / "absent")
    with pytest.raises(UserError) as refused:
        find_python("3.11", environ)
    assert f"{tmp_path / 'absent'} does not run" in str(refused.value)


def test_python_without_venv_is_refused_with_the_package_that_has_it(tmp_path, environ, fake_python):
    found = fake_python(tmp_path / "bin" / "python3.11", "3.11.18", venv=False)
    with pytest.raises(UserError) as refused:
        find_python("3.11", environ)
    assert f"{found} lacks the venv module (apt-get install python3.11-venv)" in str(refused.value)


def test_none_found_names_three_ways_to_get_one(tmp_path, environ, fake_program):
    shim = fake_program(tmp_path / "bin" / "python3.11", FAILING_SHIM)
    with pytest.raises(UserError) as refused:
        find_python("3.11", environ)
    message = str(refused.value)
    assert f"Python 3.11: not found ({shim} does not run)" in message
    for way in ("apt-get install python3.11", "deadsnakes", "pyenv install 3.11", "uv python install 3.11",
                "PYTHON311"):
        assert way in message
