import copy
import dataclasses
import json
import re
from pathlib import Path

import pytest

from core.base.errors import UserError
from core.evaluation.detections import Detections
from core.evaluation.store import write_detections
from core.openvino.detector import OpenVinoDetector
from core.openvino.image import read_image
from core.openvino.ir import convert_to_ir, describe_ir
from core.openvino.validation import SCHEMA
from core.openvino.validation import validate as measure
from core.openvino.waterfall import Sources

pytestmark = pytest.mark.usefixtures("openvino")
QUICK = {"repeats": 2, "seconds": 0.03}
ROOT = Path(__file__).parents[3]
METRICS_SCHEMA = json.loads((ROOT / "core" / "inference" / "metrics.schema.json").read_text(encoding="ascii"))
# Words of the page that are values rather than keys.
VALUES = {"null", "background"}


def mistakes(record):
    """Return what is wrong with a metrics.json by its published schema."""
    jsonschema = pytest.importorskip("jsonschema")
    return [f"{error.json_path}: {error.message}"
            for error in jsonschema.Draft202012Validator(METRICS_SCHEMA).iter_errors(record)]


def validate(*arguments, **options):
    """Validate; whatever a test makes of it, what is written keeps the schema."""
    result = measure(*arguments, **options)
    assert mistakes(result) == []
    return result


def test_writes_what_the_report_reads(tmp_path, scenes, toy_ir, int8_ir):
    result = validate(scenes, toy_ir, int8_ir, tmp_path / "out", samples=2, **QUICK)
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == result
    assert (result["schema"], result["kind"], result["inference_precision"]) == (3, "openvino", "f32")
    assert (result["data_digest"], result["corrupt_images"]) == (scenes.digest, [])
    assert set(result["cpu"]) == {"name", "instruction_set", "instruction_sets", "cores"}
    assert result["versions"]["openvino"].startswith("2024.6")
    assert result["speedup"] > 0
    assert result["map_drop"] == {"first": "fp32_ir", "second": "compressed_ir", "value": pytest.approx(0), "low": 0,
                                  "high": 0, "level": 0.95, "samples": 500}
    assert result["curves"]["compressed"]["red"][0] == 1 and len(result["curves"]["fp32"]["red"]) == 101
    assert result["confusion"]["classes"] == ["red", "green", "blue", "background"]
    assert sum(map(sum, result["confusion"]["compressed"])) == scenes.test.boxes
    for name, ir in (("fp32", toy_ir), ("compressed", int8_ir)):
        model = result[name]
        assert model["metrics"]["map"] == pytest.approx(1)
        assert model["fps"] > 0 and model["latency_ms_p50"] > 0 and model["seconds"] > 0
        described = dataclasses.asdict(describe_ir(ir))
        assert {key: model[key] for key in described} == described
        assert model["structure"]["flops"] == 2 * 3 * 3 * 8 * 8 * 6 * 8
    assert (result["fp32"]["execution"]["int8_share"], result["compressed"]["execution"]["int8_share"]) == (0, 1)
    assert result["compressed"]["execution"]["not_int8"] == [] and result["layers_changed"] == []


def test_the_golden_image_holds_what_the_compressed_model_found(tmp_path, scenes, toy_ir, int8_ir):
    from core.bundle.golden import difference, read_golden
    from core.openvino.detector import OpenVinoDetector

    validate(scenes, toy_ir, int8_ir, tmp_path / "out", samples=0, **QUICK)
    golden = read_golden(tmp_path / "out" / "golden")
    assert golden.image.read_bytes() == (scenes.test.image_root / "scene 1.png").read_bytes()
    found = difference(golden.detections, OpenVinoDetector(int8_ir)(read_image(golden.image)))
    assert (found.boxes, found.missing, found.unexpected) == (3, 0, 0)
    assert found.score_difference < 1e-5


def test_the_report_can_read_it(tmp_path, scenes, toy_ir, int8_ir):
    from core.report.measurements import parse_validation

    result = validate(scenes, toy_ir, int8_ir, tmp_path / "out", samples=0, **QUICK)
    parsed = parse_validation(result, "validation")
    assert (parsed.fp32.fake_quantize_nodes, parsed.compressed.fake_quantize_nodes) == (0, 1)


def test_the_schema_is_of_this_version_and_notices_what_is_not_in_it(tmp_path, scenes, toy_ir, int8_ir):
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(METRICS_SCHEMA)
    assert METRICS_SCHEMA["properties"]["schema"] == {"const": SCHEMA}
    assert METRICS_SCHEMA["$id"].endswith(f":{SCHEMA}")
    result = validate(scenes, toy_ir, int8_ir, tmp_path / "out", samples=0, **QUICK)
    for change, where in ((lambda found: found.update(extra=1), "'extra' was unexpected"),
                          (lambda found: found.pop("warnings"), "'warnings' is a required property"),
                          (lambda found: found.update(schema=SCHEMA - 1), "$.schema:"),
                          (lambda found: found["fp32"]["metrics"].update(map=1.5), "$.fp32.metrics.map:"),
                          (lambda found: found["waterfall"]["steps"].update(ir=1), "$.waterfall.steps")):
        changed = copy.deepcopy(result)
        change(changed)
        (mistake, *_) = mistakes(changed)
        assert where in mistake


