"""Non-maximum suppression in the exported graph, by ONNX's standard operator."""

from typing import Any

LEAST_SCORE = 1e-6
"""Below any score that counts, above that of padding, which is 0."""
# What is less could count as 0.
_LEAST_OVERLAP = 1e-7
# MMDetection's own default of its export.
_MAX_PER_CLASS = 200


def suppress(boxes: Any, scores: Any, test_cfg: Any, score_threshold: float, labels: Any = None) -> tuple[Any, Any]:
    """Suppress overlapping boxes as ``test_cfg`` says, class by class or over all classes.

    Args:
        boxes: [1, N, 4].
        scores: [1, N, classes].
        test_cfg: Section with ``nms`` and ``max_per_img``.
        score_threshold: Scores up to it do not count.
        labels: [1, N] where ``scores`` are [1, N, 1], of one class each: boxes of other classes are not suppressed, but
            where ``class_agnostic`` is asked for.

    Returns:
        ``boxes`` [1, max_per_img, 5] and ``labels`` [1, max_per_img], best first; rows of score 0 are padding.
    """
    own_boxes = labels is not None and not test_cfg.nms.get("class_agnostic", False)
    if labels is None and test_cfg.nms.get("class_agnostic", False) and test_cfg.nms.iou_threshold < 1:
        # All but the best class of a box would fall to that one: the boxes are the same.
        scores, labels = scores.max(dim=-1, keepdim=True)
    boxes, scores, labels = _likely_boxes(boxes, scores, labels, test_cfg.get("deploy_nms_pre", -1))
    return non_maximum(boxes, scores, max(_MAX_PER_CLASS, test_cfg.max_per_img), test_cfg.nms.iou_threshold,
                       score_threshold, test_cfg.max_per_img, labels,
                       _apart(boxes, scores > score_threshold, labels) if own_boxes else boxes)


def _apart(boxes: Any, counted: Any, labels: Any) -> Any:
    """Return boxes [1, N, 4], each class beside the others, where mmcv's batched_nms (1.7.2) places them.

    Args:
        boxes: [1, N, 4].
        counted: [1, N, 1], whether a box's score counts.
        labels: [1, N].
    """
    return boxes + labels[..., None].to(boxes.dtype) * ((boxes * counted.to(boxes.dtype)).max() + 1)


def _likely_boxes(boxes: Any, scores: Any, labels: Any, most: int) -> tuple[Any, Any, Any]:
    """Return the ``most`` boxes of the best scores with their scores and labels; all where it is not positive."""
    import torch
    from mmdet.core.export import get_k_for_topk

    kept = get_k_for_topk(torch.tensor(most), boxes.shape[1])
    if not kept > 0:
        return boxes, scores, labels
    _, places = scores.max(dim=-1)[0].topk(kept)
    return boxes[:, places[0]], scores[:, places[0]], None if labels is None else labels[:, places[0]]


def non_maximum(boxes: Any, scores: Any, most_per_class: int, iou_threshold: float, score_threshold: float, most: int,
                labels: Any = None, placed: Any = None) -> tuple[Any, Any]:
    """Suppress class by class by one operator; behind it there is only what it has left over.

    MMDetection's own export (mmdet/core/export/onnx_helper.py, add_dummy_nms_for_onnx) multiplies all scores, and the
    boxes once for each class, with 1 and 0 instead, which takes longer than the suppression itself.

    Args:
        boxes: [1, N, 4].
        scores: [1, N, classes].
        most_per_class: Boxes that are kept of a class.
        iou_threshold: Boxes that overlap a better one by more are dropped.
        score_threshold: Scores up to it do not count.
        most: Boxes that are kept in all.
        labels: [1, N] where ``scores`` are [1, N, 1], of one class each.
        placed: [1, N, 4], where the boxes lie while they are suppressed, if that is elsewhere.

    Returns:
        ``boxes`` [1, most, 5] and ``labels`` [1, most], best first; rows of 0 are padding.
    """
    import torch
    from mmdet.core.export.onnx_helper import DummyONNXNMSop

    state = torch._C._get_tracing_state()
    torch._C._set_tracing_state(None)
    # What the operator returns while PyTorch follows the graph, of which it is no part.
    DummyONNXNMSop.output = torch.zeros((2, 3), dtype=torch.long)
    torch._C._set_tracing_state(state)
    chosen = DummyONNXNMSop.apply(boxes if placed is None else placed, scores.permute(0, 2, 1),
                                  torch.tensor([most_per_class]), torch.tensor([overlap_limit(iou_threshold)]),
                                  torch.tensor([float(score_threshold)]))
    padding = torch.zeros(most, dtype=torch.long)
    classes, places = torch.cat([chosen[:, 1], padding]), torch.cat([chosen[:, 2], padding])
    found = scores.reshape(-1)[chosen[:, 2] * int(scores.shape[2]) + chosen[:, 1]]
    best, order = torch.cat([found, torch.zeros(most)]).topk(most)
    classes, places = classes[order], places[order]
    rows = boxes[0, places] * (best > 0).to(boxes.dtype)[:, None]
    labels = classes if labels is None else labels.reshape(-1)[places]
    return torch.cat([rows, best[:, None]], dim=1)[None], labels[None]


def overlap_limit(threshold: float) -> float:
    """Return the overlap from which on OpenVINO drops a box, where mmcv and ONNX drop one above ``threshold``."""
    import numpy as np

    return max(_LEAST_OVERLAP, float(np.nextafter(np.float32(threshold), np.float32(2))))


def best_pairs(boxes: Any, scores: Any, most: int) -> tuple[Any, Any, Any]:
    """Return the best pairs of a box and a class, where nothing is suppressed.

    Args:
        boxes: [K, 4].
        scores: [K, classes].
        most: Pairs that are kept.

    Returns:
        ``boxes`` [1, most, 5] and ``labels`` [1, most], best first, and the pairs' places in ``scores`` [most].
    """
    import torch

    count = int(scores.shape[-1])
    best, places = scores.reshape(-1).topk(most)
    kept = boxes[torch.div(places, count, rounding_mode="floor")]
    return torch.cat([kept, best[:, None]], dim=1)[None], (places % count)[None], places
