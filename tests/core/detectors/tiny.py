"""Detectors of every family so small that they are built and exported in seconds, with random weights."""

import copy

import torch

CLASSES = 4
WIDTH = 32
NMS = dict(type="nms", iou_threshold=0.5)
TEST = dict(nms_pre=100_000, min_bbox_size=0, score_thr=0.05, nms=NMS, max_per_img=100)
BACKBONE = dict(type="ResNet", depth=18, base_channels=16, num_stages=4, out_indices=(0, 1, 2, 3), frozen_stages=-1,
                norm_cfg=dict(type="BN"), norm_eval=False)
FPN = dict(type="FPN", in_channels=[16, 32, 64, 128], out_channels=WIDTH, start_level=1, add_extra_convs="on_output",
           num_outs=5)
STRIDES = [8, 16, 32, 64, 128]
DELTAS = dict(type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2])
FOCAL = dict(type="FocalLoss", use_sigmoid=True)
GIOU = dict(type="GIoULoss", loss_weight=2.0)
ONE_ANCHOR = dict(type="AnchorGenerator", ratios=[1.0], octave_base_scale=4, scales_per_octave=1, strides=STRIDES)
TWO_ANCHORS = dict(type="AnchorGenerator", ratios=[0.5, 2.0], octave_base_scale=4, scales_per_octave=1, strides=STRIDES)
GROUPS = dict(type="GN", num_groups=8, requires_grad=True)
_TOWER = dict(num_classes=CLASSES, in_channels=WIDTH, feat_channels=WIDTH, stacked_convs=1)
_DISTANCES = {"FSAFHead": "retina_reg", "AutoAssignHead": "conv_reg", "FCOSHead": "conv_reg"}
HEADS = {
    "RetinaHead": dict(**_TOWER, anchor_generator=TWO_ANCHORS, bbox_coder=DELTAS, loss_cls=FOCAL),
    "FSAFHead": dict(**_TOWER, anchor_generator={**ONE_ANCHOR, "octave_base_scale": 1}, reg_decoded_bbox=True,
                     bbox_coder=dict(type="TBLRBBoxCoder", normalizer=4.0),
                     loss_cls={**FOCAL, "reduction": "none"}, loss_bbox=dict(type="IoULoss", reduction="none")),
    "FreeAnchorRetinaHead": dict(**_TOWER, anchor_generator=TWO_ANCHORS, bbox_coder=DELTAS),
    "PISARetinaHead": dict(**_TOWER, anchor_generator=TWO_ANCHORS, bbox_coder=DELTAS, loss_cls=FOCAL),
    "RetinaSepBNHead": dict(**_TOWER, num_ins=5, norm_cfg=dict(type="BN"), anchor_generator=TWO_ANCHORS,
                            bbox_coder=DELTAS, loss_cls=FOCAL),
    "FCOSHead": dict(**_TOWER, norm_cfg=GROUPS, strides=STRIDES),
    "AutoAssignHead": dict(**_TOWER, norm_cfg=GROUPS, strides=STRIDES),
    "ATSSHead": dict(**_TOWER, norm_cfg=GROUPS, anchor_generator=ONE_ANCHOR, bbox_coder=DELTAS, loss_cls=FOCAL,
                     loss_bbox=GIOU),
    "DDODHead": dict(**_TOWER, norm_cfg=GROUPS, anchor_generator=ONE_ANCHOR, bbox_coder=DELTAS, loss_cls=FOCAL,
                     loss_bbox=GIOU, use_dcn=False),
    "GFLHead": dict(**_TOWER, norm_cfg=GROUPS, anchor_generator=ONE_ANCHOR, reg_max=16, loss_bbox=GIOU,
                    loss_cls=dict(type="QualityFocalLoss", use_sigmoid=True)),
    "FoveaHead": dict(**_TOWER, strides=STRIDES, base_edge_list=[16, 32, 64, 128, 256], with_deform=False,
                      scale_ranges=((1, 64), (32, 128), (64, 256), (128, 512), (256, 2048)), loss_cls=FOCAL,
                      loss_bbox=dict(type="SmoothL1Loss", beta=0.11)),
    "YOLOFHead": dict(num_classes=CLASSES, in_channels=WIDTH, num_cls_convs=1, num_reg_convs=1, reg_decoded_bbox=True,
                      anchor_generator=dict(type="AnchorGenerator", ratios=[1.0], scales=[1, 2], strides=[32]),
                      bbox_coder={**DELTAS, "add_ctr_clamp": True, "ctr_clamp": 32}, loss_cls=FOCAL, loss_bbox=GIOU),
}
"""Arguments of single-stage heads by their class, all on one neck but for YOLOF's."""

_RULES = dict(allowed_border=-1, pos_weight=-1, debug=False)
_BY_OVERLAP = dict(type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0)
_BY_ATSS = dict(type="ATSSAssigner", topk=9)
_ASSIGNERS = {
    "ATSSHead": dict(assigner=_BY_ATSS), "GFLHead": dict(assigner=_BY_ATSS),
    "DDODHead": dict(assigner={**_BY_ATSS, "alpha": 0.8}, reg_assigner={**_BY_ATSS, "alpha": 0.5}),
    "FSAFHead": dict(assigner=dict(type="CenterRegionAssigner", pos_scale=0.2, neg_scale=0.2, min_pos_iof=0.01)),
    "YOLOFHead": dict(assigner=dict(type="UniformAssigner", pos_ignore_thr=0.15, neg_ignore_thr=0.7)),
    "PISARetinaHead": dict(assigner=_BY_OVERLAP, isr=dict(k=2.0, bias=0.0), carl=dict(k=1.0, bias=0.2)),
}


