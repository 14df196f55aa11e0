import math

import pytest

from core.base.errors import UserError
from core.report.measurements import Sample, parse_evaluation, parse_measurements, parse_validation, read_json


def test_measurements_are_read(measured):
    run = measured()
    run.validation["samples"] = [{"file": "samples/1.jpg", "image": "a b.jpg"}]
    read = parse_measurements(run.fp32, run.compressed, run.validation)
    assert (read.fp32.accuracy.map, read.compressed.accuracy.map) == (0.4047, 0.4031)
    assert read.compressed.algorithms == ("quantization",)
    assert (read.irs.fp32.fps, read.irs.compressed.fps) == (91.2, 213.9)
    assert read.irs.samples == (Sample("samples/1.jpg", "a b.jpg"),)
    assert read.irs.cpu == {"name": "AMD EPYC 7B13", "instruction_set": "AVX2", "cores": 2}


def test_curves_waterfall_speed_and_structure_are_read(measured):
    run = measured()
    run.validation["curves"]["fp32"]["WBC"] = None
    run.validation["layers_changed"] = [{"name": "conv1", "in_channels": [3, 3], "out_channels": [64, 40]}]
    run.validation["waterfall"]["neighbours"][0]["largest_score_difference"] = None
    irs = parse_validation(run.validation, "validation")
    assert irs.curves_fp32["WBC"] is None and len(irs.curves_compressed["WBC"]) == 101
    assert [step.name for step in irs.waterfall.steps] == ["fp32_pytorch", "compressed_pytorch", "fp32_ir",
                                                           "compressed_ir"]
    assert irs.waterfall.missing == {"fp32_onnx": "not given", "compressed_onnx": "not given"}
    pair = irs.waterfall.neighbours[0]
    assert (pair.first, pair.second, pair.matched, pair.only_second) == ("fp32_pytorch", "fp32_ir", 870, 5)
    assert math.isnan(pair.largest_score_difference)
    throughput, latency = irs.compressed.speeds
    assert (throughput.hint, throughput.fps, throughput.fps_high) == ("THROUGHPUT", 213.9, 1.02 * 213.9)
    assert (latency.hint, latency.streams, latency.threads) == ("LATENCY", 2, 2)
    assert (irs.compressed.int8_share, irs.compressed.not_int8[0].precision) == (0.985, "f32")
    assert irs.layers_changed[0].out_channels == (64, 40)
    assert irs.confusion.classes == ("RBC", "WBC", "Platelets", "background")


def test_layers_that_cannot_be_compared_are_none(measured):
    run = measured()
    run.validation["layers_changed"] = None
    assert parse_validation(run.validation, "validation").layers_changed == ()


def test_null_is_nan(measured):
    run = measured()
    run.fp32["metrics"]["per_class_ap"]["WBC"] = None
    run.fp32["metrics"]["map"] = None
    accuracy = parse_evaluation(run.fp32, "evaluation").accuracy
    assert math.isnan(accuracy.map) and math.isnan(accuracy.per_class_ap["WBC"])


def test_what_was_left_out_is_read_as_text(measured):
    run = measured()
    run.validation["corrupt_images"] = [{"image": "a.jpg", "reason": "truncated"}, "b.jpg"]
    run.fp32["warnings"] = ["zero-area box"]
    assert parse_validation(run.validation, "validation").corrupt_images == ("a.jpg: truncated", "b.jpg")
    assert parse_evaluation(run.fp32, "evaluation").warnings == ("zero-area box",)


@pytest.mark.parametrize("path", [("schema",), ("kind",), ("metrics",), ("metrics", "map"), ("metrics", "per_class_ap"),
                                  ("metrics", "images"), ("corrupt_images",), ("model", "checkpoint_sha256"),
                                  ("model", "algorithms"), ("versions", "torch"), ("data_digest",)])
def test_a_missing_key_of_an_evaluation_is_named(measured, path):
    with pytest.raises(UserError, match=rf"FP32 evaluation.*: has no '{path[-1]}'"):
        parse_evaluation(without(measured().fp32, path), "FP32 evaluation")


@pytest.mark.parametrize("path", [("fp32",), ("compressed", "fps"), ("compressed", "size_mb"), ("fp32", "xml_sha256"),
                                  ("speedup",), ("samples",), ("cpu", "instruction_set"), ("versions", "openvino"),
                                  ("data_digest",), ("corrupt_images",)])
def test_a_missing_key_of_a_validation_is_named(measured, path):
    with pytest.raises(UserError, match=rf"validation.*: has no '{path[-1]}'"):
        parse_validation(without(measured().validation, path), "validation")


@pytest.mark.parametrize("change, message", [
    ({"speedup": "fast"}, "validation.speedup: 'fast'. It must be a number or null"),
    ({"speedup": True}, "validation.speedup: True"), ({"samples": {}}, "validation.samples: {}. It must be a list"),
    ({"samples": ["x.jpg"]}, "validation.samples[0]: is str. It must be a JSON object"),
    ({"data_digest": 5}, "validation.data_digest: 5. It must be text"),
    ({"kind": "pytorch"}, "kind 'pytorch'. It must have schema 3 and kind 'openvino'"),
    ({"schema": 2}, "schema 2, kind 'openvino'"), ({"fp32": None}, "validation.fp32: is NoneType"),
    ({"confusion": {"classes": ["a"], "fp32": [[1]], "compressed": [[1, 2]], "min_score": 0.3}},
     "validation.confusion.compressed: [[1, 2]]. It must be 1 rows of 1 counts"),
    ({"layers_changed": [{"name": "a", "in_channels": [8], "out_channels": [8, 8]}]},
     "validation.layers_changed[0].in_channels: [8]. It must be two whole numbers"),
    ({"curves": {"fp32": {"a": ["x"]}, "compressed": {}}}, "validation.curves.fp32.a: ['x']. It must be a list of")])
def test_a_value_of_another_type_is_named(measured, change, message):
    with pytest.raises(UserError) as raised:
        parse_validation({**measured().validation, **change}, "validation")
    assert message in str(raised.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="evaluation.json does not exist"):
        read_json(tmp_path / "evaluation.json")


@pytest.mark.parametrize("content, message", [(b"{", "is not JSON"), (b"\xff\xfe", "is not JSON"),
                                              (b"[1]", "holds list")])
def test_a_file_that_is_no_json_object_is_refused(tmp_path, content, message):
    file = tmp_path / "evaluation.json"
    file.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_json(file)


def without(record, path):
    inner = record
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return record
