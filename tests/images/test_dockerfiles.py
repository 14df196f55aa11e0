"""What must be true of the Dockerfiles, those included that are not built here."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from components import images
from pipelines.environments import STAGE_SETTINGS
from scripts.images import IMAGES

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted((ROOT / "images").glob("*/Dockerfile"))


def test_hadolint_finds_nothing():
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint is not in this environment")
    done = subprocess.run([hadolint, *map(str, DOCKERFILES)], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_a_plain_docker_build_with_public_bases_is_enough(path):
    text = path.read_text()
    # These make the builder ask a registry even for what is on the machine.
    assert not text.startswith("# syntax")
    assert f"ARG PYTHON_IMAGE={IMAGES[path.parent.name].base}\n" in text
    assert re.search(r"^USER 1000:0$", text, flags=re.MULTILINE)
    installs = re.findall(r"pip (?:install|wheel) .*?[^\\]\n", text, flags=re.DOTALL)
    assert installs and all("--require-hashes" in line or "--no-index" in line for line in installs)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_locks_that_are_copied_exist_and_the_train_image_has_no_kfp(path):
    copied = set(re.findall(r"images/\w+/requirements[\w-]*\.txt", path.read_text()))
    assert copied
    for lock in copied:
        assert not re.search(r"^kfp\b", (ROOT / lock).read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_a_stage_has_the_settings_it_has_on_a_laptop(path):
    said = re.findall(r"^ENV (.*?[^\\])\n", path.read_text(), flags=re.MULTILINE | re.DOTALL)[-1]
    assert STAGE_SETTINGS.items() <= dict(re.findall(r"(\w+)=(\S+)", said)).items()


def test_the_version_is_the_projects():
    assert f'version = "{images.TAG}"' in (ROOT / "pyproject.toml").read_text()


def test_the_build_context_holds_nothing_private():
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert kept == {"core", "components", "configs", "images", "scripts/check_packages.py", "build/wheels"}
