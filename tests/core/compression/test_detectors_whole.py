"""Every detector with 8 bits, both settings of post-processing, on the way to ONNX; counts as a decision keeps them."""

import json
from pathlib import Path

import pytest

pytest.importorskip("mmdet", reason="needs the train environment")
pytest.importorskip("nncf", reason="needs NNCF")

from core.compression.matrix import CONFIGS, REFERENCE_COUNTS, TRIAL_SIZES, run_row
from core.compression.tracing import INSEPARABLE

REFERENCE = json.loads(Path(__file__).with_name("quantization_points.json").read_text())
STAGES = ["without post-processing", "with post-processing", "train step", "test forward", "resume", "ONNX", "IR",
          "parameters"]


def test_every_config_has_reference_counts():
    configs = {(path.parent.name, path.stem) for path in CONFIGS.glob("*/*.py") if not path.stem.startswith("digits")}
    assert {(detector, algorithm) for detector in REFERENCE for algorithm in REFERENCE[detector]} == configs


@pytest.mark.parametrize("detector", sorted(TRIAL_SIZES))
def test_a_detector_goes_the_whole_way(detector):
    row = run_row(detector, "int8")
    assert list(row.cells) == STAGES
    assert not {stage: cell.seen for stage, cell in row.cells.items() if cell.outcome == "FAILED"}
    assert {name: row.counts[name] for name in REFERENCE_COUNTS} == REFERENCE[detector]["int8"]
    points = row.counts["points_with"]
    assert row.cells["train step"].seen == row.cells["test forward"].seen == f"{points}/{points}"
    assert row.cells["resume"].seen.endswith("outputs identical")
    assert row.cells["ONNX"].seen == f"{row.counts['fake_quantize_with']} FakeQuantize"
    separable = row.counts["points_with"] > row.counts["points_without"]
    assert separable != any(reason in row.cells["with post-processing"].seen for reason in INSEPARABLE.values())
