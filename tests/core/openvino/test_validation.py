import dataclasses
import json
import math
import shutil

import pytest

from core.base.errors import UserError
from core.evaluation.detections import Detections
from core.evaluation.store import write_detections
from core.openvino.detector import OpenVinoDetector
from core.openvino.image import read_image
from core.openvino.ir import convert_to_ir, describe_ir
from core.openvino.runtime import DECISION_FILE
from core.openvino.validation import validate as measure
from core.openvino.waterfall import ModelFiles
from core.results.accuracy import Form
from core.results.validation import Validation

pytestmark = pytest.mark.usefixtures("openvino")
QUICK = {"repeats": 2, "seconds": 0.03}


def validate(data, baseline, candidates, folder, **options):
    """Validate IRs or models; what is written is what is returned."""
    baseline, *candidates = (model if isinstance(model, ModelFiles) else ModelFiles(name, model)
                             for name, model in zip(("FP32", "int8", "other"), (baseline, *candidates)))
    result = measure(data, baseline, candidates, folder, **{"samples": 0, **QUICK, **options})
    # Null is NaN, which differs from itself.
    assert Validation.read(folder / "metrics.json").to_text() == result.to_text()
    return result


def test_every_model_is_measured_in_every_form(tmp_path, scenes, toy_ir, int8_ir):
    result = validate(scenes, toy_ir, [int8_ir, toy_ir], tmp_path, samples=2)
    assert (result.data_digest, result.corrupt_images, result.classes) == (scenes.digest, (), ("red", "green", "blue"))
    assert result.inference_precision == "f32" and result.versions["openvino"].startswith("2024.6")
    assert [model.name for model in result.models] == ["FP32", "int8", "other"]
    for model, ir in zip(result.models, (toy_ir, int8_ir, toy_ir)):
        described = describe_ir(ir)
        assert model.ir.files == {"model.xml": described.xml_sha256, "model.bin": described.bin_sha256}
        assert model.ir.runtime.startswith("OpenVINO 2024.6")
        assert model.ir.metrics.map == pytest.approx(1)
        assert (model.ir.size_mb, model.ir.fake_quantize_nodes) == (described.size_mb, described.fake_quantize_nodes)
        assert model.ir.structure.flops == 2 * 3 * 3 * 8 * 8 * 6 * 8
        assert sum(map(sum, model.ir.confusion.counts)) == scenes.test.boxes
        assert model.ir.curves["red"][0] == 1
        assert (list(model.forms), set(model.missing)) == ([Form.IR], {Form.PYTORCH, Form.ONNX})
    assert [model.ir.execution.int8_share for model in result.models] == [0, 1, 0]
    for candidate in result.candidates:
        assert (str(candidate.map_drop.first), str(candidate.map_drop.second)) == ("FP32 IR", f"{candidate.name} IR")
        assert (candidate.map_drop.value, candidate.map_drop.samples) == (pytest.approx(0), 500)
        assert candidate.layers_changed == () and candidate.speedup.low <= candidate.speedup.median
        assert candidate.speedup == candidate.speedups.counted and candidate.bound.layers == 1
        assert candidate.bound.share == candidate.speedup.median / candidate.bound.speedup.median
        assert [str(pair.second) for pair in candidate.neighbours] == [f"{candidate.name} IR"]
    assert len(result.samples) == 2 and (tmp_path / "golden-other").is_dir()
    assert read_image(tmp_path / result.samples[0].file).shape[1] == 4 * 360 + 3 * 6


def test_what_convert_decided_of_a_candidate_is_in_its_record(tmp_path, scenes, toy_ir, int8_ir):
    mixed = shutil.copytree(int8_ir, tmp_path / "mixed")
    (mixed / DECISION_FILE).write_text(json.dumps("In FP32: neck."))
    result = validate(scenes, toy_ir, [int8_ir, mixed], tmp_path)
    assert [candidate.decision for candidate in result.candidates] == ["", "In FP32: neck."]


