"""Every key of a test_cfg is obeyed by the exported graph or refused by name."""

import copy

import pytest

from core.base.errors import UserError
from core.detectors.registry import families, require_supported
from core.detectors.test_cfg import DENSE, RCNN, RPN, TWO_STAGE, Rule, check_test_cfg
from tests.core.detectors.tiny import build, single_stage, sparse, two_stage

NMS = {"type": "nms", "iou_threshold": 0.5}
SINGLE = {"score_thr": 0.05, "nms_pre": 1000, "max_per_img": 100, "nms": NMS, "min_bbox_size": 0}
TWO = {"rpn": {"nms_pre": 1000, "max_per_img": 1000, "nms": {"iou_threshold": 0.7}, "min_bbox_size": 0},
       "rcnn": {"score_thr": 0.05, "nms": NMS, "max_per_img": 100, "mask_thr_binary": 0.5}}


def changed(config, path, value):
    config = copy.deepcopy(config)
    *sections, key = path.split(".")
    section = config
    for name in sections:
        section = section[name]
    section[key] = value
    return config


def refusal(config, table):
    with pytest.raises(UserError) as caught:
        check_test_cfg(config, table, "RetinaNet")
    return caught.value


@pytest.mark.parametrize(("config", "table"), [(SINGLE, DENSE), (TWO, TWO_STAGE)])
def test_sections_of_mmdetections_own_configs_pass(config, table):
    check_test_cfg(config, table, "RetinaNet")


@pytest.mark.parametrize(("path", "value"), [
    ("nms.class_agnostic", True), ("nms.split_thr", 5000), ("nms_pre", 1), ("min_bbox_size", 7), ("score_thr", 0),
    ("nms.offset", 0), ("nms.max_num", -1), ("deploy_nms_pre", 500)])
def test_what_the_graph_obeys_or_has_no_effect_passes(path, value):
    check_test_cfg(changed(SINGLE, path, value), DENSE, "RetinaNet")


@pytest.mark.parametrize(("path", "value", "hint"), [
    ("nms.type", "soft_nms", "nms"), ("nms.iou_thr", 0.5, "iou_threshold"), ("nms.offset", 1, "0"),
    ("nms.max_num", 100, "-1"), ("nms.score_threshold", 0.1, "0"), ("nms.min_score", 0.05, "Remove"),
    ("nms.class_agnostic", "yes", "True or False"), ("nms.max_output_boxes_per_class", 200, "Remove"),
    ("score_thr", 1.0, "0.05"), ("score_thr", "0.05", "0.05"), ("max_per_img", -1, "100"), ("max_per_img", True, "100"),
    ("score_threshold", 0.3, "score_thr"), ("local_maximum_kernel", 3, "Remove"), ("nms_pre", 0.5, "1000"),
    ("nms.type", "nms_match", "nms"), ("nms.type", "matrix", "nms"), ("with_nms", False, "Remove"),
    ("rescale", True, "Remove"), ("nms_pre", 0, "1000"), ("nms_pre", -1, "1000"),
    ("nms.class_agnostic", None, "True or False"), ("max_per_img", 300.0, "100"), ("nms_pre", 1000.0, "1000")])
def test_what_the_graph_would_not_do_is_refused_by_name(path, value, hint):
    error = refusal(changed(SINGLE, path, value), DENSE)
    assert error.thing == f"model.test_cfg.{path}"
    assert hint in error.hint


@pytest.mark.parametrize(("path", "value"), [
    ("rpn.min_bbox_size", "16"), ("rpn.nms.type", "soft_nms"), ("rcnn.mask_thr_binary", 0.4), ("rpn.nms_post", 1000),
    ("rcnn.nms.type", "soft_nms"), ("fuse", {}), ("rcnn.nms_pre", 1000)])
def test_of_two_stages_too(path, value):
    assert refusal(changed(TWO, path, value), TWO_STAGE).thing == f"model.test_cfg.{path}"


@pytest.mark.parametrize("value", [None, [], "nms"])
def test_without_suppression_there_is_no_graph(value):
    assert refusal(changed(SINGLE, "nms", value), DENSE).thing == "model.test_cfg.nms"
    assert refusal(value, DENSE).thing == "model.test_cfg"


@pytest.mark.parametrize("key", ["score_thr", "max_per_img", "nms"])
def test_what_mmdetection_cannot_do_without_is_missed(key):
    error = refusal({name: value for name, value in SINGLE.items() if name != key}, DENSE)
    assert (error.thing, error.value) == (f"model.test_cfg.{key}", "missing")


@pytest.mark.parametrize(("model", "path", "value"), [
    (single_stage("DETRHead"), "max_per_img", 31), (single_stage("DeformableDETRHead"), "max_per_img", 121),
    (sparse(), "rcnn.max_per_img", 121), (two_stage(masks=True), "rcnn.mask_thr_binary", None)])
def test_what_mmdetection_would_fail_at_with_the_first_image_is_refused(model, path, value):
    """Of DETR each of 30 queries counts once, of the others each of four classes of 30."""
    detector = build(model)
    require_supported(detector)
    section, _, key = path.rpartition(".")
    section = detector.test_cfg[section] if section else detector.test_cfg
    section[key] = value
    if value is None:
        del section[key]
    with pytest.raises(UserError) as caught:
        require_supported(detector)
    assert caught.value.thing == f"model.test_cfg.{path}"
    if value is not None:
        section[key] = value - 1
        require_supported(detector)


def test_a_key_of_unknown_meaning_is_refused_wherever_it_stands():
    tables = [("", family.test_cfg) for family in families()] + [("", RPN), ("", RCNN)]
    while tables:
        place, table = tables.pop()
        assert refusal({"no_such_key": 1}, table).thing == "model.test_cfg.no_such_key"
        tables += [(name, inner) for name, inner in table.items() if not isinstance(inner, Rule)]


def test_a_split_of_the_work_matters_where_classes_suppress_one_another():
    agnostic = changed(SINGLE, "nms.class_agnostic", True)
    check_test_cfg(changed(agnostic, "nms.split_thr", 10_000), DENSE, "RetinaNet")
    error = refusal(changed(agnostic, "nms.split_thr", 5000), DENSE)
    assert error.thing == "model.test_cfg.nms.split_thr"
    assert "class by class" in error.rule
