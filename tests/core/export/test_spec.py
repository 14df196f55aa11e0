import dataclasses
import json

import pytest

from core.base.errors import UserError
from core.export.spec import ModelSpec


def test_json_round_trip(int8_spec):
    values = json.loads(json.dumps(int8_spec.to_json()))
    assert values["mean"] == [10.0, 20.0, 30.0] and values["classes"] == ["red", "green", "blue"]
    assert ModelSpec.from_json(values) == int8_spec
    assert ModelSpec.from_text(int8_spec.to_text(), "here") == int8_spec


def test_file_round_trip(tmp_path, letterbox_spec):
    spec = dataclasses.replace(letterbox_spec, classes=("white cell", "größe", "血小板"))
    spec.write(tmp_path)
    assert ModelSpec.read(tmp_path) == spec
    assert [path.name for path in tmp_path.iterdir()] == ["spec.json"]


@pytest.mark.parametrize("changes", [
    {"input_height": 0}, {"input_width": 64.0}, {"input_width": True}, {"max_detections": -1},
    {"pad_pixel": (0.0, 1.0)}, {"pad_pixel": 0}, {"size_divisor": 0}, {"dynamic": 1}, {"outputs": ()},
    {"outputs": ("boxes", "boxes")}, {"keep_ratio": 1}, {"to_rgb": None}, {"score_threshold": 1.5},
    {"iou_threshold": float("nan")}, {"keep_ratio": True}, {"resize_type": "fit_to_window_letterbox"},
    {"mean": (1.0, 2.0)}, {"mean": (1.0, 2.0, float("inf"))}, {"std": (1.0, 0.0, 1.0)}, {"classes": ()},
    {"classes": ("red", "red")}, {"classes": ("red", " ")}, {"algorithms": ("",)}, {"checkpoint_sha256": "abc"},
    {"nncf_config_sha256": "1" * 64}, {"algorithms": ("quantization",)}, {"fake_quantize_nodes": -1}])
def test_a_wrong_value_is_refused_by_name(toy_spec, changes):
    with pytest.raises(UserError) as error:
        dataclasses.replace(toy_spec, **changes)
    # Two fields hang on another one; the message names the one that does not fit.
    dependent = {"keep_ratio": "resize_type", "algorithms": "nncf_config_sha256"}
    named = error.value.thing.split(", ")[1]
    assert named in changes or named in [dependent.get(change) for change in changes]


def test_a_quantized_model_must_have_fake_quantize(int8_spec):
    with pytest.raises(UserError, match="fake_quantize_nodes: 0. It must be above 0 in a quantized model"):
        dataclasses.replace(int8_spec, fake_quantize_nodes=0)


def test_a_compressed_model_must_name_its_config(int8_spec):
    with pytest.raises(UserError, match="nncf_config_sha256"):
        dataclasses.replace(int8_spec, nncf_config_sha256="")


def test_missing_and_unknown_keys_are_named(toy_spec):
    values = toy_spec.to_json()
    values["colour"] = values.pop("mean")
    with pytest.raises(UserError, match="colour, mean missing or unknown"):
        ModelSpec.from_json(values)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null", '"spec"'])
def test_a_text_that_is_no_spec_is_refused(text):
    with pytest.raises(UserError, match="model spec"):
        ModelSpec.from_text(text, "here")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="spec.json .No such file"):
        ModelSpec.read(tmp_path)