def keys_below(schema, described_elsewhere):
    """Return the keys of all objects in a part of the schema, those of definitions that have rows of their own not."""
    if isinstance(schema, list):
        return set().union(*(keys_below(item, described_elsewhere) for item in schema))
    if not isinstance(schema, dict):
        return set()
    name = schema.get("$ref", "").rpartition("/")[2]
    if name and name not in described_elsewhere:
        return keys_below(METRICS_SCHEMA["$defs"][name], described_elsewhere)
    below = set(schema.get("properties", {}))
    for inner in [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]:
        below |= keys_below(inner, described_elsewhere)
    return below


def rows_of(table):
    """Return each row of a Markdown table as its keys and the other words in code."""
    cells = [line.strip("|").split("|") for line in table.strip().splitlines()[2:]]
    return [(re.findall(r"`(\w+)`", keys), set(re.findall(r"`([a-z]\w+)`", content))) for keys, content in cells]


def test_the_page_and_the_schema_name_the_same_keys():
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    first, second = (rows_of(table) for table in re.findall(r"(?:^\|.*\n)+", page, flags=re.MULTILINE))
    values = {*VALUES, *METRICS_SCHEMA["$defs"]["step"]["enum"], "openvino",
              *METRICS_SCHEMA["properties"]["inference_precision"]["enum"]}
    for rows, part, described_elsewhere in ((first, METRICS_SCHEMA, {"ir", "metrics"}),
                                            (second, METRICS_SCHEMA["$defs"]["ir"], {})):
        properties = part["properties"]
        assert sorted(key for keys, _ in rows for key in keys) == sorted(properties)
        for keys, words in rows:
            below = set().union(*(keys_below(properties[key], described_elsewhere) for key in keys))
            assert words - values == below - values, keys


@pytest.mark.parametrize("asked, drawn", [(0, 0), (1, 1), (4, 4), (50, 6)])
def test_samples_are_pictures_of_test_images(tmp_path, scenes, toy_ir, int8_ir, asked, drawn):
    result = validate(scenes, toy_ir, int8_ir, tmp_path, samples=asked, **QUICK)
    assert len(result["samples"]) == drawn
    for sample in result["samples"]:
        assert (scenes.test.image_root / sample["image"]).is_file()
        assert read_image(tmp_path / sample["file"]).shape == (270 + 22, 3 * 360 + 2 * 6, 3)
    assert len({sample["image"] for sample in result["samples"]}) == drawn


def test_corrupt_images_are_listed_and_not_drawn(tmp_path, scenes, toy_ir, int8_ir):
    (scenes.test.image_root / "scene 1.png").write_bytes(b"")
    result = validate(scenes, toy_ir, int8_ir, tmp_path / "out", samples=6, **QUICK)
    assert result["corrupt_images"] == [{"image": "scene 1.png", "reason": "the file is empty"}]
    assert "scene 1.png" not in [sample["image"] for sample in result["samples"]]
    assert result["fp32"]["metrics"]["images"] == result["compressed"]["metrics"]["images"] == 5


def test_background_only_has_undefined_accuracy(tmp_path, scenes, toy_ir, int8_ir):
    truth = {**json.loads(scenes.test.annotation_file.read_text()), "annotations": []}
    scenes.test.annotation_file.write_text(json.dumps(truth))
    result = validate(scenes, toy_ir, int8_ir, tmp_path / "out", samples=1, **QUICK)
    assert result["compressed"]["metrics"]["map"] is None
    assert len(result["samples"]) == 1


