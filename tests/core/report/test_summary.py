import dataclasses
import json
import math

import pytest

from core.base.errors import UserError
from core.report.gate import Thresholds
from core.report.summary import Summary, build_summary, read_summary, write_summary

FIGURES = ["map_fp32", "map_compressed", "map_ir_fp32", "map_ir", "map50_fp32", "map50_compressed", "map50_ir_fp32",
           "map50_ir", "map_drop", "map_drop_low", "map_drop_high", "worst_class_drop", "corrupt_images", "fps_fp32",
           "fps", "speedup", "speedup_low", "speedup_high", "int8_share", "latency_ms_p50_fp32", "latency_ms_p50",
           "size_mb_fp32", "size_mb"]


def test_every_key_is_there_and_no_other(measured):
    record = build_summary(*measured().arguments()).to_json()
    assert [name for name in record if name != "worst_class"] == ["schema", "verdict", *FIGURES, "provenance"]


def test_figures_come_from_their_measurements(measured):
    run = measured()
    summary = build_summary(*run.arguments())
    assert (summary.map_fp32, summary.map_compressed, summary.map_ir_fp32, summary.map_ir) == (
        0.4047, 0.4031, 0.4047, 0.4021)
    assert [summary.map50_fp32, summary.map50_compressed, summary.map50_ir_fp32, summary.map50_ir] == [
        part["metrics"]["map50"] for part in (run.fp32, run.compressed, run.validation["fp32"],
                                              run.validation["compressed"])]
    assert summary.map_drop == pytest.approx(0.4047 - 0.4021, abs=1e-12)
    assert (summary.map_drop_low, summary.map_drop_high) == (-0.0031, 0.0087)
    assert (summary.fps_fp32, summary.fps, summary.speedup) == (91.2, 213.9, 2.345)
    assert (summary.speedup_low, summary.speedup_high, summary.int8_share) == (2.21, 2.41, 0.985)
    assert (summary.latency_ms_p50_fp32, summary.latency_ms_p50) == (21.13, 9.02)
    assert (summary.size_mb_fp32, summary.size_mb) == (14.21, 3.94)


def test_the_worst_class_is_named(measured):
    run = measured()
    run.fp32["metrics"]["per_class_ap"].update(RBC=0.9, WBC=0.8, Platelets=None)
    run.validation["compressed"]["metrics"]["per_class_ap"].update(RBC=0.88, WBC=0.7, Platelets=0.1)
    summary = build_summary(*run.arguments())
    assert summary.worst_class == "WBC" and summary.worst_class_drop == pytest.approx(0.1)
    assert summary.verdict == "fail"


def test_classes_that_cannot_be_compared_fail(measured):
    run = measured()
    run.fp32["metrics"]["per_class_ap"] = dict.fromkeys(run.data.classes)
    summary = build_summary(*run.arguments())
    assert summary.worst_class == "" and math.isnan(summary.worst_class_drop) and summary.verdict == "fail"


def test_corrupt_images_are_counted_and_fail(measured):
    run = measured()
    run.validation["corrupt_images"] = [{"image": "a.png", "reason": "the file is empty"}]
    summary = build_summary(*run.arguments())
    assert (summary.corrupt_images, summary.verdict) == (1, "fail")


def test_provenance_names_what_was_measured(measured):
    run = measured()
    run.parent.update(uri="s3://models/parent.pth", digest="e7" * 16)
    assert build_summary(*run.arguments()).provenance == {
        "sha256": {"data": "da7a" * 16, "parent_checkpoint": "f9" * 32, "compressed_checkpoint": "c9" * 32,
                   "ir_fp32_xml": "f0" * 32, "ir_fp32_bin": "f1" * 32, "ir_xml": "c0" * 32, "ir_bin": "c1" * 32,
                   "nncf_config": "c0f1" * 16},
        "versions": {"torch": "1.8.1", "mmdet": "2.28.2", "mmcv": "1.7.2", "nncf": "2.0.0", "openvino": "2024.6.0"},
        "cpu": {"name": "AMD EPYC 7B13", "instruction_set": "AVX2", "cores": 2},
        "data": {"uri": "/data/bccd", "format": "voc", "classes": 3, "test_split": "test", "test_images": 72},
        "parent": {"uri": "s3://models/parent.pth", "digest": "e7" * 16},
        "configs": {"model": "configs/detectors/retinanet_r18_small.py", "model_digest": "0de1" * 16,
                    "compression": "configs/nncf_compression/retinanet_r18_small/int8.py",
                    "compression_digest": "c09f" * 16},
        "compression": {"algorithms": ["quantization"], "fake_quantize_nodes": 81},
        "thresholds": {"max_map_drop": 0.01, "max_class_drop": 0.05, "min_speedup": 1.2},
    }