def train_cfg(head):
    """Return the ``train_cfg`` of a single-stage head."""
    return copy.deepcopy({**_ASSIGNERS.get(head, dict(assigner=_BY_OVERLAP)), **_RULES})


def two_stage_train_cfg(stages):
    """Return the ``train_cfg`` of a two-stage detector; ``stages`` is 1, or the number of a cascade's."""
    rcnn = dict(assigner={**_BY_OVERLAP, "match_low_quality": False, "neg_iou_thr": 0.5},
                sampler=dict(type="RandomSampler", num=32, pos_fraction=0.25, add_gt_as_proposals=True),
                mask_size=28, dynamic_rcnn=dict(iou_topk=8, beta_topk=4, update_iter_interval=100, initial_iou=0.4,
                                                initial_beta=1.0), **_RULES)
    return copy.deepcopy(dict(
        rpn=dict(assigner=dict(type="MaxIoUAssigner", pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3),
                 sampler=dict(type="RandomSampler", num=64, pos_fraction=0.5, add_gt_as_proposals=False), **_RULES),
        rpn_proposal=dict(nms_pre=200, max_per_img=50, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0),
        rcnn=rcnn if stages == 1 else [rcnn] * stages))


def single_stage(head, **test_cfg):
    """Return the model config of a single-stage detector with a head of that class."""
    neck = FPN if head != "YOLOFHead" else dict(
        type="DilatedEncoder", in_channels=128, out_channels=WIDTH, block_mid_channels=16, num_residual_blocks=1,
        block_dilations=[2])
    backbone = BACKBONE if head != "YOLOFHead" else {**BACKBONE, "out_indices": (3,)}
    return copy.deepcopy(dict(type="SingleStageDetector", backbone=backbone, neck=neck,
                              bbox_head=dict(type=head, **HEADS[head]), test_cfg={**TEST, **test_cfg}))


def _box_head(agnostic):
    return dict(type="Shared2FCBBoxHead", in_channels=WIDTH, fc_out_channels=64, roi_feat_size=7, num_classes=CLASSES,
                bbox_coder=DELTAS, reg_class_agnostic=agnostic,
                loss_bbox=dict(type="SmoothL1Loss", beta=1.0))


def two_stage(roi_head="StandardRoIHead", masks=False, agnostic=False, rcnn=None, rpn=None):
    """Return the model config of a two-stage detector; ``agnostic``: one box of all classes for each region."""
    cascade = roi_head == "CascadeRoIHead"
    extractor = dict(type="SingleRoIExtractor", roi_layer=dict(type="RoIAlign", output_size=7, sampling_ratio=2),
                     out_channels=WIDTH, featmap_strides=[4, 8, 16, 32])
    head = dict(type=roi_head, bbox_roi_extractor=extractor,
                bbox_head=[_box_head(agnostic)] * 3 if cascade else _box_head(agnostic))
    if cascade:
        head.update(num_stages=3, stage_loss_weights=[1, 0.5, 0.25])
    if masks:
        head.update(mask_roi_extractor={**extractor, "roi_layer": dict(type="RoIAlign", output_size=14,
                                                                       sampling_ratio=2)},
                    mask_head=dict(type="FCNMaskHead", num_convs=1, in_channels=WIDTH, conv_out_channels=WIDTH,
                                   num_classes=CLASSES))
    return copy.deepcopy(dict(
        type="CascadeRCNN" if cascade else "FasterRCNN", backbone=BACKBONE,
        neck=dict(type="FPN", in_channels=[16, 32, 64, 128], out_channels=WIDTH, num_outs=5),
        rpn_head=dict(type="RPNHead", in_channels=WIDTH, feat_channels=WIDTH,
                      anchor_generator=dict(type="AnchorGenerator", scales=[8], ratios=[0.5, 1.0, 2.0],
                                            strides=[4, 8, 16, 32, 64]),
                      bbox_coder={**DELTAS, "target_stds": [1.0] * 4},
                      loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=True)),
        roi_head=head,
        test_cfg=dict(rpn={**dict(nms_pre=200, max_per_img=50, nms=dict(type="nms", iou_threshold=0.7),
                                  min_bbox_size=0), **(rpn or {})},
                      rcnn={**dict(score_thr=0.05, nms=NMS, max_per_img=100, mask_thr_binary=0.5), **(rcnn or {})})))


def build(model, seed=0):
    """Return the detector of a model config; distances that a head cuts off below 0 are mostly above it."""
    from mmcv import ConfigDict
    from mmdet.models import build_detector

    torch.manual_seed(seed)
    detector = build_detector(ConfigDict(model))
    layer = _DISTANCES.get(type(getattr(detector, "bbox_head", None)).__name__)
    if layer:
        getattr(detector.bbox_head, layer).bias.data.fill_(2.0)
    return detector


def picture(height=128, width=160):
    """Return an image [1, 3, height, width] of noise."""
    torch.manual_seed(1)
    return torch.randn(1, 3, height, width) * 2
