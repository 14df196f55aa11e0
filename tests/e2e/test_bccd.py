"""Real photographs from Pascal VOC annotations to validated models: 8 bits, 40 % of the filters pruned, and both.

Beside single stages with anchors, 8 bits are proven on one detector of each other kind: two stages, no anchors, a
transformer. The small RetinaNet's three runs share one FP32 training. The pipeline's own cache keeps it between test
runs, too, by the digests of code, config, data and locks.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core.base.files import cache_folder
from pipelines.environments import STAGE_SETTINGS
from tests.e2e.conftest import boxes_of_self_check

pytestmark = [pytest.mark.e2e, pytest.mark.release]

ROOT = Path(__file__).parents[2]
MOST_BYTES = 4e9
# What may be lost of FP32's mAP, in PyTorch and in OpenVINO, and of the megabytes of its weights what may be left.
LIMITS = {"bccd": (0.010, 0.35), "bccd_pruned": (0.015, 0.85), "bccd_pruned_int8": (0.015, 0.27),
          "bccd_ssdlite": (0.015, 0.37), "bccd_ssdlite_pruned": (0.015, 0.55),
          "bccd_faster_rcnn": (0.010, 0.35), "bccd_fcos": (0.010, 0.35), "bccd_pvt": (0.010, 0.50)}

SURE, THRESHOLD = 0.3, 0.05


@pytest.fixture(scope="module")
def kept_work_dir():
    """A work folder that later test runs resume with; begun anew where old artifacts have filled it."""
    folder = cache_folder() / "e2e" / "bccd"
    if sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) > MOST_BYTES:
        shutil.rmtree(folder)
    return folder


@pytest.fixture(scope="module")
def bccd_runs(bccd_root, run_in, kept_work_dir):
    """Return a function that gives the finished run of a parameter file."""
    finished = {}

    def run(name):
        if name not in finished:
            finished[name] = run_in(kept_work_dir, "--params", f"configs/pipelines/{name}.yaml", "-p",
                                    f"data={bccd_root}")
        return finished[name]

    return run


@pytest.mark.parametrize("name", LIMITS)
def test_bccd_is_learned_and_compression_keeps_it(bccd_runs, name):
    run = bccd_runs(name)
    loss, size = LIMITS[name]

    assert run.code == 0, run.text[-3000:]
    summary = run.summary
    assert summary["map50_fp32"] >= 0.70
    assert summary["map_fp32"] - summary["map_compressed"] <= loss
    assert summary["map_fp32"] - summary["map_ir"] <= loss
    assert summary["size_mb"] <= size * summary["size_mb_fp32"]


def test_the_fp32_model_is_trained_once(bccd_runs):
    first = bccd_runs("bccd").summary["provenance"]["sha256"]["parent_checkpoint"]
    for name in ("bccd_pruned", "bccd_pruned_int8"):
        run = bccd_runs(name)
        assert run.summary["provenance"]["sha256"]["parent_checkpoint"] == first
        assert "train unchanged" in run.text


def test_boxes_without_area_are_dropped_by_name(bccd_runs):
    resolved = (bccd_runs("bccd").folder / "logs" / "resolve.log").read_text()
    assert all(f"box without area dropped: BloodImage_00{number}.jpg" in resolved for number in (338, 343))


@pytest.fixture(scope="module")
def bundle(bccd_runs, bccd_root, run_in, kept_work_dir, tmp_path_factory):
    """Return a bundle of the 8-bit model, published and then copied to another place."""
    bccd_runs("bccd")
    folder = tmp_path_factory.mktemp("bccd")
    run = run_in(kept_work_dir, "--params", "configs/pipelines/bccd.yaml", "-p", f"data={bccd_root}", "-p",
                 f"destination={folder / 'published'}")
    assert run.code == 0, run.text[-3000:]
    return shutil.copytree(folder / "published" / "bccd" / "1", folder / "copied to" / "bccd")


def test_the_copied_bundle_checks_itself(bundle):
    assert boxes_of_self_check(bundle) >= 3


@pytest.fixture(scope="module")
def photographs(bccd_root):
    import cv2
    names = (bccd_root / "ImageSets" / "Main" / "test.txt").read_text().split()
    return [cv2.imread(str(bccd_root / "JPEGImages" / f"{name}.jpg")) for name in names]


def rows_of_both(folder, images):
    """Yield, for each image, the rows of the detector here and those of Model API."""
    from core.openvino.detector import OpenVinoDetector
    from tests.core.export.model_api_rows import model_api_of, rows_of_model_api, rows_of_ours

    detector, loaded = OpenVinoDetector(folder), model_api_of(folder)
    for image in images:
        yield rows_of_ours(detector, image), rows_of_model_api(loaded, image)


@pytest.mark.parametrize("model", ["fp32", "."], ids=["fp32", "int8"])
def test_model_api_finds_the_same_in_the_bundle(bundle, photographs, model):
    """At the network's size, where nothing is left to resize, each box with its class and score."""
    import cv2

    from tests.core.export.model_api_rows import without_partner

    found = 0
    for ours, theirs in rows_of_both(bundle / model, [cv2.resize(image, (256, 192)) for image in photographs]):
        found += len(ours)
        alone = without_partner(ours, theirs, 1e-4)
        assert all(abs(score - THRESHOLD) <= 1e-4 for _, score, _ in alone), alone
    assert found > 20 * len(photographs)


