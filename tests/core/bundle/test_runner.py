"""The bundle as its user has it: copied elsewhere, with a Python that has openvino, numpy and opencv alone."""

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import cv2
import pytest

from core.bundle.runner_files import runner_files
from tests.core.bundle.conftest import CLASSES

ALLOWED = ("openvino", "openvino_telemetry", "numpy", "numpy.libs", "cv2", "opencv_python_headless.libs")


@pytest.fixture(scope="session")
def clean_python(tmp_path_factory):
    """Return a command: an environment of its own with links to the three packages, and none of its caller's."""
    folder = tmp_path_factory.mktemp("clean")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    python = folder / "venv" / "bin" / "python"
    where = subprocess.run([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], check=True,
                           capture_output=True, text=True).stdout.strip()
    for name in ALLOWED:
        package = Path(sysconfig.get_path("purelib")) / name
        if package.exists():
            (Path(where) / name).symlink_to(package)
    return python


@pytest.fixture
def call(clean_python, bundle, tmp_path):
    """Return a function that calls the bundle's runner: as a module inside the bundle, or by its path elsewhere."""
    def run(*arguments, inside=True):
        program = ["-m", "runner"] if inside else [str(bundle / "runner")]
        work = bundle if inside else tmp_path
        return subprocess.run([str(clean_python), *program, *map(str, arguments)], cwd=work, capture_output=True,
                              text=True, env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path / "home")}, check=False)
    return run


def spoil(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("inside", [True, False])
def test_self_check_passes_on_a_copy(call, bundle, inside):
    before = {path for path in bundle.rglob("*") if "__pycache__" not in path.parts}
    done = call("--self-check", inside=inside)
    assert (done.returncode, done.stderr) == (0, "")
    count = len(json.loads((bundle / "bundle.json").read_text())["files"])
    assert done.stdout.splitlines()[0] == (
        f"cells: {count} files as published; golden image: 0 of 6 boxes missing, 0 unexpected, scores differ by up to "
        "0.0000, IoU is at least 1.000")
    assert done.stdout.splitlines()[1].startswith("ok, with openvino 2024.6")
    assert {path for path in bundle.rglob("*") if "__pycache__" not in path.parts} == before


@pytest.mark.parametrize("name", ["model.bin", "model.xml", "labels.txt", "fp32/model.bin", "golden/image.png",
                                  "golden/detections.json", "report.html", "runner/core/openvino/preprocess.py"])
def test_a_flipped_byte_and_a_missing_file_are_named(bundle, name):
    from core.base.errors import UserError
    from core.bundle.check import check_bundle

    spoil(bundle / name)
    (bundle / "summary.json").unlink()
    with pytest.raises(UserError) as caught:
        check_bundle(bundle)
    assert sorted(caught.value.rule.rstrip(".").split("; ")) == sorted([
        f"{name} has other content (SHA-256)", "summary.json is missing"])


def test_damage_ends_with_a_message_and_no_traceback(call, bundle):
    spoil(bundle / "model.bin")
    (bundle / "spec.json").unlink()
    with open(bundle / "report.html", "a") as report:
        report.write(" ")
    done = call("--self-check")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", (
        f"runner: bundle: {bundle}. model.bin has other content (SHA-256); report.html has 14 bytes instead of 13; "
        "spec.json is missing. Copy the bundle again from where it was published.\n"))


def test_missing_manifest_is_named(call, bundle):
    (bundle / "bundle.json").unlink()
    done = call("--self-check")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "bundle.json is missing" in done.stderr


def test_boxes_are_printed_and_drawn(call, bundle, tmp_path):
    image = bundle / "golden" / "image.png"
    done = call(image, "--output", tmp_path / "drawn", inside=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == f"{image}: 6 objects, drawn in {tmp_path / 'drawn' / 'image.detected.jpg'}"
    assert len(lines) == 7 and {line.strip().rsplit(" ", 6)[0] for line in lines[1:]} == set(CLASSES)
    drawn = cv2.imread(str(tmp_path / "drawn" / "image.detected.jpg"))
    assert drawn.shape == cv2.imread(str(image)).shape
    assert (drawn != cv2.imread(str(image))).mean() > 0.05


def test_json_gives_the_golden_boxes(call, bundle):
    done = call("golden/image.png", "--json")
    found = json.loads(done.stdout)
    golden = json.loads((bundle / "golden" / "detections.json").read_text())
    assert found["image"] == "golden/image.png"
    assert [(item["label"], item["box"]) for item in found["detections"]] == [
        (label, pytest.approx(box, abs=0.01)) for label, box in zip(golden["labels"], golden["boxes"])]
    assert {item["class"] for item in found["detections"]} == set(CLASSES)
    assert json.loads(call("golden/image.png", "--json", "--min-score", "1").stdout)["detections"] == []


@pytest.mark.parametrize("content, said", [(None, "It cannot be read (No such file or directory)"),
                                           (b"", "the file is empty"), (b"text", "not an image")])
def test_image_that_is_none_is_refused(call, tmp_path, content, said):
    image = tmp_path / "some image.jpg"
    if content is not None:
        image.write_bytes(content)
    done = call(image)
    assert done.returncode == 2 and done.stdout == ""
    assert str(image) in done.stderr and said in done.stderr and done.stderr.count("\n") == 1


def test_nothing_to_do_is_an_error_with_the_usage(call):
    done = call()
    assert done.returncode == 2 and "give images, or --self-check" in done.stderr


def test_runner_is_what_the_project_itself_runs():
    """The bundle has no second implementation: its files are the project's own, and only those it needs."""
    root = Path(__file__).parents[3]
    files = runner_files()
    assert {name for name in files if not name.startswith("runner/core/")} == {"runner/__main__.py"}
    for name, content in files.items():
        if name.startswith("runner/core/"):
            assert content == (root / name[len("runner/"):]).read_bytes()
    rooms = {name.split("/")[2] for name in files if name.count("/") > 2}
    assert "runner/core/openvino/detector.py" in files
    assert rooms.isdisjoint({"training", "compression", "report", "data", "config", "checkpoint"})
