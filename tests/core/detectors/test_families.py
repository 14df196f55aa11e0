"""Every head that an adapter names finds in OpenVINO what it finds in PyTorch: boxes, scores and labels."""

import itertools

import numpy as np
import pytest
import torch

from core.detectors.graph import Padding, forward_as, image_metas, padded_with
from core.detectors.registry import families, find_adapter, require_supported
from core.detectors.two_stage import regions
from core.export.onnx import write_onnx
from tests.core.detectors.comparing import detected, enliven, exported, require_same_boxes, run_onnx, share_found
from tests.core.detectors.tiny import (
    HEADS,
    NMS,
    POINTS,
    build,
    generic_extractor,
    objectness,
    one_level,
    picture,
    single_stage,
    sparse,
    two_stage,
)

# These are compared as their configs build them: test_configs.py.
WITH_CONFIGS = {"SSDHead", "PISASSDHead", "YOLOV3Head", "YOLOXHead"}
SECOND_STAGES = {"StandardRoIHead", "DynamicRoIHead", "DoubleHeadRoIHead", "PISARoIHead", "MaskScoringRoIHead",
                 "PointRendRoIHead", "GridRoIHead", "CascadeRoIHead", "HybridTaskCascadeRoIHead", "SparseRoIHead"}
AGNOSTIC = {"nms": {**NMS, "class_agnostic": True}}
DEFORMABLE = (("FoveaHead", {"with_deform": True}), ("DDODHead", {"use_dcn": True}),
              ("FCOSHead", {"dcn_on_last_conv": True}), ("DeformableDETRHead", {"with_box_refine": False}),
              ("RetinaHead", {"conv_cfg": {"type": "DCNv2", "deform_groups": 2}}))
# One of each kind, and the fastest; the others run with the exports.
QUICK = ("FoveaHead", "TOODHead", "DETRHead")
PADDING = (0.25,) * 3


def compared(model, folder):
    image = picture(384, 384) if model.get("bbox_head", {}).get("use_dcn") else picture()
    detector = enliven(build(model), image)
    require_supported(detector)
    return require_same_boxes(detector, image, folder)


def test_every_head_of_every_family_is_compared():
    assert {head for adapter in families() for head in adapter.heads} == {*HEADS, *WITH_CONFIGS, *SECOND_STAGES}


@pytest.mark.parametrize("head", [head if head in QUICK else pytest.param(head, marks=pytest.mark.detectors)
                                  for head in HEADS])
def test_single_stage_heads(head, tmp_path):
    compared(single_stage(head), tmp_path)


def require_same_where_padded(model, folder):
    image, end = picture(), (96, 120)
    detector = enliven(build(model), image)
    image[..., end[0]:, :], image[..., end[1]:] = PADDING[0], PADDING[0]
    padding = Padding((PADDING, (0.5,) * 3), (1.0,) * 2, (1 / 58,) * 3)
    require_same_boxes(detector, image, folder, end=end, padding=padding)
    return detector, image, end


@pytest.mark.parametrize("head", [head if head in ("RetinaHead", "DETRHead") else pytest.param(
    head, marks=pytest.mark.detectors) for head in HEADS])
def test_boxes_end_where_the_image_does_before_its_padding(head, tmp_path):
    require_same_where_padded(single_stage(head), tmp_path)


@pytest.mark.parametrize("head", ["DETRHead", pytest.param("DeformableDETRHead", marks=pytest.mark.detectors)])
def test_raw_heads_of_a_transformer_look_no_further_than_the_image(head, tmp_path):
    image, end = picture(), (96, 120)
    detector = enliven(build(single_stage(head)), image)
    image[..., end[0]:, :], image[..., end[1]:] = PADDING[0], PADDING[0]
    adapter = find_adapter(detector)
    forward, names = adapter.raw_forward(detector)
    with forward_as(detector, forward), padded_with(detector, Padding((PADDING,), (1.0,), (1 / 58,) * 3)):
        write_onnx(detector, tmp_path / "model.onnx", tuple(image.shape[-2:]), names)
    found, metas = run_onnx(tmp_path / "model.onnx", image), image_metas(image)
    metas[0]["img_shape"] = (*end, 3)
    with torch.no_grad():
        levels = adapter.raw_levels(detector.bbox_head(detector.extract_feat(image), metas))
    for name, expected in zip(names, itertools.chain(*levels), strict=True):
        assert np.abs(found[name] - expected.numpy()).max() < 1e-3


