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
SQUARES = dict(type="AnchorGenerator", ratios=[1.0], scales=[4], strides=STRIDES)
APPROXIMATE = dict(type="AnchorGenerator", octave_base_scale=4, scales_per_octave=3, ratios=[0.5, 1.0, 2.0],
                   strides=STRIDES)
_TOWER = dict(num_classes=CLASSES, in_channels=WIDTH, feat_channels=WIDTH, stacked_convs=1)
_DISTANCES = {"FSAFHead": "retina_reg", "AutoAssignHead": "conv_reg", "FCOSHead": "conv_reg",
              "NASFCOSHead": "conv_reg", "CenterNetHead": "wh_head.2"}
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
    "PAAHead": dict(**_TOWER, norm_cfg=GROUPS, anchor_generator=ONE_ANCHOR, bbox_coder=DELTAS, loss_cls=FOCAL,
                    loss_bbox=GIOU, reg_decoded_bbox=True),
    "VFNetHead": dict(**_TOWER, norm_cfg=GROUPS, strides=STRIDES),
    "NASFCOSHead": dict(num_classes=CLASSES, in_channels=WIDTH, feat_channels=WIDTH, norm_cfg=GROUPS, strides=STRIDES),
    "TOODHead": dict(**{**_TOWER, "stacked_convs": 2}, norm_cfg=GROUPS, anchor_generator=ONE_ANCHOR,
                     bbox_coder=DELTAS, loss_bbox=GIOU,
                     loss_cls=dict(type="QualityFocalLoss", use_sigmoid=True, activated=True)),
    "SABLRetinaHead": dict(**_TOWER, approx_anchor_generator=APPROXIMATE, square_anchor_generator=SQUARES,
                           bbox_coder=dict(type="BucketingBBoxCoder", num_buckets=14, scale_factor=3.0),
                           loss_cls=FOCAL, loss_bbox_reg=dict(type="SmoothL1Loss", beta=1.0 / 9.0),
                           loss_bbox_cls=dict(type="CrossEntropyLoss", use_sigmoid=True)),
    "RepPointsHead": dict(**_TOWER, point_feat_channels=WIDTH, norm_cfg=GROUPS, num_points=9, gradient_mul=0.1,
                          point_strides=STRIDES, point_base_scale=4, loss_cls=FOCAL,
                          loss_bbox_init=dict(type="SmoothL1Loss", beta=0.11),
                          loss_bbox_refine=dict(type="SmoothL1Loss", beta=0.11)),
    "GARetinaHead": dict(**_TOWER, approx_anchor_generator=APPROXIMATE, square_anchor_generator=SQUARES,
                         anchor_coder={**DELTAS, "target_stds": [1.0] * 4}, bbox_coder=DELTAS, loss_cls=FOCAL,
                         loss_bbox=dict(type="SmoothL1Loss", beta=0.04)),
}
"""Arguments of single-stage heads by their class, all on one neck but for YOLOF's and the transformers'."""

_LAYER = dict(ffn_cfgs=dict(type="FFN", embed_dims=WIDTH, feedforward_channels=64, num_fcs=2, ffn_drop=0.0,
                            act_cfg=dict(type="ReLU", inplace=True)))
_ATTENTION = dict(type="MultiheadAttention", embed_dims=WIDTH, num_heads=4, dropout=0.0)
_SAMPLED = dict(type="MultiScaleDeformableAttention", embed_dims=WIDTH, num_heads=4, num_levels=5, dropout=0.0)
_ENCODER = dict(num_layers=1, transformerlayers=dict(type="BaseTransformerLayer", **_LAYER, operation_order=(
    "self_attn", "norm", "ffn", "norm")))
_DECODER = dict(num_layers=2, return_intermediate=True, transformerlayers=dict(
    type="DetrTransformerDecoderLayer", **_LAYER, feedforward_channels=64, ffn_dropout=0.0,
    operation_order=("self_attn", "norm", "cross_attn", "norm", "ffn", "norm")))
