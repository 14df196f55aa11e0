import math

import pytest

from core.base.errors import UserError
from core.results.summary import FIGURES, Summary, Thresholds

KEYS = ["map_fp32", "map_compressed", "map_ir_fp32", "map_ir", "map50_fp32", "map50_compressed", "map50_ir_fp32",
        "map50_ir", "map_drop", "map_drop_low", "map_drop_high", "worst_class_drop", "corrupt_images", "fps_fp32",
        "fps", "speedup", "speedup_low", "speedup_high", "int8_share", "latency_ms_p50_fp32", "latency_ms_p50",
        "size_mb_fp32", "size_mb"]


def test_every_key_is_there_and_no_other(measured):
    record = measured().summary().to_json()
    assert [name for name in record if name != "worst_class"] == ["schema", "verdict", *KEYS, "speed", "provenance"]
    assert list(FIGURES) == KEYS


def test_figures_come_from_their_measurements(measured):
    run = measured()
    record = run.summary().to_json()
    assert [record[key] for key in ("map_fp32", "map_compressed", "map_ir_fp32", "map_ir")] == [
        0.4047, 0.4031, 0.4047, 0.4021]
    assert [record[key] for key in ("map50_fp32", "map50_compressed", "map50_ir_fp32", "map50_ir")] == [
        part["metrics"]["map50"] for part in (*run.evaluations, run.baseline["ir"], run.candidate["ir"])]
    assert record["map_drop"] == pytest.approx(0.4047 - 0.4021, abs=1e-12)
    assert [record[key] for key in ("map_drop_low", "map_drop_high", "fps_fp32", "fps", "speedup", "speedup_low",
                                    "speedup_high", "int8_share", "latency_ms_p50_fp32", "latency_ms_p50",
                                    "size_mb_fp32", "size_mb")] == [
        -0.0031, 0.0087, 91.2, 213.9, 2.345, 2.21, 2.41, 0.985, 21.13, 9.02, 14.21, 3.94]


def test_latency_is_compared_in_the_time_that_counts(measured):
    run = measured()
    assert run.summary().speed.latency_gain == run.candidate["latency_ratio"]["median"]
    run.candidate["speedups"]["source"] = "cpu"
    before, after = (part["ir"]["latency"] for part in (run.baseline, run.candidate))
    before["cpu_ms_repeats"], after["cpu_ms_repeats"] = [30.0, 32.0, 33.0], [10.0, 8.0, 10.0]
    assert run.summary().speed.latency_gain == pytest.approx(3.3)


def test_the_worst_class_is_named(measured):
    run = measured()
    run.evaluations[0]["metrics"]["per_class_ap"].update(RBC=0.9, WBC=0.8, Platelets=None)
    run.candidate["ir"]["metrics"]["per_class_ap"].update(RBC=0.88, WBC=0.7, Platelets=0.1)
    summary = run.summary()
    assert summary.worst_class == "WBC" and summary.worst_class_drop == pytest.approx(0.1)
    assert summary.verdict == "fail"


def test_classes_that_cannot_be_compared_fail(measured):
    run = measured()
    run.evaluations[0]["metrics"]["per_class_ap"] = dict.fromkeys(run.data.classes)
    summary = run.summary()
    assert summary.worst_class == "" and math.isnan(summary.worst_class_drop) and summary.verdict == "fail"


def test_corrupt_images_are_counted_and_fail(measured):
    run = measured()
    run.validation["corrupt_images"] = [{"image": "a.png", "reason": "the file is empty"}]
    assert (run.summary().corrupt_images, run.summary().verdict) == (1, "fail")