def test_a_transformer_that_takes_any_size_finds_what_pytorch_finds_at_another(tmp_path):
    other, end = picture(192, 224), (160, 200)
    detector = enliven(build(single_stage("DETRHead")), picture())
    other[..., end[0]:, :], other[..., end[1]:] = PADDING[0], PADDING[0]
    forward, names = find_adapter(detector).exported_forward(detector)
    with forward_as(detector, forward), padded_with(detector, Padding((PADDING,), (1.0,), (1 / 58,) * 3)):
        write_onnx(detector, tmp_path / "model.onnx", (128, 160), names, dynamic=True)
    found = run_onnx(tmp_path / "model.onnx", other)
    assert share_found(*detected(detector, other, end), found["boxes"][0], found["labels"][0]) > 0.95


@pytest.mark.detectors
@pytest.mark.parametrize("masks", [False, True], ids=["boxes", "masks"])
def test_learnt_proposals_are_parts_of_the_image_without_its_padding(masks, tmp_path):
    require_same_where_padded(sparse(masks=masks), tmp_path)


@pytest.mark.parametrize("roi_head", ["StandardRoIHead", *(pytest.param(head, marks=pytest.mark.detectors) for head in (
    "CascadeRoIHead", "DoubleHeadRoIHead", "MaskScoringRoIHead", "HybridTaskCascadeRoIHead", "GridRoIHead"))])
def test_proposals_end_where_the_image_does_before_its_padding(roi_head, tmp_path):
    masks = roi_head in ("MaskScoringRoIHead", "HybridTaskCascadeRoIHead")
    detector, image, end = require_same_where_padded(two_stage(roi_head, masks=masks), tmp_path)
    rows, labels = detected(detector, image, end)
    found, found_labels, _ = exported(detector, image, tmp_path)
    # A graph that does not look for the end finds others.
    assert share_found(rows, labels, found, found_labels) < 0.9


@pytest.mark.parametrize("head", ["GFLHead", *(pytest.param(head, marks=pytest.mark.detectors) for head in (
    "RetinaHead", "FCOSHead", "SABLRetinaHead"))])
def test_boxes_that_are_not_cut_off_at_the_border(head, tmp_path):
    model = single_stage(head)
    coder = model["bbox_head"].get("bbox_coder", {"type": "DistancePointBBoxCoder"})
    model["bbox_head"]["bbox_coder"] = {**coder, "clip_border": False}
    compared(model, tmp_path)


@pytest.mark.detectors
@pytest.mark.parametrize(("head", "change"), DEFORMABLE, ids=lambda value: value if isinstance(value, str) else "")
def test_deformable_parts_of_single_stage_heads(head, change, tmp_path):
    model = single_stage(head)
    model["bbox_head"].update(change)
    compared(model, tmp_path)


def test_a_neck_that_samples_other_levels_at_offsets_of_its_own(tmp_path):
    model = single_stage("ATSSHead")
    width = model["neck"]["out_channels"]
    model["neck"] = [model["neck"], {"type": "DyHead", "in_channels": width, "out_channels": width, "num_blocks": 1}]
    image, detector = picture(), build(model)
    for module in detector.neck.modules():
        if hasattr(module, "spatial_conv_offset"):
            # At first all of its offsets are 0, and any reading of them is right.
            torch.nn.init.normal_(module.spatial_conv_offset.weight, std=0.1)
    require_supported(detector)
    require_same_boxes(enliven(detector, image), image, tmp_path)


@pytest.mark.detectors
@pytest.mark.parametrize("head", ["RetinaHead", "FCOSHead", "GFLHead"])
def test_suppression_over_all_classes(head, tmp_path):
    model, image = single_stage(head, **AGNOSTIC), picture()
    detector = enliven(build(model), image)
    require_same_boxes(detector, image, tmp_path)
    rows, labels = detected(enliven(build(single_stage(head)), image), image)
    found, found_labels, _ = exported(detector, image, tmp_path)
    assert len(found) != len(rows) or share_found(rows, labels, found, found_labels) < 0.97