def test_the_golden_image_holds_what_the_candidate_found(tmp_path, scenes, toy_ir, int8_ir):
    from core.evaluation.golden import difference, read_golden

    validate(scenes, toy_ir, [int8_ir], tmp_path)
    golden = read_golden(tmp_path / "golden")
    assert golden.image.read_bytes() == (scenes.test.image_root / "scene 1.png").read_bytes()
    found = difference(golden.detections, OpenVinoDetector(int8_ir)(read_image(golden.image)))
    assert (found.boxes, found.missing, found.unexpected) == (3, 0, 0)
    assert found.score_difference < 1e-5


@pytest.mark.parametrize("asked, drawn", [(1, 1), (4, 4), (50, 6)])
def test_samples_are_pictures_of_test_images(tmp_path, scenes, toy_ir, int8_ir, asked, drawn):
    result = validate(scenes, toy_ir, [int8_ir], tmp_path, samples=asked)
    assert len({sample.image for sample in result.samples}) == len(result.samples) == drawn
    for sample in result.samples:
        assert (scenes.test.image_root / sample.image).is_file()
        assert read_image(tmp_path / sample.file).shape == (270 + 22, 3 * 360 + 2 * 6, 3)


def test_corrupt_images_are_listed_and_not_drawn(tmp_path, scenes, toy_ir, int8_ir):
    (scenes.test.image_root / "scene 1.png").write_bytes(b"")
    result = validate(scenes, toy_ir, [int8_ir], tmp_path, samples=6)
    assert [(image.image, image.reason) for image in result.corrupt_images] == [("scene 1.png", "the file is empty")]
    assert "scene 1.png" not in [sample.image for sample in result.samples]
    assert [model.ir.metrics.images for model in result.models] == [5, 5]


def test_background_only_has_undefined_accuracy(tmp_path, scenes, toy_ir, int8_ir):
    truth = {**json.loads(scenes.test.annotation_file.read_text()), "annotations": []}
    scenes.test.annotation_file.write_text(json.dumps(truth))
    result = validate(scenes, toy_ir, [int8_ir], tmp_path, samples=1)
    assert math.isnan(result.candidates[0].ir.metrics.map) and result.candidates[0].ir.curves["red"] is None
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written["candidates"][0]["ir"]["metrics"]["map"] is None and len(written["samples"]) == 1


def test_every_form_of_the_model_sees_the_same_images(tmp_path, scenes, toy_ir, int8_ir, write_onnx, toy_spec,
                                                     int8_spec):
    """One PyTorch model finds what the IR finds; the other missed a box, and its image is the worst."""
    detector = OpenVinoDetector(toy_ir)
    found = {number: detector(read_image(scenes.test.image_root / f"scene {number}.png")) for number in range(1, 7)}
    write_detections(tmp_path / "fp32.npz", found)
    found[4] = Detections(found[4].boxes[1:], found[4].scores[1:], found[4].labels[1:])
    write_detections(tmp_path / "int8.npz", found)
    baseline = ModelFiles("FP32", toy_ir, write_onnx(tmp_path / "plain", toy_spec), tmp_path / "fp32.npz")
    candidate = ModelFiles("int8", int8_ir, write_onnx(tmp_path / "int8", int8_spec, quantized=True),
                           tmp_path / "int8.npz")
    result = validate(scenes, baseline, [candidate], tmp_path / "out")
    first, (second,) = result.baseline, result.candidates
    assert [str(step) for step, _ in result.steps()] == ["FP32 PyTorch", "FP32 ONNX", "FP32 IR", "int8 PyTorch",
                                                         "int8 IR"]
    assert first.onnx.runtime.startswith("onnxruntime ") and list(first.pytorch.files) == ["detections"]
    assert list(second.missing) == [Form.ONNX] and "FakeQuantize" in second.missing[Form.ONNX]
    pairs = {(str(pair.first), str(pair.second)): pair for model in result.models for pair in model.neighbours}
    assert list(pairs) == [("FP32 PyTorch", "FP32 ONNX"), ("FP32 ONNX", "FP32 IR"), ("FP32 PyTorch", "int8 PyTorch"),
                           ("int8 PyTorch", "int8 IR"), ("FP32 IR", "int8 IR")]
    for pair in first.neighbours:
        assert pair.share == 1 and pair.largest_score_difference < 1e-5 and pair.map_change == 0
    missed = pairs["FP32 PyTorch", "int8 PyTorch"]
    assert (missed.only_first, missed.only_second) == (1, 0) and missed.map_change < 0
    assert [picture.image for picture in missed.worst] == ["scene 4.png"]
    assert read_image(tmp_path / "out" / missed.worst[0].file).shape[1] == 3 * 360 + 2 * 6
    assert str(second.map_drop.first) == "FP32 PyTorch"