def test_every_form_of_the_model_sees_the_same_images(tmp_path, scenes, toy_ir, int8_ir, write_onnx, toy_spec,
                                                     int8_spec):
    """One PyTorch model finds what the IR finds; the other missed a box, and its image is the worst."""
    detector = OpenVinoDetector(toy_ir)
    found = {number: detector(read_image(scenes.test.image_root / f"scene {number}.png")) for number in range(1, 7)}
    write_detections(tmp_path / "fp32.npz", found)
    found[4] = Detections(found[4].boxes[1:], found[4].scores[1:], found[4].labels[1:])
    write_detections(tmp_path / "compressed.npz", found)
    sources = Sources(tmp_path / "fp32.npz", tmp_path / "compressed.npz", write_onnx(tmp_path / "plain", toy_spec),
                      write_onnx(tmp_path / "int8", int8_spec, quantized=True))
    result = validate(scenes, toy_ir, int8_ir, tmp_path / "out", sources, samples=0, **QUICK)
    waterfall = result["waterfall"]
    assert list(waterfall["steps"]) == ["fp32_pytorch", "fp32_onnx", "fp32_ir", "compressed_pytorch", "compressed_ir"]
    assert waterfall["missing"] == {"compressed_onnx": "not loaded by onnxruntime: it has FakeQuantize, an operator of "
                                                       "OpenVINO's that onnxruntime lacks"}
    pairs = {(pair["first"], pair["second"]): pair for pair in waterfall["neighbours"]}
    assert list(pairs) == [("fp32_pytorch", "fp32_onnx"), ("fp32_onnx", "fp32_ir"),
                           ("fp32_pytorch", "compressed_pytorch"), ("compressed_pytorch", "compressed_ir"),
                           ("fp32_ir", "compressed_ir")]
    for pair in list(pairs.values())[:2]:
        assert pair["share"] == 1 and pair["largest_score_difference"] < 1e-5 and pair["map_change"] == 0
    missed = pairs["fp32_pytorch", "compressed_pytorch"]
    assert (missed["only_first"], missed["only_second"]) == (1, 0) and missed["map_change"] < 0
    assert [picture["image"] for picture in missed["worst"]] == ["scene 4.png"]
    assert read_image(tmp_path / "out" / missed["worst"][0]["file"]).shape[1] == 3 * 360 + 2 * 6
    assert result["map_drop"]["first"] == "fp32_pytorch"


def test_a_full_list_of_detections_is_known_as_one(tmp_path, scenes, write_onnx, toy_spec, int8_spec):
    """Both IRs keep two boxes of three; PyTorch's three hold one that they had no place for."""
    specs = [dataclasses.replace(spec, max_detections=2) for spec in (toy_spec, int8_spec)]
    for name, spec in zip(("fp32", "int8"), specs):
        convert_to_ir(write_onnx(tmp_path / name, spec, quantized=name == "int8"), tmp_path / f"{name}_ir")
    convert_to_ir(write_onnx(tmp_path / "whole", toy_spec), tmp_path / "whole_ir")
    whole = OpenVinoDetector(tmp_path / "whole_ir")
    found = {number: whole(read_image(scenes.test.image_root / f"scene {number}.png")) for number in range(1, 7)}
    write_detections(tmp_path / "fp32.npz", found)
    result = validate(scenes, tmp_path / "fp32_ir", tmp_path / "int8_ir", tmp_path / "out",
                      Sources(tmp_path / "fp32.npz"), samples=0, **QUICK)
    pair = result["waterfall"]["neighbours"][0]
    assert (pair["first"], pair["second"]) == ("fp32_pytorch", "fp32_ir")
    assert (pair["matched"], pair["only_first"], pair["only_second"], pair["cut_off"]) == (12, 0, 0, 6)
    assert pair["share"] == 1 and pair["worst"] == []


def test_detections_of_other_images_are_refused(tmp_path, scenes, toy_ir, int8_ir):
    write_detections(tmp_path / "other.npz", {1: Detections.empty()})
    with pytest.raises(UserError, match=r"has none for image ids \[2, 3, 4, 5, 6\]"):
        validate(scenes, toy_ir, int8_ir, tmp_path / "out", Sources(tmp_path / "other.npz"), samples=0, **QUICK)


def test_a_corrupt_image_leaves_every_form_of_the_model(tmp_path, scenes, toy_ir, int8_ir):
    """PyTorch scored scene 1 before it was damaged; the comparison is on the other five."""
    write_detections(tmp_path / "all.npz", {number: Detections.empty() for number in range(1, 7)})
    (scenes.test.image_root / "scene 1.png").write_bytes(b"")
    result = validate(scenes, toy_ir, int8_ir, tmp_path / "out", Sources(tmp_path / "all.npz"), samples=0, **QUICK)
    assert {step: metrics["images"] for step, metrics in result["waterfall"]["steps"].items()} == {
        "fp32_pytorch": 5, "fp32_ir": 5, "compressed_ir": 5}


def test_models_of_different_input_are_refused(tmp_path, scenes, write_onnx, toy_spec, int8_ir):
    convert_to_ir(write_onnx(tmp_path / "onnx", dataclasses.replace(toy_spec, input_width=128)), tmp_path / "ir")
    with pytest.raises(UserError, match="takes 64x48 pixels. The FP32 IR takes 128x48"):
        validate(scenes, tmp_path / "ir", int8_ir, tmp_path / "out", **QUICK)


def test_a_compressed_model_in_the_place_of_fp32_is_refused(tmp_path, scenes, int8_ir):
    with pytest.raises(UserError, match="It was compressed by quantization"):
        validate(scenes, int8_ir, int8_ir, tmp_path / "out", **QUICK)
    assert not (tmp_path / "out").exists()