@pytest.mark.detectors
@pytest.mark.parametrize(("roi_head", "masks"), [("StandardRoIHead", False), ("StandardRoIHead", True),
                                                 ("DynamicRoIHead", False), ("CascadeRoIHead", False),
                                                 ("CascadeRoIHead", True), ("DoubleHeadRoIHead", False),
                                                 ("PISARoIHead", False), ("MaskScoringRoIHead", True),
                                                 ("HybridTaskCascadeRoIHead", True)])
@pytest.mark.parametrize("agnostic", [False, True], ids=["box-a-class", "one-box"])
def test_two_stages(roi_head, masks, agnostic, tmp_path):
    found = compared(two_stage(roi_head, masks, agnostic), tmp_path)
    assert (found is not None) == masks


@pytest.mark.detectors
@pytest.mark.parametrize("roi_head", ["StandardRoIHead", "CascadeRoIHead"])
def test_sides_in_buckets(roi_head, tmp_path):
    compared(two_stage(roi_head, box_head="SABLHead"), tmp_path)


@pytest.mark.detectors
@pytest.mark.parametrize("model", [two_stage("GridRoIHead"), sparse(), sparse(masks=True), generic_extractor(),
                                   one_level(), objectness(), objectness("CascadeRoIHead")],
                         ids=["grid", "learnt proposals", "and masks", "all levels", "shared head", "objectness",
                              "objectness of stages"])
def test_other_second_stages(model, tmp_path):
    compared(model, tmp_path)


@pytest.mark.detectors
def test_masks_refined_at_points(tmp_path):
    image = picture()
    detector = enliven(build(two_stage("PointRendRoIHead", masks=True, rcnn=POINTS)), image)
    require_supported(detector)
    require_same_boxes(detector, image, tmp_path)
    rows, labels, masks = exported(detector, image, tmp_path)
    head, features = detector.roi_head, detector.extract_feat(image)
    labels, rois = torch.from_numpy(labels), regions(torch.from_numpy(rows)[None])
    with torch.no_grad():
        coarse = head._mask_forward(features, rois)["mask_pred"]
        refined = head._mask_point_forward_test(features, rois, labels, coarse, image_metas(image))
    refined = refined[torch.arange(len(labels)), labels].sigmoid().numpy()
    assert masks.shape[1:] == (28, 28)
    # Of points that are as uncertain as one another either may be the last that is refined.
    assert (abs(refined - masks[:len(rows)]) < 1e-3).mean() > 0.99


@pytest.mark.detectors
@pytest.mark.parametrize("agnostic", [False, True], ids=["box-a-class", "one-box"])
@pytest.mark.parametrize("section", ["rpn", "rcnn"])
def test_suppression_over_all_classes_or_levels_of_two_stages(section, agnostic, tmp_path):
    suppression = {"nms": {"type": "nms", "iou_threshold": 0.6, "class_agnostic": True}}
    compared(two_stage(agnostic=agnostic, **{section: suppression}), tmp_path)


@pytest.mark.detectors
@pytest.mark.parametrize("roi_head", ["StandardRoIHead", "CascadeRoIHead"])
def test_padding_of_few_proposals_takes_the_place_of_no_box(roi_head, tmp_path):
    few = {"nms": {"type": "nms", "iou_threshold": 0.05}, "max_per_img": 1000}
    compared(two_stage(roi_head, rpn=few, rcnn={"max_per_img": 20, "score_thr": 0.0}), tmp_path)


@pytest.mark.detectors
@pytest.mark.parametrize("size", [-1, 12])
def test_the_least_side_of_proposals(size, tmp_path):
    compared(two_stage(rpn={"min_bbox_size": size}), tmp_path)


@pytest.mark.detectors
def test_masks_of_a_cascade_are_the_mean_of_its_stages(tmp_path):
    image = picture()
    detector = enliven(build(two_stage("CascadeRoIHead", masks=True)), image)
    masks = require_same_boxes(detector, image, tmp_path)
    found, _, _ = exported(detector, image, tmp_path)
    assert masks.shape[1:] == (28, 28)
    assert np.ptp(masks[:len(found)]) > 0.05
