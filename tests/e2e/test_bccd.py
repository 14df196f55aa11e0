"""Real photographs from Pascal VOC annotations to a validated int8 model."""

import pytest

pytest.importorskip("kfp", reason="needs the openvino environment")

pytestmark = pytest.mark.e2e


def test_bccd_is_learned_and_int8_keeps_it(bccd_root, run_pipeline):
    run = run_pipeline("--params", "configs/pipelines/bccd.yaml", "-p", f"data={bccd_root}")

    assert run.code == 0, run.text[-3000:]
    summary = run.summary
    assert summary["map50_fp32"] >= 0.5
    assert summary["map50_fp32"] - summary["map50_ir"] <= 0.015
    assert summary["map_drop"] <= 0.015
    resolved = (run.folder / "logs" / "resolve.log").read_text()
    assert all(f"box without area dropped: BloodImage_00{number}.jpg" in resolved for number in (338, 343))
