"""Every detector with every algorithm: as many quantization points and pruned filters as before, all at work."""

import json
from pathlib import Path

import pytest

pytest.importorskip("mmdet", reason="needs the train environment")
pytest.importorskip("nncf", reason="needs NNCF")

from core.compression.matrix import ALGORITHMS, CONFIGS, TRIAL_SIZES, reference_counts, run_row_apart
from core.compression.preflight import find_openvino_python

REFERENCE = Path(__file__).with_name("quantization_points.json")
ROWS = [(detector, algorithm) for detector in TRIAL_SIZES for algorithm in ALGORITHMS
        if (CONFIGS / detector / f"{algorithm}.py").is_file()]


@pytest.mark.e2e
@pytest.mark.parametrize(("detector", "algorithm"), ROWS)
def test_detector_goes_the_whole_way(detector, algorithm):
    row = run_row_apart(detector, algorithm, find_openvino_python())
    failed = {stage: cell.seen for stage, cell in row.cells.items() if cell.outcome == "FAILED"}
    assert not failed
    assert reference_counts([row])[detector][algorithm] == json.loads(REFERENCE.read_text())[detector][algorithm]


def test_every_detector_and_algorithm_has_reference_counts():
    kept = json.loads(REFERENCE.read_text())
    assert {(detector, algorithm) for detector, algorithms in kept.items() for algorithm in algorithms} == set(ROWS)
