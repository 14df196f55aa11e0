"""The forward function that is exported: a detector with post-processing made of standard ONNX operators.

MMDetection's own ``onnx_export`` does that for most detectors. What it lacks is here: YOLOX has none, Mask R-CNN's
pastes masks by an operator that ONNX got only in opset 16, two-stage detectors suppress proposals over all pyramid
levels at once where PyTorch does so level by level, and centerness lowers scores before the threshold where in PyTorch
it does so afterwards.
"""

import math
from collections.abc import Callable
from typing import Any

from core.base.errors import UserError
from core.compression.tracing import image_metas, untraced
from core.export.spec import BOX_OUTPUTS, MASK_OUTPUT

# MMDetection's own defaults.
_SCORE_THRESHOLD = 0.05
_IOU_THRESHOLD = 0.5
_MAX_PER_CLASS = 200
_MAX_PER_IMAGE = 100
_MAX_CANDIDATES = 1000
# By the number of lists that a head returns.
_RAW_NAMES = {1: ("pred_maps",), 2: ("cls_scores", "bbox_preds"), 3: ("cls_scores", "bbox_preds", "score_factors")}
_COUNTED_SIZE = (320, 320)
# Below any score that counts, above that of padding, which is 0.
_LEAST_SCORE = 1e-6
# A logit whose sigmoid is 0 in float32.
_NEVER = -1e4


def exportable_forward(detector: Any) -> tuple[Callable[..., tuple[Any, ...]], tuple[str, ...]]:
    """Return the forward function to export and the names of its outputs.

    The function takes ``img`` [1, 3, H, W] and returns ``boxes`` [1, N, 5] (x1, y1, x2, y2, score in pixels of
    ``img``), ``labels`` [1, N] and, for a detector with a mask head, ``masks`` [1, N, h, w]. Rows of score 0 are
    padding.

    Raises:
        UserError: Neither MMDetection nor this module can export the detector.
    """
    kinds = {kind.__name__ for kind in type(detector).__mro__}
    if "YOLOX" in kinds:
        return lambda img, **ignored: _yolox(detector, img), BOX_OUTPUTS
    if "TwoStageDetector" in kinds:
        if hasattr(detector.roi_head, "bbox_onnx_export"):
            names = (*BOX_OUTPUTS, MASK_OUTPUT) if detector.roi_head.with_mask else BOX_OUTPUTS
            return lambda img, **ignored: _two_stage(detector, img), names
    elif _scored_by_factors(detector):
        return lambda img, **ignored: _with_score_factors(detector, img), BOX_OUTPUTS
    elif hasattr(detector, "onnx_export"):
        return lambda img, **ignored: detector.onnx_export(img, image_metas(img)), BOX_OUTPUTS
    raise UserError("detector", type(detector).__name__, "MMDetection has no ONNX export for it.",
                    "Choose a detector with onnx_export, such as a single-stage one, Faster or Mask R-CNN.")


def raw_forward(detector: Any) -> tuple[Callable[..., tuple[Any, ...]], tuple[str, ...]]:
    """Return a forward function that ends at the heads, and the names of its outputs, one a level.

    What MMDetection's head returns is kept as it is: ``cls_scores_0`` of the first level, ``bbox_preds_0`` and so on,
    ``score_factors_0`` where there is centerness or objectness, ``pred_maps_0`` where all is in one map.

    Raises:
        UserError: The heads need proposals, which are themselves post-processed.
    """
    if not hasattr(detector, "bbox_head"):
        raise UserError("--raw-heads", type(detector).__name__, "Its second stage reads proposals that the first "
                        "stage's post-processing makes.", "Export it with post-processing, or choose a single-stage "
                        "detector.")

    def forward(img: Any, **ignored: Any) -> tuple[Any, ...]:
        return tuple(level for levels in detector.bbox_head(detector.extract_feat(img)) for level in levels)

    outputs = _trial_outputs(detector)
    names = _RAW_NAMES[len(outputs)]
    return forward, tuple(f"{name}_{level}" for name, levels in zip(names, outputs) for level in range(len(levels)))


def max_detections(test_cfg: Any) -> int:
    """Return the number of rows a detector's exported output has, by its ``test_cfg``."""
    return int(test_cfg.get("rcnn", test_cfg).get("max_per_img", _MAX_PER_IMAGE))


def score_threshold(detector: Any, test_cfg: Any) -> float:
    """Return the score that a row of the exported output must exceed to be a detection.

    It is ``score_thr``, except where PyTorch compares that with the score of the class alone, before centerness or
    objectness lowers it: there the graph has done so, and every row that is no padding counts.
    """
    kinds = {kind.__name__ for kind in type(getattr(detector, "bbox_head", None)).__mro__}
    if "YOLOV3Head" in kinds or _scored_by_factors(detector):
        return _LEAST_SCORE
    return float(test_cfg.get("rcnn", test_cfg).get("score_thr", _SCORE_THRESHOLD))


def _scored_by_factors(detector: Any) -> bool:
    """Return whether MMDetection's common post-processing multiplies a sigmoid's scores by a third output."""
    from mmdet.models.dense_heads.base_dense_head import BaseDenseHead

    head = getattr(detector, "bbox_head", None)
    common = (getattr(type(head), "_get_bboxes_single", None) is BaseDenseHead._get_bboxes_single
              and type(head).onnx_export is BaseDenseHead.onnx_export)
    return common and bool(head.use_sigmoid_cls) and len(_trial_outputs(detector)) == len(_RAW_NAMES[3])


def _trial_outputs(detector: Any) -> Any:
    """Return what a single-stage detector's head makes of an empty image."""
    import torch

    with torch.no_grad():
        return detector.bbox_head(detector.extract_feat(torch.zeros(1, 3, *_COUNTED_SIZE)))


