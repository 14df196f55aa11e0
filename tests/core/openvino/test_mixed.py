"""int8 with the worst layers in FP32, on the chain of which one quantizer cuts nearly all off."""

import dataclasses
import json
import math

import pytest

from core.base.errors import CandidateFailed, UserError
from core.compression.fake_quantize import count_in_onnx
from core.export.spec import ModelSpec
from core.openvino import mixed
from core.openvino.accuracy import measure_accuracy
from core.openvino.detector import OpenVinoDetector
from core.openvino.ir import convert_to_ir
from core.openvino.mixed import mix_precision, write_without
from core.openvino.parts import Part, PartedModel
from core.openvino.runtime import DECISION_FILE, read_decision
from tests.core.openvino.test_sensitivity import write_chain

pytestmark = pytest.mark.usefixtures("openvino")


def test_only_the_layer_that_costs_too_much_goes_back_to_fp32(tmp_path, scenes, int8_spec, write_onnx):
    chain = write_chain(tmp_path / "chain", int8_spec, write_onnx)
    found = mix_precision(chain, tmp_path / "out", scenes, max_map_drop=0.01, images=2)
    assert (found.modules, found.held) == (("backbone/conv3",), True)
    assert [trial.in_fp32 for trial in found.trials] == [0, 1]
    assert found.trials[0].map_drop > 0.5 and found.trials[1].map_drop == pytest.approx(0, abs=1e-6)
    assert count_in_onnx(tmp_path / "out" / "model.onnx") == ModelSpec.read(tmp_path / "out").fake_quantize_nodes == 4
    convert_to_ir(tmp_path / "out", tmp_path / "ir")
    accuracy = measure_accuracy(OpenVinoDetector(tmp_path / "ir"), scenes.test, scenes.classes)
    assert accuracy.metrics.map == pytest.approx(1)


def test_what_is_measured_on_has_no_part_in_it(tmp_path, scenes, int8_spec, write_onnx):
    chain = write_chain(tmp_path / "chain", int8_spec, write_onnx)
    test = dataclasses.replace(scenes.test, annotation_file=tmp_path / "not_read.json")
    found = mix_precision(chain, tmp_path / "out", dataclasses.replace(scenes, val=None, test=test), 0.01, images=2)
    assert found.held and found.modules == ("backbone/conv3",)


def test_a_model_within_its_limit_stays_as_it_is(tmp_path, scenes, int8_spec, write_onnx):
    chain = write_chain(tmp_path / "chain", int8_spec, write_onnx, ranges=(6.0, 6.0))
    found = mix_precision(chain, tmp_path / "out", scenes, max_map_drop=0.01, images=2)
    assert (found.modules, found.held, len(found.trials)) == ((), True, 1)
    assert count_in_onnx(tmp_path / "out" / "model.onnx") == 6


def test_trials_are_bounded_and_nothing_is_written_where_none_keeps_the_limit(tmp_path, scenes, int8_spec, write_onnx):
    chain = write_chain(tmp_path / "chain", int8_spec, write_onnx)
    found = mix_precision(chain, tmp_path / "out", scenes, max_map_drop=0.01, trials=1, images=1)
    assert not found.held and len(found.trials) == 1 and not (tmp_path / "out").exists()


def test_a_model_without_quantizers_is_refused(tmp_path, scenes, toy_spec, write_onnx):
    chain = write_chain(tmp_path / "chain", toy_spec, write_onnx, quantized=False)
    with pytest.raises(UserError, match="no quantizers"):
        mix_precision(chain, tmp_path / "out", scenes, max_map_drop=0.01)


def test_images_without_a_box_are_named(tmp_path, monkeypatch, scenes, int8_spec, write_onnx):
    """Each trial was said to have made boxes of NaN."""
    chain = write_chain(tmp_path / "chain", int8_spec, write_onnx)
    monkeypatch.setattr(PartedModel, "map", lambda model, images: math.nan)
    with pytest.raises(UserError, match="2 images. None of the images that mAP would be over has a box"):
        mix_precision(chain, tmp_path / "out", scenes, max_map_drop=0.01, images=1, map_images=2)


def test_a_limit_that_a_loss_meets_but_for_rounding_is_kept(tmp_path, monkeypatch, scenes, int8_spec, write_onnx):
    """As by the gate: 0.41 - 0.40 is not 0.01 in binary."""
    chain = write_chain(tmp_path / "chain", int8_spec, write_onnx)
    monkeypatch.setattr(PartedModel, "map", lambda model, images: 0.41)
    monkeypatch.setattr(PartedModel, "compressed_map", lambda model, images, *parts: 0.40)
    assert mix_precision(chain, tmp_path / "out", scenes, max_map_drop=0.01, images=1).modules == ()


