import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from core.base.errors import UserError
from scripts import installation
from scripts.installation import HOOK_TEXT, Installation, locked_versions

ROOT = Path(__file__).parents[2]
TELL = "import json; print(json.dumps([os.environ['TORCH_EXTENSIONS_DIR'], os.environ['PATH'], sys.prefix]))"


def run_hook(times: int, **environ):
    answer = subprocess.run([sys.executable, "-S", "-c", HOOK_TEXT * times + TELL],
                            env={"PATH": "/usr/bin", **environ}, stdout=subprocess.PIPE, check=True)
    return json.loads(answer.stdout)


def test_hook_leads_to_the_environments_extensions_and_programs():
    extensions, path, prefix = run_hook(times=2)
    assert extensions == os.path.join(prefix, "torch_extensions")
    assert path == os.path.join(prefix, "bin") + ":/usr/bin"


def test_hook_keeps_a_folder_the_user_named():
    assert run_hook(times=1, TORCH_EXTENSIONS_DIR="/named")[0] == "/named"


def test_too_little_room_is_told_before_anything_is_made(tmp_path, fake_python, fake_program, tools, monkeypatch):
    for compiler in ("gcc", "g++"):
        fake_program(tools / compiler, "#!/bin/sh\n")
    environ = {"PYTHON311": str(fake_python(tmp_path / "python", "3.11.7")), "PATH": str(tools),
               "FAKE_CALLS": os.devnull}
    monkeypatch.setattr(installation, "GIGABYTES", 10**9)
    with pytest.raises(UserError) as refused:
        Installation(tmp_path / "venv", True, environ).preflight()
    assert str(refused.value).startswith("room for the environment: ")
    assert not (tmp_path / "venv").exists()


def test_missing_libraries_are_told_with_their_packages(tmp_path, fake_python, fake_program, tools, monkeypatch):
    for compiler in ("gcc", "g++"):
        fake_program(tools / compiler, "#!/bin/sh\n")
    environ = {"PYTHON311": str(fake_python(tmp_path / "python", "3.11.7")), "PATH": str(tools),
               "FAKE_CALLS": os.devnull}
    monkeypatch.setattr(installation, "LIBRARIES", {"libc.so.6": "libc6", "libnowhere.so.1": "libnowhere1"})
    with pytest.raises(UserError) as refused:
        Installation(tmp_path / "venv", True, environ).preflight()
    assert refused.value.value == "no libnowhere.so.1" and "apt-get install libnowhere1." in refused.value.hint


def test_locked_versions_reads_names_and_versions(tmp_path):
    lock = tmp_path / "requirements.txt"
    lock.write_text("# header\na-b==1.0 \\\n    --hash=sha256:00\n    # via c==2.0\n"
                    "d.e==3.0+cpu \\\n    --hash=sha256:11\n")
    assert locked_versions(lock) == {"a-b": "1.0", "d.e": "3.0+cpu"}


def test_an_installed_package_has_its_templates():
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-data"]
    assert set(data) == {".".join(folder.relative_to(ROOT).parent.parts) for folder in ROOT.glob("core/**/templates")}
