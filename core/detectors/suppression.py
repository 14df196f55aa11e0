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
        labels: [1, N] where ``scores`` are [1, N, 1], of one class each.

    Returns:
        ``boxes`` [1, max_per_img, 5] and ``labels`` [1, max_per_img], best first; rows of score 0 are padding.
    """
    from mmdet.core.export import add_dummy_nms_for_onnx

    if labels is None and test_cfg.nms.get("class_agnostic", False) and test_cfg.nms.iou_threshold < 1:
        # All but the best class of a box would fall to that one: the boxes are the same.
        scores, labels = scores.max(dim=-1, keepdim=True)
    return add_dummy_nms_for_onnx(boxes, scores, max(_MAX_PER_CLASS, test_cfg.max_per_img),
                                  overlap_limit(test_cfg.nms.iou_threshold), score_threshold,
                                  test_cfg.get("deploy_nms_pre", -1), test_cfg.max_per_img, labels=labels)


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