def test_a_full_list_of_detections_is_known_as_one(tmp_path, scenes, write_onnx, toy_spec, int8_spec):
    """Both IRs keep two boxes of three; PyTorch's three hold one that they had no place for."""
    specs = [dataclasses.replace(spec, max_detections=2) for spec in (toy_spec, int8_spec)]
    for name, spec in zip(("fp32", "int8"), specs):
        convert_to_ir(write_onnx(tmp_path / name, spec, quantized=name == "int8"), tmp_path / f"{name}_ir")
    convert_to_ir(write_onnx(tmp_path / "whole", toy_spec), tmp_path / "whole_ir")
    whole = OpenVinoDetector(tmp_path / "whole_ir")
    found = {number: whole(read_image(scenes.test.image_root / f"scene {number}.png")) for number in range(1, 7)}
    write_detections(tmp_path / "fp32.npz", found)
    result = validate(scenes, ModelFiles("FP32", tmp_path / "fp32_ir", None, tmp_path / "fp32.npz"),
                      [tmp_path / "int8_ir"], tmp_path / "out")
    (pair,) = result.baseline.neighbours
    assert (str(pair.first), str(pair.second)) == ("FP32 PyTorch", "FP32 IR")
    assert (pair.matched, pair.only_first, pair.only_second, pair.cut_off) == (12, 0, 0, 6)
    assert pair.share == 1 and pair.worst == ()


def test_detections_of_other_images_are_refused(tmp_path, scenes, toy_ir, int8_ir):
    write_detections(tmp_path / "other.npz", {1: Detections.empty()})
    with pytest.raises(UserError, match=r"image ids \[2, 3, 4, 5, 6\]"):
        validate(scenes, ModelFiles("FP32", toy_ir, None, tmp_path / "other.npz"), [int8_ir], tmp_path / "out")


def test_a_corrupt_image_leaves_every_form_of_the_model(tmp_path, scenes, toy_ir, int8_ir):
    """PyTorch scored scene 1 before it was damaged; the comparison is on the other five."""
    write_detections(tmp_path / "all.npz", {number: Detections.empty() for number in range(1, 7)})
    (scenes.test.image_root / "scene 1.png").write_bytes(b"")
    result = validate(scenes, ModelFiles("FP32", toy_ir, None, tmp_path / "all.npz"), [int8_ir], tmp_path / "out")
    assert {str(step): form.metrics.images for step, form in result.steps()} == {"FP32 PyTorch": 5, "FP32 IR": 5,
                                                                               "int8 IR": 5}


def test_models_of_different_input_are_refused(tmp_path, scenes, write_onnx, toy_spec, int8_ir):
    convert_to_ir(write_onnx(tmp_path / "onnx", dataclasses.replace(toy_spec, input_width=128)), tmp_path / "ir")
    with pytest.raises(UserError, match="int8 IR: .*64x48 .*128x48"):
        validate(scenes, tmp_path / "ir", [int8_ir], tmp_path / "out")


def test_models_that_take_any_size_are_measured_at_that_of_the_test_pipeline(tmp_path, scenes, write_onnx, toy_spec,
                                                                             int8_ir):
    convert_to_ir(write_onnx(tmp_path / "onnx", dataclasses.replace(toy_spec, dynamic=True)), tmp_path / "ir")
    result = validate(scenes, tmp_path / "ir", [int8_ir], tmp_path / "out")
    assert result.baseline.ir.structure == result.candidates[0].ir.structure
    assert result.baseline.ir.execution.layers == 1