@pytest.mark.parametrize("maps, speedup, verdict", [
    ((0.4047, 0.4031, 0.4047, 0.4021), 2.3, "pass"), ((0.4047, 0.4031, 0.4047, 0.3947), 2.3, "pass"),
    ((0.4047, 0.4031, 0.4047, 0.3946), 2.3, "fail"), ((0.4047, 0.4031, 0.4047, 0.4021), 1.1, "fail"),
    ((0.4047, 0.4031, 0.4047, None), 2.3, "fail")])
def test_the_verdict_is_the_gate_s(measured, maps, speedup, verdict):
    run = measured()
    run.validation["compressed"]["metrics"]["map"] = maps[3]
    run.validation["speedup"] = speedup
    summary = build_summary(*run.arguments())
    assert summary.verdict == verdict
    assert summary.metrics()["passed"] == (verdict == "pass")


def test_metrics_are_the_flat_stable_keys(measured):
    metrics = build_summary(*measured().arguments()).metrics()
    assert list(metrics) == ["passed", *FIGURES]
    assert all(isinstance(value, (int, float)) for value in metrics.values())


def test_summary_survives_its_file(measured, tmp_path):
    run = measured(classes=("\u7ea2\u7ec6\u80de", "b"))
    run.validation["fp32"]["fps"] = None
    summary = build_summary(*run.arguments())
    write_summary(summary, tmp_path / "new" / "summary.json")
    text = (tmp_path / "new" / "summary.json").read_text(encoding="utf-8")
    assert json.loads(text)["fps_fp32"] is None and "NaN" not in text
    again = read_summary(tmp_path / "new" / "summary.json")
    assert math.isnan(again.fps_fp32)
    assert dataclasses.replace(again, fps_fp32=0.0) == dataclasses.replace(summary, fps_fp32=0.0)


@pytest.mark.parametrize("part", ["fp32", "compressed", "validation"])
def test_measurements_of_other_data_are_refused(measured, part):
    run = measured()
    getattr(run, part)["data_digest"] = "0bad" * 16
    with pytest.raises(UserError, match="data digest: .*0bad0bad0bad.* must be of the same data"):
        build_summary(*run.arguments())


def test_measurements_of_other_classes_are_refused(measured):
    run = measured()
    run.validation["fp32"]["metrics"]["per_class_ap"]["Zebra"] = 0.1
    with pytest.raises(UserError, match="validation of the FP32 IR: has classes Zebra"):
        build_summary(*run.arguments())


def test_a_missing_key_is_refused(measured):
    run = measured()
    del run.compressed["metrics"]["map50"]
    with pytest.raises(UserError, match="evaluation of the compressed model.metrics: has no 'map50'"):
        build_summary(*run.arguments())


def test_nncf_may_be_absent_where_nothing_is_compressed(measured):
    run = measured()
    for part in (run.fp32, run.compressed):
        part["versions"]["nncf"] = None
    run.compressed["model"].update(algorithms=[], nncf_config_sha256="")
    assert build_summary(*run.arguments()).provenance["versions"]["nncf"] == ""


@pytest.mark.parametrize("change, message", [
    ({"schema": 1}, "differs in schema 1"), ({"extra": 1}, "differs in extra"), ({"fps": "high"}, "fps is 'high'"),
    ({"fps": True}, "fps is True"), ({"verdict": "maybe"}, "verdict is 'maybe'"),
    ({"worst_class": 3}, "worst_class is 3"),
    ({"provenance": {}}, "provenance lacks some of")])
def test_what_is_no_summary_is_refused(measured, change, message):
    record = {**build_summary(*measured().arguments()).to_json(), **change}
    with pytest.raises(UserError, match=message):
        Summary.from_json(record)


def test_a_summary_without_a_key_is_refused(measured):
    record = build_summary(*measured().arguments()).to_json()
    del record["speedup"]
    with pytest.raises(UserError, match="differs in speedup"):
        Summary.from_json(record)


def test_thresholds_are_those_of_the_run(measured):
    run = measured(maps=(0.4, 0.4, 0.4, 0.3))
    run.thresholds = Thresholds(max_map_drop=0.2, max_class_drop=0.2, min_speedup=0.0)
    assert build_summary(*run.arguments()).verdict == "pass"