def test_provenance_names_what_was_measured(measured):
    run = measured()
    run.parent.update(uri="s3://models/parent.pth", digest="e7" * 16)
    assert run.summary().to_json()["provenance"] == {
        "models": {"baseline": "FP32", "candidate": "compressed"},
        "sha256": {"data": "da7a" * 16, "parent_checkpoint": "f9" * 32, "compressed_checkpoint": "c9" * 32,
                   "ir_fp32_xml": "f0" * 32, "ir_fp32_bin": "f1" * 32, "ir_xml": "c0" * 32, "ir_bin": "c1" * 32,
                   "nncf_config": "c0f1" * 16},
        "versions": {"torch": "2.1.2", "mmdet": "2.28.2", "mmcv": "1.7.2", "nncf": "2.0.0", "openvino": "2024.6.0"},
        "cpu": {"name": "AMD EPYC 7B13", "instruction_set": "AVX2", "cores": 2},
        "data": {"uri": "/data/bccd", "format": "voc", "classes": 3, "test_split": "test", "test_images": 72},
        "parent": {"uri": "s3://models/parent.pth", "digest": "e7" * 16},
        "configs": {"model": "configs/detectors/retinanet_r18_small.py", "model_digest": "0de1" * 16,
                    "compression": "configs/nncf_compression/retinanet_r18_small/int8.py",
                    "compression_digest": "c09f" * 16},
        "compression": {"algorithms": ["quantization"], "fake_quantize_nodes": 81},
        "thresholds": {"max_map_drop": 0.01, "max_class_drop": 0.05, "min_speedup": 1.2, "min_map": 0.05},
    }


@pytest.mark.parametrize("map_ir, speedup, verdict", [
    (0.4021, 2.3, "pass"), (0.3947, 2.3, "pass"), (0.3946, 2.3, "fail"), (0.4021, 1.1, "fail"), (None, 2.3, "fail")])
def test_the_verdict_is_the_gate_s(measured, map_ir, speedup, verdict):
    run = measured()
    run.candidate["ir"]["metrics"]["map"] = map_ir
    run.candidate["speedup"]["median"] = speedup
    summary = run.summary()
    assert summary.verdict == verdict
    assert summary.metrics()["passed"] == (verdict == "pass")


def test_metrics_are_the_flat_stable_keys_that_were_measured(measured):
    assert list(measured().summary().metrics()) == ["passed", *KEYS]
    run = measured()
    run.candidate["ir"]["metrics"]["map"] = None
    metrics = run.summary().metrics()
    assert set(KEYS) - set(metrics) == {"map_ir", "map_drop"} and all(map(math.isfinite, metrics.values()))


def test_further_candidates_have_summaries_of_their_own(three):
    summary = three.summary()
    assert [one.provenance.models.candidate for one in summary.all] == ["int8", "pruned"]
    assert [one.map_ir for one in summary.all] == [0.4021, 0.38] and summary.metrics()["passed"] == 1
    assert Summary.from_json(summary.to_json()) == summary


@pytest.mark.parametrize("part", ["baseline", "candidate", "validation"])
def test_measurements_of_other_data_are_refused(measured, part):
    run = measured()
    {"baseline": run.evaluations[0], "candidate": run.evaluations[1], "validation": run.validation}[part][
        "data_digest"] = "0bad" * 16
    with pytest.raises(UserError, match="data digest: .*0bad0bad0bad"):
        run.summary()


def test_measurements_of_other_classes_are_refused(measured):
    run = measured()
    run.baseline["ir"]["metrics"]["per_class_ap"]["Zebra"] = 0.1
    with pytest.raises(UserError, match="FP32 IR: has classes Zebra"):
        run.summary()


def test_nncf_may_be_absent_where_nothing_is_compressed(measured):
    run = measured()
    for part in run.evaluations:
        del part["versions"]["nncf"]
    run.evaluations[1]["model"].update(algorithms=[], nncf_config_sha256="")
    assert run.summary().provenance.versions["nncf"] == ""


def test_thresholds_are_those_of_the_run(measured):
    run = measured(maps=(0.4, 0.4, 0.4, 0.3))
    run.thresholds = Thresholds(max_map_drop=0.2, max_class_drop=0.2, min_speedup=0.0)
    assert run.summary().verdict == "pass"
    run.thresholds = Thresholds(max_map_drop=0.2, max_class_drop=0.2, min_speedup=0.0, min_map=0.35)
    assert run.summary().verdict == "fail"