@pytest.mark.parametrize("model", ["fp32", "."], ids=["fp32", "int8"])
def test_model_api_resizes_to_the_same_objects(bundle, photographs, model):
    """Model API resizes in OpenVINO, which rounds 8 % of the pixels to the next level; no sure object may be lost."""
    import numpy as np

    from core.evaluation.boxes import intersections_over_unions

    sure = lost = 0
    for both in rows_of_both(bundle / model, photographs):
        for rows, others in (both, both[::-1]):
            boxes, other_boxes = (np.float64([box for *_, box in some]).reshape(-1, 4) for some in (rows, others))
            overlaps = intersections_over_unions(boxes, other_boxes)
            for (label, score, _), overlap in zip(rows, overlaps):
                if score >= SURE:
                    sure += 1
                    lost += not any(iou >= 0.5 and other == label for iou, (other, *_) in zip(overlap, others))
    print(f"Model API, {model}: {lost} of {sure} boxes scored {SURE} or more are in one result alone")
    assert sure > 10 * len(photographs) and lost <= 0.005 * sure


def run_module(*command):
    return subprocess.run([sys.executable, "-m", *map(str, command)], cwd=ROOT, capture_output=True, text=True,
                          env={**os.environ, **STAGE_SETTINGS})


def test_postprocessing_in_the_graph_costs_no_accuracy(bccd_runs, bccd_root):
    done = run_module(
        "benchmarks.postprocessing", "--checkpoint", bccd_runs("bccd").folder / "checkpoints" / "fp32.pth", "--data",
        bccd_root, "--train-split", "trainval")
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert "post-processing True" in done.stdout


def test_the_pruning_level_is_searched_within_a_limit(bccd_runs, bccd_root, kept_work_dir):
    run = bccd_runs("bccd")
    work_dir = kept_work_dir / "search" / run.summary["provenance"]["sha256"]["parent_checkpoint"][:12]
    # One short trial: the whole level at once, and one epoch to recover.
    command = ["core.training.pruning_search", "configs/nncf_compression/retinanet_r18_small/pruning.py",
               "--checkpoint", run.folder / "checkpoints" / "fp32.pth", "--data", bccd_root, "--train-split", "train",
               "--val-split", "val", "--test-split", "test", "--max-map-drop", "0.3", "--trials", "1", "--highest",
               "0.4", "--work-dir", work_dir, "--cfg-options", "runner.max_epochs=1",
               "nncf_config.compression.params.schedule=baseline"]
    done = run_module(*command)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert "0.4000: mAP" in done.stdout and "best" in done.stdout
    assert (work_dir / "level-0.4000" / "checkpoint.pth").is_file()
    again = run_module(*command)
    assert again.stdout.splitlines()[-2:] == done.stdout.splitlines()[-2:]
    assert "Epoch [1]" not in again.stdout
