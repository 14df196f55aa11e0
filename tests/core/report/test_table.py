import pytest

from core.base.errors import UserError
from core.report.summary import build_summary
from core.report.table import comparison, terminal_table


def test_the_table_of_a_run_that_passed(measured):
    assert terminal_table(build_summary(*measured().arguments()).to_json()) == """\
                        FP32  compressed   change
-------------------------------------------------
mAP, PyTorch          0.4047      0.4031  -0.0016
mAP, OpenVINO         0.4047      0.4021  -0.0026
mAP50, PyTorch        0.7404      0.7386  -0.0018
mAP50, OpenVINO       0.7404      0.7374  -0.0030
Throughput, images/s    91.2         214    2.35x
Latency p50, ms         21.1        9.02    0.43x
Size, MB                14.2        3.94    0.28x

PASS: mAP drop 0.0026 is within the limit 0.0100 (FP32 0.4047, compressed IR 0.4021); \
largest AP drop of a class 0.0026 (RBC) is within the limit 0.0500; \
speed-up 2.35x meets the minimum 1.20x."""


def test_a_failure_ends_with_its_reasons_only(measured):
    summary = build_summary(*measured(maps=(0.4047, 0.39, 0.4047, 0.3821)).arguments())
    assert terminal_table(summary.to_json()).splitlines()[-1] == (
        "FAIL: mAP drop 0.0226 is above the limit 0.0100 (FP32 0.4047, compressed IR 0.3821).")


def test_unmeasured_numbers_keep_the_table_whole(measured):
    run = measured()
    run.validation["fp32"].update(fps=None, size_mb=0.0)
    lines = terminal_table(build_summary(*run.arguments()).to_json()).splitlines()
    assert "Throughput, images/s     n/a         214    2.35x" in lines
    assert "Size, MB                0.00        3.94      n/a" in lines
    assert lines[-1] == "FAIL: fps_fp32 is nan; every figure must be a finite number to be judged."


def test_what_is_no_summary_is_refused():
    with pytest.raises(UserError, match="summary: differs in"):
        terminal_table({"verdict": "pass"})


def test_accuracy_is_compared_with_pytorch_and_speed_with_the_fp32_ir(measured):
    rows = {row.label: row for row in comparison(build_summary(*measured(maps=(0.5, 0.4, 0.3, 0.2)).arguments()))}
    assert rows["mAP"].baseline == 0.5 and rows["mAP"].change == pytest.approx(-0.3)
    assert rows["mAP"].ratio == pytest.approx(0.4)
    assert rows["Size, MB"].baseline == 14.21
    assert rows["Throughput, images/s"].ratio == 2.345
