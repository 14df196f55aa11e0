"""Every detector with 8 bits and both settings of post-processing; counts as a decision keeps them.

ONNX and IR of each, and the other algorithms, are in docs/detectors.md; the counts come from the same program.
"""

import json

import pytest

from scripts.detectors import AS_WITHOUT, REPOSITORY, RowRun
from scripts.trial_configs import detectors, trial_config

REFERENCE = {row["detector"]: row["counts"] for row in json.loads((REPOSITORY / "docs" / "detectors.json").read_text())
             if row["algorithm"] == "int8"}
# The others take up to minutes each: `make test-detectors` runs all.
QUICK = ("retinanet_r18_small",)
COUNTS = ("points_without", "points_with", "fake_quantize_without", "fake_quantize_with")


def test_every_detector_has_reference_counts():
    assert set(REFERENCE) == set(detectors())


@pytest.mark.parametrize("detector", [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.detectors) for name in detectors()])
def test_every_quantizer_runs_and_comes_back(detector, tmp_path):
    trial = RowRun(trial_config(detector, "int8"), tmp_path, None)
    trial.without_postprocessing() if detector == "retinanet_r18_small" else trial.wrap(False)
    with_postprocessing = trial.with_postprocessing()
    assert {name: trial.counts[name] for name in COUNTS} == {name: REFERENCE[detector][name] for name in COUNTS}
    points = trial.counts["points_with"]
    assert trial.train_step() == f"{points}/{points}"
    assert trial.test_forward() == f"{points}/{points}"
    assert trial.resume().endswith("outputs identical")
    assert (AS_WITHOUT in with_postprocessing) == detector.startswith("yolov3")