def _with_score_factors(detector: Any, img: Any) -> tuple[Any, Any]:
    from mmdet.core.export import add_dummy_nms_for_onnx

    head, cfg = detector.bbox_head, detector.bbox_head.test_cfg
    classes, boxes, factors = head(detector.extract_feat(img))
    metas = _metas_of_any_size(img)
    with untraced():
        if cfg.score_thr > 0:
            limit = math.log(cfg.score_thr / (1 - cfg.score_thr))
            classes = [level.masked_fill(level <= limit, _NEVER) for level in classes]
        found, scores = head.onnx_export(classes, boxes, factors, img_metas=metas, with_nms=False)
        return add_dummy_nms_for_onnx(found, scores, cfg.nms.get("max_output_boxes_per_class", _MAX_PER_CLASS),
                                      cfg.nms.get("iou_threshold", _IOU_THRESHOLD), _LEAST_SCORE,
                                      cfg.get("deploy_nms_pre", -1), cfg.max_per_img)


def _yolox(detector: Any, img: Any) -> tuple[Any, Any]:
    import torch
    from mmdet.core.export import add_dummy_nms_for_onnx

    head, cfg = detector.bbox_head, detector.bbox_head.test_cfg
    outputs = head(detector.extract_feat(img))
    with untraced():
        classes, boxes, objectness = [torch.cat(_rows(maps), dim=1) for maps in outputs]
        priors = torch.cat(head.prior_generator.grid_priors(
            [level.shape[-2:] for level in outputs[0]], dtype=boxes.dtype, device=boxes.device, with_stride=True))
        scores = classes.sigmoid() * objectness.sigmoid()
        # As in PyTorch, a box counts for its best class alone.
        scores = scores * (scores == scores.max(dim=-1, keepdim=True)[0]).to(scores.dtype)
        return add_dummy_nms_for_onnx(head._bbox_decode(priors, boxes), scores, _MAX_PER_CLASS, cfg.nms.iou_threshold,
                                      cfg.score_thr, _MAX_CANDIDATES, max_detections(cfg))


def _rows(maps: list[Any]) -> list[Any]:
    """Return maps [N, C, H, W] as [N, H * W, C]."""
    return [level.permute(0, 2, 3, 1).reshape(level.shape[0], -1, level.shape[1]) for level in maps]


def _metas_of_any_size(img: Any) -> list[Any]:
    """Return the meta data of ``img`` with its size as part of the graph."""
    import torch

    metas = image_metas(img)
    metas[0]["img_shape_for_onnx"] = torch._shape_as_tensor(img)[2:]
    return metas


def _two_stage(detector: Any, img: Any) -> tuple[Any, ...]:
    import torch

    metas, head = _metas_of_any_size(img), detector.roi_head
    features = detector.extract_feat(img)
    proposals = _proposals(detector.rpn_head, detector.rpn_head(features), metas)
    boxes, labels = head.bbox_onnx_export(features, metas, proposals, head.test_cfg)
    with untraced():
        # Padded proposals are points, and so are the boxes found in them.
        sides = boxes[..., 2:4] - boxes[..., 0:2]
        real = (sides.min(dim=-1, keepdim=True)[0] > 0).to(boxes.dtype)
        boxes = torch.cat([boxes[..., :4], boxes[..., 4:] * real], dim=-1)
    if not head.with_mask:
        return boxes, labels
    return boxes, labels, _masks(head, features, boxes, labels)


def _proposals(head: Any, outputs: Any, metas: list[Any]) -> Any:
    """Return proposals [1, N, 5], suppressed level by level as in PyTorch: a level takes the place of a class."""
    from mmdet.core.export import add_dummy_nms_for_onnx
    from mmdet.models.dense_heads.base_dense_head import BaseDenseHead

    cfg = head.test_cfg
    with untraced():
        boxes, scores = BaseDenseHead.onnx_export(head, *outputs, img_metas=metas, with_nms=False)
        in_level = _level_marks(outputs[0], cfg.nms_pre, scores)
        proposals, _ = add_dummy_nms_for_onnx(boxes, scores * in_level[None], cfg.max_per_img, cfg.nms.iou_threshold,
                                              0.0, -1, cfg.max_per_img)
        return proposals


def _level_marks(levels: list[Any], most: int, scores: Any) -> Any:
    """Return [N, levels] of 1 and 0: which of the N rows of ``scores`` [1, N, 1] are of which level.

    A level has a row for each of its values, ``most`` where that is positive and they are more. All is calculated in
    the graph, so that it follows the size of the input.
    """
    import torch

    ends, end = [], torch.zeros(1, dtype=torch.long)
    for level in levels:
        size = torch._shape_as_tensor(level)[1:].prod().reshape(1)
        end = end + (torch.min(size, torch.tensor([most])) if most > 0 else size)
        ends.append(end)
    last = torch.cat(ends)[None]
    first = torch.cat([torch.zeros(1, dtype=torch.long), *ends[:-1]])[None]
    row = torch.cumsum(torch.ones_like(scores[0, :, :1], dtype=torch.long), dim=0) - 1
    return ((row >= first) & (row < last)).to(scores.dtype)


def _masks(head: Any, features: Any, boxes: Any, labels: Any) -> Any:
    import torch

    with untraced():
        first = torch.zeros_like(boxes[..., :1])
        rois = torch.cat([first, boxes[..., :4]], dim=-1).reshape(-1, 5)
    masks = head._mask_forward(features, rois)["mask_pred"]
    with untraced():
        if not head.mask_head.class_agnostic:
            masks = masks[torch.arange(masks.shape[0]), labels.reshape(-1)]
        return masks.sigmoid().reshape(1, -1, *masks.shape[-2:])
