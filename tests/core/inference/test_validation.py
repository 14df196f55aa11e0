import dataclasses
import json

import pytest

from core.errors import UserError
from core.export.ir import convert_to_ir, describe_ir
from core.inference.image import read_image
from core.inference.validation import validate

pytestmark = pytest.mark.usefixtures("openvino")
QUICK = {"repeats": 2, "seconds": 0.03}


def test_writes_what_the_report_reads(tmp_path, scenes, toy_ir, int8_ir):
    result = validate(scenes, toy_ir, int8_ir, tmp_path / "out", samples=2, **QUICK)
    assert json.loads((tmp_path / "out" / "validation.json").read_text()) == result
    assert set(result) == {"schema", "kind", "fp32", "compressed", "speedup", "samples", "cpu", "inference_precision",
                           "versions", "data_digest", "corrupt_images"}
    assert (result["schema"], result["kind"], result["inference_precision"]) == (1, "openvino", "f32")
    assert (result["data_digest"], result["corrupt_images"]) == (scenes.digest, [])
    assert set(result["cpu"]) == {"name", "instruction_set", "instruction_sets", "cores"}
    assert result["versions"]["openvino"].startswith("2024.6")
    assert result["speedup"] > 0
    for name, ir in (("fp32", toy_ir), ("compressed", int8_ir)):
        model = result[name]
        assert model["metrics"]["map"] == pytest.approx(1)
        assert model["fps"] > 0 and model["latency_ms_p50"] > 0 and model["seconds"] > 0
        described = dataclasses.asdict(describe_ir(ir))
        assert {key: model[key] for key in described} == described


def test_the_golden_image_holds_what_the_compressed_model_found(tmp_path, scenes, toy_ir, int8_ir):
    from core.bundle.golden import difference, read_golden
    from core.inference.detector import OpenVinoDetector

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


def test_models_of_different_input_are_refused(tmp_path, scenes, write_onnx, toy_spec, int8_ir):
    convert_to_ir(write_onnx(tmp_path / "onnx", dataclasses.replace(toy_spec, input_width=128)), tmp_path / "ir")
    with pytest.raises(UserError, match="takes 64x48 pixels. The FP32 IR takes 128x48"):
        validate(scenes, tmp_path / "ir", int8_ir, tmp_path / "out", **QUICK)


def test_a_compressed_model_in_the_place_of_fp32_is_refused(tmp_path, scenes, int8_ir):
    with pytest.raises(UserError, match="It was compressed by quantization"):
        validate(scenes, int8_ir, int8_ir, tmp_path / "out", **QUICK)
    assert not (tmp_path / "out").exists()
