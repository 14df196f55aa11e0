"""The real container images on a real Docker Engine: the openvino stages, whoever the container runs as.

`make images ARGS=openvino` builds what these tests need; .ci/run does so where an engine can be had.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from components import images
from pipelines.code_digest import CODE_LABEL, image_code_digest

ROOT = Path(__file__).parents[2]
COMPILERS = "gcc g++ cc c++ clang nvcc ninja"
pytestmark = pytest.mark.e2e


def docker(*arguments):
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)


def labels_of(tag):
    found = docker("image", "inspect", "--format", "{{json .Config.Labels}}", tag)
    if found.returncode:
        pytest.skip(f"there is no image {tag}; make images builds it")
    return json.loads(found.stdout)


@pytest.fixture(scope="module", autouse=True)
def engine():
    if shutil.which("docker") is None or docker("info").returncode:
        pytest.skip("no Docker Engine answers")


@pytest.fixture(scope="module", name="openvino_image")
def fixture_openvino_image():
    tag = images.tagged("openvino")
    if labels_of(tag)[CODE_LABEL] != image_code_digest(ROOT):
        pytest.skip(f"{tag} was built from other code; make images ARGS=openvino brings it up to date")
    return tag


@pytest.fixture(name="shared")
def fixture_shared():
    """A folder that any user of the container may be given: pytest's own are closed to others."""
    folder = Path(subprocess.run(["mktemp", "-d", "-t", "images-XXXXXX"], capture_output=True, text=True,
                                 check=True).stdout.strip())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def module(path):
    """Return a module of the tests by its file."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture(name="onnx")
def fixture_onnx(shared):
    """The toy detector in ONNX."""
    toy = module(ROOT / "tests/core/conftest.py")
    return toy.write_toy_onnx(shared / "onnx", toy.toy_model_spec())


def test_a_stage_answers_to_its_name(openvino_image):
    done = docker("run", "--rm", openvino_image, "convert", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: convert ")
    nothing = docker("run", "--rm", openvino_image)
    assert nothing.returncode == 2
    assert nothing.stdout.splitlines()[1:] == [f"  {path.parent.name}" for path in
                                               sorted((ROOT / "components").glob("*/__main__.py"))]


@pytest.mark.parametrize("name", ["openvino", "train"])
def test_an_image_tells_what_it_is_and_has_no_compiler(name):
    tag = images.tagged(name)
    labels = labels_of(tag)
    assert labels["org.opencontainers.image.version"] == images.TAG
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", labels["org.opencontainers.image.revision"])
    told = docker("run", "--rm", tag, "sh", "-c", f"id -u; id -g; command -v {COMPILERS}; python -c 'import kfp'")
    assert told.stdout.split() == ["1000", "0"]
    assert "No module named 'kfp'" in told.stderr


def test_the_train_image_imports_nncf_as_anyone_without_writing():
    labels_of(images.tagged("train"))
    code = "from core.compression.nncf_import import import_nncf; import mmcv.ops; print(import_nncf().__version__)"
    done = docker("run", "--rm", "--read-only", "--user", "4321:4321", "--network", "none", images.tagged("train"),
                  "python", "-c", code)
    assert (done.returncode, done.stdout.split()) == (0, ["2.0.0"]), done.stderr


def convert(image, folder, *options):
    return docker("run", "--rm", "--network", "none", "--volume", f"{folder}:{folder}", *options, image, "python", "-m",
                  "components.convert", "--onnx", f"{folder}/onnx", "--ir", f"{folder}/ir")


def test_convert_runs_in_the_image_as_the_user_and_writes_nothing_else(openvino_image, shared, onnx):
    shared.chmod(0o777)
    done = convert(openvino_image, shared, "--user", "4321:4321", "--read-only", "--tmpfs", "/tmp")
    assert done.returncode == 0, done.stdout + done.stderr
    written = (shared / "ir" / "model.xml").stat()
    assert (written.st_uid, written.st_gid) == (4321, 4321)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a folder that is root's")
def test_a_root_owned_artifact_folder(openvino_image, shared, onnx):
    closed = convert(openvino_image, shared)
    assert closed.returncode == 2
    assert f"convert: no permission: {shared}" in closed.stderr
    # As Kubernetes' fsGroup and OpenShift leave a volume: root's, and its group may write.
    shared.chmod(0o775)
    opened = convert(openvino_image, shared)
    assert opened.returncode == 0, opened.stdout + opened.stderr
    shutil.rmtree(shared / "ir")
    shared.chmod(0o755)
    assert convert(openvino_image, shared, "--user", "0").returncode == 0


@pytest.mark.parametrize(("limit", "code", "said"), [
    ("0.01", 0, "gate done in"), ("0.0001", 1, "gate FAILED (exit 1)")])
def test_a_container_that_fails_is_a_failed_run(openvino_image, shared, limit, code, said):
    (shared / "summary.json").write_text(module(ROOT / "tests/pipelines/conftest.py").summary_text())
    done = subprocess.run([sys.executable, str(Path(__file__).parent / "gate_run.py"), "--runner", "docker",
                           "--work-dir", str(shared / "runs"), "-p", f"destination={shared}", "-p",
                           f"max_map_drop={limit}"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert said in done.stdout and "gate | " in done.stdout
    assert docker("ps", "--all", "--quiet", "--filter", f"ancestor={openvino_image}").stdout == ""


@pytest.mark.docker
def test_the_built_in_job_runs_in_both_images(openvino_image, shared):
    command = [sys.executable, "pipelines/compress.py", "--runner", "docker", "--work-dir", str(shared / "runs"),
               "--params", "configs/pipelines/digits.yaml", "-p", f"destination={shared / 'models'}"]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0
    (run,) = [path for path in (shared / "runs").iterdir() if path.is_dir() and path.name.startswith("digits-")]
    assert json.loads((run / "summary.json").read_text())["verdict"] == "pass"
    assert list((shared / "models").rglob("model.xml"))
    # What has been made is taken over, and the gate alone fails the run.
    assert subprocess.run([*command, "-p", "min_speedup=1000"], cwd=ROOT, check=False).returncode == 1
