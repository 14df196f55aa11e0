"""Every head that an adapter names finds in OpenVINO what it finds in PyTorch: boxes, scores and labels."""

import numpy as np
import pytest

from core.detectors.registry import families, require_supported
from tests.core.detectors.comparing import detected, enliven, exported, require_same_boxes, share_found
from tests.core.detectors.tiny import HEADS, NMS, build, picture, single_stage, two_stage

# These are compared as their configs build them: test_configs.py.
WITH_CONFIGS = {"SSDHead", "PISASSDHead", "YOLOV3Head", "YOLOXHead"}
SECOND_STAGES = {"StandardRoIHead", "DynamicRoIHead", "CascadeRoIHead"}
AGNOSTIC = {"nms": {**NMS, "class_agnostic": True}}
# The fastest that shows what once went wrong without a word; the others run with the exports.
QUICK = ("FoveaHead",)


def compared(model, folder):
    image = picture()
    detector = enliven(build(model), image)
    require_supported(detector)
    return require_same_boxes(detector, image, folder)


def test_every_head_of_every_family_is_compared():
    assert {head for adapter in families() for head in adapter.heads} == {*HEADS, *WITH_CONFIGS, *SECOND_STAGES}


@pytest.mark.parametrize("head", [head if head in QUICK else pytest.param(head, marks=pytest.mark.e2e)
                                  for head in HEADS])
def test_single_stage_heads(head, tmp_path):
    compared(single_stage(head), tmp_path)


@pytest.mark.e2e
@pytest.mark.parametrize("head", ["RetinaHead", "FCOSHead", "GFLHead"])
def test_suppression_over_all_classes(head, tmp_path):
    model, image = single_stage(head, **AGNOSTIC), picture()
    detector = enliven(build(model), image)
    require_same_boxes(detector, image, tmp_path)
    rows, labels = detected(enliven(build(single_stage(head)), image), image)
    found, found_labels, _ = exported(detector, image, tmp_path)
    assert len(found) != len(rows) or share_found(rows, labels, found, found_labels) < 0.97


@pytest.mark.e2e
@pytest.mark.parametrize(("roi_head", "masks"), [("StandardRoIHead", False), ("StandardRoIHead", True),
                                                 ("DynamicRoIHead", False), ("CascadeRoIHead", False),
                                                 ("CascadeRoIHead", True)])
@pytest.mark.parametrize("agnostic", [False, True], ids=["box-a-class", "one-box"])
def test_two_stages(roi_head, masks, agnostic, tmp_path):
    found = compared(two_stage(roi_head, masks, agnostic), tmp_path)
    assert (found is not None) == masks


@pytest.mark.e2e
@pytest.mark.parametrize("agnostic", [False, True], ids=["box-a-class", "one-box"])
@pytest.mark.parametrize("section", ["rpn", "rcnn"])
def test_suppression_over_all_classes_or_levels_of_two_stages(section, agnostic, tmp_path):
    suppression = {"nms": {"type": "nms", "iou_threshold": 0.6, "class_agnostic": True}}
    compared(two_stage(agnostic=agnostic, **{section: suppression}), tmp_path)


@pytest.mark.e2e
@pytest.mark.parametrize("size", [-1, 12])
def test_the_least_side_of_proposals(size, tmp_path):
    compared(two_stage(rpn={"min_bbox_size": size}), tmp_path)


@pytest.mark.e2e
def test_masks_of_a_cascade_are_the_mean_of_its_stages(tmp_path):
    image = picture()
    detector = enliven(build(two_stage("CascadeRoIHead", masks=True)), image)
    masks = require_same_boxes(detector, image, tmp_path)
    found, _, _ = exported(detector, image, tmp_path)
    assert masks.shape[1:] == (28, 28)
    assert np.ptp(masks[:len(found)]) > 0.05