_QUERIES = dict(num_classes=CLASSES, num_query=30, sync_cls_avg_factor=False,
                positional_encoding=dict(type="SinePositionalEncoding", num_feats=WIDTH // 2, normalize=True),
                loss_bbox=dict(type="L1Loss", loss_weight=5.0), loss_iou=GIOU)

HEADS["CenterNetHead"] = dict(num_classes=CLASSES, in_channel=WIDTH, feat_channel=WIDTH)
HEADS["LADHead"] = HEADS["PAAHead"]
HEADS["LDHead"] = dict(**HEADS["GFLHead"], loss_ld=dict(type="KnowledgeDistillationKLDivLoss", loss_weight=0.25, T=10))


def _with(layers, attention):
    return {**layers, "transformerlayers": {**layers["transformerlayers"], "attn_cfgs": attention}}


HEADS["DETRHead"] = dict(**_QUERIES, in_channels=128, transformer=dict(
    type="Transformer", encoder=_with({**_ENCODER, "type": "DetrTransformerEncoder"}, [_ATTENTION]),
    decoder=_with({**_DECODER, "type": "DetrTransformerDecoder"}, _ATTENTION)), loss_cls=dict(
        type="CrossEntropyLoss", bg_cls_weight=0.1, use_sigmoid=False, loss_weight=1.0, class_weight=1.0))
HEADS["DeformableDETRHead"] = dict(
    **_QUERIES, in_channels=WIDTH, with_box_refine=True, loss_cls={**FOCAL, "loss_weight": 2.0}, transformer=dict(
        type="DeformableDetrTransformer", num_feature_levels=5,
        encoder=_with({**_ENCODER, "type": "DetrTransformerEncoder"}, _SAMPLED),
        decoder=_with({**_DECODER, "type": "DeformableDetrTransformerDecoder"}, [_ATTENTION, _SAMPLED])))

_DETECTORS = {"DETRHead": "DETR", "DeformableDETRHead": "DeformableDETR", "LADHead": "LAD",
              "CenterNetHead": "CenterNet", "LDHead": "KnowledgeDistillationSingleStageDetector"}
_RULES = dict(allowed_border=-1, pos_weight=-1, debug=False)
_BY_OVERLAP = dict(type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0)
_BY_ATSS = dict(type="ATSSAssigner", topk=9)
_BY_COST = dict(type="HungarianAssigner", cls_cost=dict(type="FocalLossCost", weight=2.0),
                reg_cost=dict(type="BBoxL1Cost", weight=5.0),
                iou_cost=dict(type="IoUCost", iou_mode="giou", weight=2.0))
_ASSIGNERS = {
    "DETRHead": dict(assigner={**_BY_COST, "cls_cost": dict(type="ClassificationCost", weight=1.0)}),
    "DeformableDETRHead": dict(assigner=_BY_COST),
    "ATSSHead": dict(assigner=_BY_ATSS), "GFLHead": dict(assigner=_BY_ATSS), "LDHead": dict(assigner=_BY_ATSS),
    "DDODHead": dict(assigner={**_BY_ATSS, "alpha": 0.8}, reg_assigner={**_BY_ATSS, "alpha": 0.5}),
    "FSAFHead": dict(assigner=dict(type="CenterRegionAssigner", pos_scale=0.2, neg_scale=0.2, min_pos_iof=0.01)),
    "YOLOFHead": dict(assigner=dict(type="UniformAssigner", pos_ignore_thr=0.15, neg_ignore_thr=0.7)),
    "PAAHead": dict(assigner={**_BY_OVERLAP, "pos_iou_thr": 0.1, "neg_iou_thr": 0.1}),
    "LADHead": dict(assigner={**_BY_OVERLAP, "pos_iou_thr": 0.1, "neg_iou_thr": 0.1}),
    "VFNetHead": dict(assigner=_BY_ATSS),
    "TOODHead": dict(assigner=dict(type="TaskAlignedAssigner", topk=13), initial_assigner=_BY_ATSS, initial_epoch=4,
                     alpha=1, beta=6),
    "SABLRetinaHead": dict(assigner=dict(type="ApproxMaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.4,
                                         min_pos_iou=0.0, ignore_iof_thr=-1)),
    "RepPointsHead": dict(init=dict(assigner=dict(type="PointAssigner", scale=4, pos_num=1), **_RULES),
                          refine=dict(assigner=_BY_OVERLAP, **_RULES)),
    "GARetinaHead": dict(assigner={**_BY_OVERLAP, "neg_iou_thr": 0.5, "min_pos_iou": 0.0},
                         ga_assigner=dict(type="ApproxMaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.4,
                                          min_pos_iou=0.4, ignore_iof_thr=-1),
                         ga_sampler=dict(type="RandomSampler", num=256, pos_fraction=0.5, neg_pos_ub=-1,
                                         add_gt_as_proposals=False), center_ratio=0.2, ignore_ratio=0.5),
    "PISARetinaHead": dict(assigner=_BY_OVERLAP, isr=dict(k=2.0, bias=0.0), carl=dict(k=1.0, bias=0.2)),
}


def train_cfg(head):
    """Return the ``train_cfg`` of a single-stage head."""
    return copy.deepcopy({**_ASSIGNERS.get(head, dict(assigner=_BY_OVERLAP)), **_RULES})


def two_stage_train_cfg(stages):
    """Return the ``train_cfg`` of a two-stage detector; ``stages`` is 1, or the number of a cascade's."""
    rcnn = dict(assigner={**_BY_OVERLAP, "match_low_quality": False, "neg_iou_thr": 0.5},
                sampler=dict(type="RandomSampler", num=32, pos_fraction=0.25, add_gt_as_proposals=True),
                mask_size=28, mask_thr_binary=0.5, pos_radius=1, max_num_grid=192, num_points=49, oversample_ratio=3,
                importance_sample_ratio=0.75, dynamic_rcnn=dict(
                    iou_topk=8, beta_topk=4, update_iter_interval=100, initial_iou=0.4, initial_beta=1.0), **_RULES)
    return copy.deepcopy(dict(
        rpn=dict(assigner=dict(type="MaxIoUAssigner", pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3),
                 sampler=dict(type="RandomSampler", num=64, pos_fraction=0.5, add_gt_as_proposals=False), **_RULES),
        rpn_proposal=dict(nms_pre=200, max_per_img=50, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0),
        rcnn=rcnn if stages == 1 else [rcnn] * stages))


def single_stage(head, **test_cfg):
    """Return the model config of a single-stage detector with a head of that class."""
    necks = {"DETRHead": None, "CenterNetHead": dict(
        type="CTResNetNeck", in_channel=128, num_deconv_filters=(WIDTH,) * 3, num_deconv_kernels=(4, 4, 4)),
        "YOLOFHead": dict(
        type="DilatedEncoder", in_channels=128, out_channels=WIDTH, block_mid_channels=16, num_residual_blocks=1,
        block_dilations=[2])}
    backbone = {**BACKBONE, "out_indices": (3,)} if head in necks else BACKBONE
    test = {"DETRHead": dict(max_per_img=30), "DeformableDETRHead": dict(max_per_img=30),
            "CenterNetHead": dict(topk=100, local_maximum_kernel=3, max_per_img=100)}.get(head, {**TEST, **test_cfg})
    model = dict(type=_DETECTORS.get(head, "SingleStageDetector"), backbone=backbone, neck=necks.get(head, FPN),
                 bbox_head=dict(type=head, **HEADS[head]), test_cfg=test)
    if head == "DETRHead":
        del model["neck"]
    if head == "LADHead":
        model.update(teacher_backbone=backbone, teacher_neck=FPN, teacher_bbox_head=model["bbox_head"],
                     teacher_ckpt=None)
    if head == "LDHead":
        model.update(teacher_config=dict(model=single_stage("GFLHead")))
    return copy.deepcopy(model)


BOX_HEADS = {
    "Shared2FCBBoxHead": dict(in_channels=WIDTH, fc_out_channels=64, roi_feat_size=7, bbox_coder=DELTAS,
                              loss_bbox=dict(type="SmoothL1Loss", beta=1.0)),
    "DoubleConvFCBBoxHead": dict(in_channels=WIDTH, num_convs=1, num_fcs=1, conv_out_channels=64, fc_out_channels=64,
                                 roi_feat_size=7, bbox_coder=DELTAS, loss_bbox=dict(type="SmoothL1Loss", beta=1.0)),
    "SABLHead": dict(cls_in_channels=WIDTH, reg_in_channels=WIDTH, cls_out_channels=64, reg_offset_out_channels=WIDTH,
                     reg_cls_out_channels=WIDTH),
}
"""Arguments of box heads of a second stage by their class."""

POINTS = dict(subdivision_steps=2, subdivision_num_points=49, scale_factor=2)
"""What PointRend needs of a ``test_cfg``."""

_ROI_HEADS = {
    "DoubleHeadRoIHead": dict(reg_roi_scale_factor=1.3),
    "GridRoIHead": dict(grid_head=dict(type="GridHead", num_convs=1, in_channels=WIDTH, point_feat_channels=16,
                                       norm_cfg=dict(type="GN", num_groups=36))),
    "PointRendRoIHead": dict(point_head=dict(type="MaskPointHead", num_fcs=1, in_channels=WIDTH, fc_channels=WIDTH,
                                             num_classes=CLASSES, coarse_pred_each_layer=True)),
    "HybridTaskCascadeRoIHead": dict(interleaved=True, mask_info_flow=True),
}


def two_stage(roi_head="StandardRoIHead", masks=False, agnostic=False, rcnn=None, rpn=None, box_head=None):
    """Return the model config of a two-stage detector; ``agnostic``: one box of all classes for each region."""
    cascade = roi_head in ("CascadeRoIHead", "HybridTaskCascadeRoIHead")
    kind = box_head or ("DoubleConvFCBBoxHead" if roi_head == "DoubleHeadRoIHead" else "Shared2FCBBoxHead")
    box_head = dict(type=kind, num_classes=CLASSES, reg_class_agnostic=agnostic or kind == "SABLHead",
                    **BOX_HEADS[kind])
    if roi_head == "GridRoIHead":
        box_head["with_reg"] = False
    extractor = dict(type="SingleRoIExtractor", roi_layer=dict(type="RoIAlign", output_size=7, sampling_ratio=0),
                     out_channels=WIDTH, featmap_strides=[4, 8, 16, 32])
    larger = {**extractor, "roi_layer": dict(type="RoIAlign", output_size=14, sampling_ratio=0)}
    head = dict(type=roi_head, bbox_roi_extractor=extractor, bbox_head=[box_head] * 3 if cascade else box_head,
                **_ROI_HEADS.get(roi_head, {}))
    if cascade:
        head.update(num_stages=3, stage_loss_weights=[1, 0.5, 0.25])
    if roi_head == "GridRoIHead":
        head.update(grid_roi_extractor=larger)
    if masks:
        mask_head = dict(type="FCNMaskHead", num_convs=1, in_channels=WIDTH, conv_out_channels=WIDTH,
                         num_classes=CLASSES)
        if roi_head == "HybridTaskCascadeRoIHead":
            mask_head = [{**mask_head, "type": "HTCMaskHead", "with_conv_res": stage > 0} for stage in range(3)]
        if roi_head == "PointRendRoIHead":
            larger = dict(type="GenericRoIExtractor", aggregation="concat", out_channels=WIDTH, featmap_strides=[4],
                          roi_layer=dict(type="SimpleRoIAlign", output_size=14))
            mask_head = dict(type="CoarseMaskHead", num_fcs=1, in_channels=WIDTH, conv_out_channels=WIDTH,
                             fc_out_channels=64, num_classes=CLASSES)
        head.update(mask_roi_extractor=larger, mask_head=mask_head)
    if roi_head == "MaskScoringRoIHead":
        head.update(mask_iou_head=dict(type="MaskIoUHead", num_convs=1, num_fcs=1, in_channels=WIDTH, roi_feat_size=14,
                                       conv_out_channels=WIDTH, fc_out_channels=64, num_classes=CLASSES))
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


def generic_extractor():
    """Return a model config whose second stage looks at all levels of each region, through modules of its own."""
    model = two_stage()
    model["roi_head"]["bbox_roi_extractor"].update(
        type="GenericRoIExtractor", aggregation="sum",
        pre_cfg=dict(type="ConvModule", in_channels=WIDTH, out_channels=WIDTH, kernel_size=5, padding=2, inplace=False),
        post_cfg=dict(type="GeneralizedAttention", in_channels=WIDTH, spatial_range=-1, num_heads=4,
                      attention_type="0100", kv_stride=2))
    return model


def objectness(roi_head="StandardRoIHead"):
    """Return a model config whose box heads find objects apart from classes, by layers that normalise weights."""
    model = two_stage(roi_head)
    boxes = model["roi_head"]["bbox_head"]
    for head in boxes if isinstance(boxes, list) else [boxes]:
        head.update(cls_predictor_cfg=dict(type="NormedLinear", tempearture=20),
                    loss_cls=dict(type="SeesawLoss", p=0.8, q=2.0, num_classes=CLASSES))
    return model


def one_level():
    """Return a model config of two stages on one level, with a part of the backbone in the second one."""
    model, width = two_stage(), 256
    model.update(backbone={**BACKBONE, "base_channels": 64, "num_stages": 3, "strides": (1, 2, 2),
                           "dilations": (1, 1, 1), "out_indices": (2,)}, neck=None)
    model["rpn_head"].update(in_channels=width, anchor_generator=dict(
        type="AnchorGenerator", scales=[2, 4, 8], ratios=[0.5, 1.0, 2.0], strides=[16]))
    model["roi_head"].update(
        shared_head=dict(type="ResLayer", depth=18, stage=3, stride=2, norm_cfg=dict(type="BN"), norm_eval=False),
        bbox_roi_extractor=dict(type="SingleRoIExtractor", out_channels=width, featmap_strides=[16],
                                roi_layer=dict(type="RoIAlign", output_size=14, sampling_ratio=0)),
        bbox_head=dict(type="BBoxHead", with_avg_pool=True, in_channels=512, roi_feat_size=7, num_classes=CLASSES,
                       bbox_coder=DELTAS, loss_bbox=dict(type="SmoothL1Loss", beta=1.0)))
    return model


def sparse(stages=2, masks=False):
    """Return the model config of a Sparse R-CNN, or of a QueryInst."""
    box_head = dict(type="DIIHead", num_classes=CLASSES, num_ffn_fcs=2, num_heads=4, num_cls_fcs=1, num_reg_fcs=1,
                    feedforward_channels=64, in_channels=WIDTH, dropout=0.0,
                    dynamic_conv_cfg=dict(type="DynamicConv", in_channels=WIDTH, feat_channels=16, out_channels=WIDTH,
                                          input_feat_shape=7, norm_cfg=dict(type="LN")),
                    loss_cls=FOCAL, loss_bbox=dict(type="L1Loss", loss_weight=5.0), loss_iou=GIOU,
                    bbox_coder=DELTAS)
    model = two_stage()
    model.update(type="SparseRCNN", rpn_head=dict(type="EmbeddingRPNHead", num_proposals=30,
                                                  proposal_feature_channel=WIDTH),
                 test_cfg=dict(rpn=None, rcnn=dict(max_per_img=30)),
                 train_cfg=dict(rpn=None, rpn_proposal=None, rcnn=[dict(
                     assigner=_BY_COST, sampler=dict(type="PseudoSampler"), pos_weight=1)] * stages),
                 roi_head=dict(type="SparseRoIHead", num_stages=stages, stage_loss_weights=[1] * stages,
                               proposal_feature_channel=WIDTH, bbox_head=[box_head] * stages,
                               bbox_roi_extractor=model["roi_head"]["bbox_roi_extractor"]))
    if masks:
        interaction = {**box_head["dynamic_conv_cfg"], "input_feat_shape": 14, "with_proj": False}
        model["type"] = "QueryInst"
        model["test_cfg"]["rcnn"].update(mask_thr_binary=0.5)
        model["train_cfg"]["rcnn"] = [{**rules, "mask_size": 28} for rules in model["train_cfg"]["rcnn"]]
        model["roi_head"].update(
            mask_roi_extractor=two_stage(masks=True)["roi_head"]["mask_roi_extractor"],
            mask_head=[dict(type="DynamicMaskHead", num_convs=1, in_channels=WIDTH, conv_out_channels=WIDTH,
                            roi_feat_size=14, num_classes=CLASSES, dynamic_conv_cfg=interaction)] * stages)
    return copy.deepcopy(model)


def build(model, seed=0):
    """Return the detector of a model config; distances that a head cuts off below 0 are mostly above it."""
    from mmcv import ConfigDict
    from mmdet.models import build_detector

    from core.detectors.stand_ins import install_stand_ins

    install_stand_ins()
    torch.manual_seed(seed)
    detector = build_detector(ConfigDict(model))
    layer = _DISTANCES.get(type(getattr(detector, "bbox_head", None)).__name__)
    if layer:
        detector.bbox_head.get_submodule(layer).bias.data.fill_(2.0)
    if model["type"] == "DeformableDETR":
        # Some of its parameters are memory as it was found.
        detector.bbox_head.transformer.init_weights()
    if model["type"] in ("SparseRCNN", "QueryInst"):
        middles, sides = detector.rpn_head.init_proposal_bboxes.weight.data.uniform_().split(2, dim=1)
        middles.mul_(0.6).add_(0.2)
        sides.mul_(0.3).add_(0.1)
    return detector


def picture(height=128, width=160):
    """Return an image [1, 3, height, width] of noise."""
    torch.manual_seed(1)
    return torch.randn(1, 3, height, width) * 2
