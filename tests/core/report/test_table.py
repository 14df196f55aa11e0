import pytest

from core.base.errors import UserError
from core.report.table import comparison, terminal_table


def test_the_table_of_a_run_that_passed(measured):
    assert terminal_table(measured().summary().to_json()) == """\
                        FP32  compressed   change
-------------------------------------------------
mAP, PyTorch          0.4047      0.4031  -0.0016
mAP, OpenVINO         0.4047      0.4021  -0.0026
mAP50, PyTorch        0.7404      0.7386  -0.0018
mAP50, OpenVINO       0.7404      0.7374  -0.0030
Throughput, images/s    91.2         214    2.35x
Latency p50, ms         21.1        9.02    0.43x
Size, MB                14.2        3.94    0.28x

PASS: mAP 0.4021 meets the minimum 0.0500 (FP32 0.4047, compressed IR 0.4021); \
mAP drop 0.0026 is within the limit 0.0100 (FP32 0.4047, compressed IR 0.4021); \
largest AP drop of a class 0.0026 (RBC) is within the limit 0.0500; \
speed-up 2.35x meets the minimum 1.20x; 0.93 of the 2.51x that this CPU allows."""


def test_a_failure_ends_with_its_reasons_only(measured):
    summary = measured(maps=(0.4047, 0.39, 0.4047, 0.3821)).summary()
    assert terminal_table(summary.to_json()).splitlines()[-1] == (
        "FAIL: mAP drop 0.0226 is above the limit 0.0100 (FP32 0.4047, compressed IR 0.3821).")


def test_unmeasured_numbers_keep_the_table_whole(measured):
    record = {**measured().summary().to_json(), "fps_fp32": None, "size_mb_fp32": 0.0, "verdict": "fail"}
    lines = terminal_table(record).splitlines()
    assert "Throughput, images/s     n/a         214    2.35x" in lines
    assert "Size, MB                0.00        3.94      n/a" in lines
    assert lines[-1].startswith("FAIL: fps_fp32 ")


def test_of_several_candidates_the_chosen_one_has_a_table_and_each_a_line(three):
    text = terminal_table(three.summary().to_json())
    assert [line.split() for line in text.splitlines() if "change" in line] == [["FP32", "int8", "change"]]
    assert "PASS: " in text
    assert [line.partition(".")[0] for line in text.splitlines()[-2:]] == ["chosen: int8", "not chosen: pruned"]


def test_the_latency_s_ratio_is_by_the_time_that_counts(measured):
    """A candidate was chosen by it, and the table had another."""
    summary = measured().summary()
    busy = summary.model_copy(update={"speed": summary.speed.model_copy(update={"source": "cpu", "latency_gain": 4.0})})
    assert [line.split()[-1] for line in terminal_table(busy.to_json()).splitlines() if "Latency" in line] == ["0.25x"]


def test_what_is_no_summary_is_refused():
    with pytest.raises(UserError, match="summary: schema is missing"):
        terminal_table({"verdict": "pass"})


def test_accuracy_is_compared_with_pytorch_and_speed_with_the_fp32_ir(measured):
    rows = {row.label: row for row in comparison(measured(maps=(0.5, 0.4, 0.3, 0.2)).summary())}
    assert rows["mAP"].reference == 0.5 and rows["mAP"].change == pytest.approx(-0.3)
    assert rows["mAP"].ratio == pytest.approx(0.4)
    assert rows["Size, MB"].reference == 14.21
    assert rows["Throughput, images/s"].ratio == 2.345
