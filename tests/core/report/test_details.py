import dataclasses

import pytest

from core.report.details import confusion, speeds, structure, waterfall
from core.report.measurements import LayerChange, parse_validation

pytest.importorskip("matplotlib")


@pytest.fixture
def irs(measured):
    return parse_validation(measured().validation, "validation")


def test_the_waterfall_names_steps_neighbours_and_what_is_missing(irs):
    page = waterfall(irs)
    for text in ("FP32 PyTorch", "compressed IR", "compressed PyTorch to compressed IR", "99.54%", "-0.0010", "0.0421",
                 "FP32 ONNX: not given"):
        assert text in page, text


def test_speed_shows_both_hints_of_both_models_and_the_load(irs):
    page = speeds(irs)
    for text in ("FP32, throughput", "compressed, latency", "214 (207 to 218)", "Speed-up 2.35x", "2.21x to 2.41x",
                 "up to 1.97x", "Load average before: 0.42.", "0.03 cores busy"):
        assert text in page, text


def test_an_unknown_load_is_not_mentioned(irs):
    page = speeds(dataclasses.replace(irs, load_average=float("nan"), other_cores=float("nan")))
    assert "Load average" not in page and "cores busy" not in page


def test_structure_names_what_is_not_int8_and_what_was_pruned(irs):
    changed = (LayerChange("layer1.conv1", (64, 64), (64, 40)),)
    page = structure(dataclasses.replace(irs, layers_changed=changed))
    for text in ("3.59 M", "1.20 G", "98.5%", "/bbox_head/retina_cls/Conv", "1.50%", "64 to 40",
                 "Channels of 1 layer changed"):
        assert text in page, text
    assert "not in int8" not in structure(dataclasses.replace(
        irs, compressed=dataclasses.replace(irs.compressed, fake_quantize_nodes=0)))


def test_confusion_shows_counts_and_those_of_fp32_where_they_differ(irs):
    page = confusion(irs.confusion)
    assert "41 (40)" in page and "background" in page
    many = dataclasses.replace(irs.confusion, classes=tuple(f"class {number}" for number in range(30)))
    assert confusion(many) == ""


def test_class_names_are_shown_and_never_markup(irs):
    named = dataclasses.replace(irs.confusion, classes=("<b>x</b>", *irs.confusion.classes[1:]))
    assert "&lt;b&gt;" in confusion(named) and "<b>x" not in confusion(named)