def test_a_trial_whose_boxes_are_nan_keeps_nothing_and_ends_nothing(tmp_path, monkeypatch, scenes, int8_spec,
                                                                    write_onnx):
    chain = write_chain(tmp_path / "chain", int8_spec, write_onnx)
    measured, seen = PartedModel.map, []

    def broken_once(model, images):
        seen.append(images)
        if len(seen) == 2:
            raise CandidateFailed("exported model", "it", "It returned boxes or scores that are NaN.", "")
        return measured(model, images)

    monkeypatch.setattr(PartedModel, "map", broken_once)
    found = mix_precision(chain, tmp_path / "out", scenes, max_map_drop=0.01, images=2)
    assert found.held and math.isnan(found.trials[0].map_drop) and found.modules == ("backbone/conv3",)
    assert str(found.trials[0]) == "0 layers in FP32: no mAP, as of boxes of NaN"


@pytest.mark.parametrize("fp32, limit", [(0.9, 1), (0.005, 0.01)])
def test_boxes_of_nan_are_within_no_limit(tmp_path, monkeypatch, scenes, int8_spec, write_onnx, fp32, limit):
    """They counted as a mAP of 0, and a limit of all there is to lose took them."""
    chain = write_chain(tmp_path / "chain", int8_spec, write_onnx)
    seen = broken_but_for_the_first(monkeypatch, fp32)
    found = mix_precision(chain, tmp_path / "out", scenes, max_map_drop=limit, images=1)
    assert not found.held and not (tmp_path / "out").exists() and len(seen) == 1 + len(found.trials)
    assert all(math.isnan(trial.map_drop) for trial in found.trials)


def broken_but_for_the_first(monkeypatch, fp32):
    """Let the model have a mAP with nothing compressed, and boxes of NaN afterwards; return the images of each."""
    seen = []

    def broken(model, images):
        seen.append(images)
        if len(seen) > 1:
            raise CandidateFailed("exported model", "it", "It returned boxes or scores that are NaN.", "")
        return fp32

    monkeypatch.setattr(PartedModel, "map", broken)
    return seen


class Place:
    """An input in a graph, or an output: as much of it as its operation's name."""

    def __init__(self, name, kind="Convolution"):
        self.get_node = lambda: self
        self.get_friendly_name, self.get_type_name = lambda: name, lambda: kind


def test_a_quantizer_is_taken_out_where_its_reader_is_called_otherwise_or_what_was_tried_is_not_written(
        tmp_path, int8_spec, write_onnx):
    """It stayed without a word, and the model that was written was not the one whose mAP was measured."""
    import onnx

    chain = write_chain(tmp_path / "chain", int8_spec, write_onnx)
    part = Part("quantization", "backbone/conv2", (), (), (
        (Place("called otherwise"), Place("conv2_in", "FakeQuantize")), (Place("raw", "Result"), Place("conv2_in"))))
    write_without(chain, tmp_path / "out", [part])
    assert ModelSpec.read(tmp_path / "out").fake_quantize_nodes == 5
    model = onnx.load(str(chain / "model.onnx"))
    model.graph.node.append(onnx.helper.make_node("Relu", ["conv2_in"], ["more"]))
    onnx.save(model, str(chain / "model.onnx"))
    with pytest.raises(UserError, match="conv2_in has 2 readers, none of them called called otherwise"):
        write_without(chain, tmp_path / "more", [part])


def test_the_command(tmp_path, monkeypatch, capsys, scenes, int8_spec, write_onnx):
    chain = write_chain(tmp_path / "chain", int8_spec, write_onnx)
    (tmp_path / "data.json").write_text(json.dumps({}))
    monkeypatch.setattr("core.data.dataset.open_dataset", lambda reference: scenes)
    monkeypatch.setattr("core.data.reference.DataRef.from_json", lambda values: values)
    arguments = [str(chain), str(tmp_path / "out"), "--data", str(tmp_path / "data.json"), "--map-images", "3"]
    assert mixed.main(arguments) == 0
    assert "in FP32: backbone/conv3" in capsys.readouterr().out
    assert mixed.main([*arguments, "--trials", "1"]) == 1


