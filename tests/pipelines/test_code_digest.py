from pathlib import Path

import pytest

from core.base.imports import Imports
from pipelines.code_digest import PACKAGES, CodeDigests

PROJECT = Path(__file__).parents[2]
SOURCES = {
    "components/__init__.py": "",
    "components/train/__init__.py": "",
    "components/train/__main__.py": "import json\nfrom core.stage import cli\ndef work():\n    import core.data.sets\n",
    "components/other/__main__.py": "import core.unrelated\n",
    "core/__init__.py": "",
    "core/unrelated.py": "",
    "core/stage/__init__.py": "from . import output\n",
    "core/stage/cli.py": "from ..errors import UserError\n",
    "core/stage/output.py": "",
    "core/errors.py": "class UserError(Exception): ...\n",
    "core/data/__init__.py": "",
    "core/data/sets.py": "import core.data.sets\n",
    "core/data/names.txt": "cat",
    "core/data/templates/page.html": "<html>",
    "core/data/README.md": "text",
    "images/train/requirements.txt": "torch==2.1.2",
}
REACHED = ["components/__init__.py", "components/train/__init__.py", "components/train/__main__.py",
           "core/__init__.py", "core/data/__init__.py", "core/data/sets.py", "core/errors.py",
           "core/stage/__init__.py", "core/stage/cli.py", "core/stage/output.py"]


@pytest.fixture(name="root")
def fixture_root(tmp_path):
    for name, text in SOURCES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def digest(root):
    return CodeDigests(root).digest("components.train.__main__", extra=[root / "images/train/requirements.txt"])


def test_imports_are_followed(root):
    closure = Imports(root, PACKAGES, of_types=True).closure("components.train.__main__")
    assert [path.relative_to(root).as_posix() for path in closure] == REACHED


@pytest.mark.parametrize("name", [*REACHED, "core/data/names.txt", "core/data/templates/page.html",
                                  "images/train/requirements.txt"])
def test_change_of_what_is_reached_changes_the_digest(root, name):
    before = digest(root)
    (root / name).write_text(SOURCES[name] + "\n# changed\n")
    assert digest(root) != before


@pytest.mark.parametrize("name", ["core/unrelated.py", "components/other/__main__.py", "core/data/README.md",
                                  "core/data/new.py", "core/data/__pycache__/sets.pyc", "core/data/.swap"])
def test_change_of_anything_else_keeps_the_digest(root, name):
    before = digest(root)
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text("changed = True\n")
    assert digest(root) == before


def test_moved_project_keeps_the_digest(root, tmp_path_factory):
    moved = tmp_path_factory.mktemp("moved") / "project"
    before = digest(root)
    root.rename(moved)
    assert digest(moved) == before
    moved.rename(root)


@pytest.mark.parametrize(("stage", "module", "reached"), [
    ("train", "core/training/fit.py", True), ("train", "core/report/build.py", False),
    ("report", "core/report/build.py", True), ("report", "core/training/fit.py", False),
    ("gate", "core/openvino/validation.py", False), ("gate", "core/report/gate.py", True)])
def test_real_stages_depend_on_what_they_use(stage, module, reached):
    closure = Imports(PROJECT, PACKAGES, of_types=True).closure(f"components.{stage}.__main__")
    assert (PROJECT / module in closure) is reached