def test_a_compressed_model_in_the_place_of_the_baseline_is_refused(tmp_path, scenes, int8_ir):
    with pytest.raises(UserError, match="FP32 IR: .*quantization"):
        validate(scenes, int8_ir, [int8_ir], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def nan_ir(tmp_path, write_onnx, int8_spec):
    """An IR of finite weights whose boxes are NaN: infinity minus infinity."""
    import numpy as np
    import onnx
    from onnx import helper

    folder = write_onnx(tmp_path / "nan", int8_spec, quantized=True)
    model = onnx.load(str(folder / "model.onnx"))
    next(node for node in model.graph.node if "boxes" in node.output).output[:] = ["finite"]
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32([3e38]), "huge"))
    model.graph.node.extend([helper.make_node("Mul", ["finite", "huge"], ["infinite"]),
                             helper.make_node("Sub", ["infinite", "infinite"], ["nan"]),
                             helper.make_node("Add", ["finite", "nan"], ["boxes"])])
    onnx.save(model, str(folder / "model.onnx"))
    convert_to_ir(folder, tmp_path / "nan_ir")
    return tmp_path / "nan_ir"


def test_a_candidate_that_gives_nan_is_an_outcome_and_the_others_are_measured(tmp_path, scenes, toy_ir, int8_ir,
                                                                              nan_ir):
    result = validate(scenes, toy_ir, [nan_ir, int8_ir], tmp_path / "out")
    assert [one.name for one in result.candidates] == ["other"] and (tmp_path / "out" / "golden").is_dir()
    (failed,) = result.failed
    assert (failed.candidate, failed.stage) == ("int8", "validate") and "NaN" in failed.reason


def test_what_gives_nan_without_its_quantizers_is_validated_and_has_no_sensitivity(tmp_path, scenes, toy_ir, int8_ir,
                                                                                   nan_ir):
    candidate = ModelFiles("int8", int8_ir, nan_ir.with_name("nan"))
    result = validate(scenes, toy_ir, [candidate], tmp_path / "out", sensitivity=True)
    assert result.candidates[0].sensitivity is None and not result.failed
    assert [warning for warning in result.warnings if "sensitivity of int8" in warning and "NaN" in warning]


def test_where_no_candidate_is_left_validation_fails_and_says_why(tmp_path, scenes, toy_ir, nan_ir):
    with pytest.raises(UserError, match="candidates: int8. There is nothing to measure.*NaN"):
        validate(scenes, toy_ir, [nan_ir], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_baseline_that_gives_nan_fails_validation(tmp_path, scenes, nan_ir, int8_ir, monkeypatch):
    monkeypatch.setattr("core.openvino.validation._check_comparable", lambda models: None)
    with pytest.raises(UserError, match="exported model: .*NaN"):
        validate(scenes, nan_ir, [int8_ir], tmp_path / "out")


def test_an_ir_that_openvino_cannot_compile_is_its_candidate_s_outcome(tmp_path, scenes, toy_ir, int8_ir, monkeypatch):
    from core.openvino import runtime

    compile_model = runtime.shared_core().compile_model

    def compiled(model, *options):
        if model.get_friendly_name() == "broken":
            raise RuntimeError("to_shape was called on a dynamic shape")
        return compile_model(model, *options)

    def read(path):
        model = read_model(path)
        model.set_friendly_name("broken" if path == int8_ir / "model.xml" else "sound")
        return model

    read_model = runtime.shared_core().read_model
    monkeypatch.setattr(runtime, "shared_core", lambda: type("Core", (), {
        "read_model": staticmethod(read), "compile_model": staticmethod(compiled)}))
    result = validate(scenes, toy_ir, [int8_ir, toy_ir], tmp_path / "out")
    assert [one.candidate for one in result.failed] == ["int8"] and "cannot compile" in result.failed[0].reason