@pytest.mark.parametrize("limit, in_fp32", [("0.01", 1), ("1", 0)])
def test_convert_makes_an_ir_of_it(tmp_path, monkeypatch, capsys, scenes, int8_spec, write_onnx, limit, in_fp32):
    """Of the candidate of that name alone; its IR has as many quantizers as its limit allows."""
    from components.convert.stage import STAGE

    chain = write_chain(tmp_path / "chain", dataclasses.replace(int8_spec, fake_quantize_nodes=6), write_onnx)
    monkeypatch.setattr("core.data.dataset.open_dataset", lambda reference: scenes)
    monkeypatch.setattr("core.data.reference.DataRef.from_json", lambda values: values)
    arguments = ["--onnx", str(chain), "--data", "{}", "--mixed-map-drop", limit]
    for name, candidate in (("mixed", {"name": "int8_mixed", "mixed": "yes"}), ("plain", {"name": "int8"})):
        assert STAGE.main([*arguments, "--candidate", json.dumps(candidate), "--ir", str(tmp_path / name)]) == 0
    assert [ModelSpec.read(tmp_path / name).fake_quantize_nodes for name in ("mixed", "plain")] == [6 - 2 * in_fp32, 6]
    said = capsys.readouterr().out
    assert read_decision(tmp_path / "mixed") in said and read_decision(tmp_path / "plain") == ""
    assert ("In FP32: backbone/conv3." in said, "In FP32: no layer." in said) == (bool(in_fp32), not in_fp32)


@pytest.mark.parametrize("content, message", [("{", "It must be JSON"), ("[]", r"is \[\]. It must be text")])
def test_a_damaged_decision_is_named(tmp_path, content, message):
    (tmp_path / DECISION_FILE).write_text(content)
    with pytest.raises(UserError, match=message):
        read_decision(tmp_path)


def test_convert_refuses_what_no_trial_keeps_within_its_limit(tmp_path, monkeypatch, capsys, scenes, int8_spec,
                                                              write_onnx):
    """A mistake of the candidate alone: in a loop it is its outcome (tests/components/test_candidates.py)."""
    from components.convert.stage import STAGE

    chain = write_chain(tmp_path / "chain", int8_spec, write_onnx)
    monkeypatch.setattr("core.data.dataset.open_dataset", lambda reference: scenes)
    monkeypatch.setattr("core.data.reference.DataRef.from_json", lambda values: values)
    monkeypatch.setattr(mixed.mix_precision, "__defaults__", (1, 2, 6))
    candidate = json.dumps({"name": "int8_mixed", "mixed": "yes"})
    assert STAGE.main(["--onnx", str(chain), "--data", "{}", "--candidate", candidate, "--ir",
                       str(tmp_path / "ir")]) == 2
    assert "0 layers in FP32: +1.0000 mAP lost." in capsys.readouterr().err and not (tmp_path / "ir").exists()


def test_convert_takes_boxes_of_nan_for_the_candidates_failure(tmp_path, monkeypatch, scenes, int8_spec, write_onnx):
    """With a limit that takes any mAP; the outcome says why, and no IR is written."""
    from components.convert.stage import STAGE
    from core.results.outcome import Outcome

    chain = write_chain(tmp_path / "chain", int8_spec, write_onnx)
    monkeypatch.setattr("core.data.dataset.open_dataset", lambda reference: scenes)
    monkeypatch.setattr("core.data.reference.DataRef.from_json", lambda values: values)
    broken_but_for_the_first(monkeypatch, 0.9)
    asked = {"outputs": {"outputFile": str(tmp_path / "output.json"), "artifacts": {
        "ir": {"artifacts": [{"uri": str(tmp_path / "ir")}]}}}}
    assert STAGE.main(["--onnx", str(chain), "--data", "{}", "--mixed-map-drop", "1", "--ir", str(tmp_path / "ir"),
                       "--candidate", json.dumps({"name": "int8_mixed", "mixed": "yes"}),
                       "--executor-input", json.dumps(asked)]) == 0
    assert "0 layers in FP32: no mAP, as of boxes of NaN" in Outcome.at(tmp_path / "ir").reason
    assert not (tmp_path / "ir" / "model.xml").exists()


def test_data_that_cannot_be_had_is_no_fault_of_the_candidate(tmp_path, monkeypatch, capsys):
    """As its outcome it would be taken from the cache for ever; a stage that fails is run again."""
    from components.convert.stage import STAGE

    def unreachable(reference):
        raise UserError("s3://bucket/data", "no answer", "The store must answer.", "Try again.")

    monkeypatch.setattr("core.data.dataset.open_dataset", unreachable)
    monkeypatch.setattr("core.data.reference.DataRef.from_json", lambda values: values)
    (tmp_path / "onnx").mkdir()
    asked = {"outputs": {"outputFile": str(tmp_path / "output.json"), "artifacts": {
        "ir": {"artifacts": [{"uri": str(tmp_path / "ir")}]}}}}
    arguments = ["--onnx", str(tmp_path / "onnx"), "--data", "{}", "--ir", str(tmp_path / "ir"), "--candidate",
                 json.dumps({"name": "int8_mixed", "mixed": "yes"}), "--executor-input", json.dumps(asked)]
    assert STAGE.main(arguments) == 2
    assert "no answer" in capsys.readouterr().err and not (tmp_path / "ir").exists()
