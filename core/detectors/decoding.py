"""Decoding in the exported graph, of heads whose boxes come of arithmetic of their own."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

CENTRES, POINTS = "centres", "points"


class DistancesToBox:
    """Decodes distances to the left, upper, right and lower side, in pixels, in the exported graph.

    Args:
        priors: Whether the distances are from the ``centres`` of anchors or from ``points``.
        margin: Pixels that a box ends before the image does.
        clip: Whether boxes are cut off at the image's border at all.
    """

    def __init__(self, priors: str = POINTS, margin: int = 0, clip: bool = True) -> None:
        self.priors, self.margin, self.clip = priors, margin, clip

    def decode(self, priors: Any, distances: Any, max_shape: Any) -> Any:
        """Return boxes [1, N, 4] of priors [1, N, 2 or 4] within an image of ``max_shape`` (height, width)."""
        from mmdet.core import distance2bbox

        if self.priors == CENTRES:
            priors = (priors[..., :2] + priors[..., 2:]) / 2
        return distance2bbox(priors, distances, max_shape - self.margin if self.clip else None)


def candidates_by(coder: Any, head: Any, outputs: Any, metas: list[dict[str, Any]]) -> tuple[Any, Any]:
    """Return what BaseDenseHead of mmdet 2.28.2 suppresses, of raw outputs decoded by ``coder``.

    Its own ONNX export counts ``nms_pre`` in places, of whatever number of classes, and ranks them by scores that are
    lowered already.

    Args:
        coder: The head's own or one in its place.
        head: Gives priors, classes and ``test_cfg``.
        outputs: Of each level the logits [1, A * classes, h, w], what ``coder`` takes [1, A * 4, h, w], and where a
            factor lowers the scores its logit [1, A, h, w].
        metas: Of the image, with its size as part of the graph.

    Returns:
        Boxes [1, N, 4] and scores [1, N, classes].
    """
    shape, cfg = metas[0]["img_shape_for_onnx"], head.test_cfg
    priors = head.prior_generator.grid_priors([level.shape[-2:] for level in outputs[0]], dtype=outputs[1][0].dtype,
                                              device=outputs[1][0].device)

    def levels() -> Iterator[tuple[Any, ...]]:
        for place, (classes, boxes, *factors) in zip(priors, zip(*outputs)):
            scores = rows_of(classes, head.cls_out_channels)
            scores = scores.sigmoid() if head.use_sigmoid_cls else scores.softmax(dim=-1)[..., :head.num_classes]
            yield scores, place[None], rows_of(boxes, 4), *(rows_of(factor, 1).sigmoid() for factor in factors)

    def decode(scores: Any, place: Any, found: Any, *factors: Any) -> tuple[Any, Any]:
        for factor in factors:
            # In PyTorch a class must exceed the threshold by itself, before the factor lowers its score.
            scores = scores * (scores > cfg.score_thr).to(scores.dtype) * factor
        return coder.decode(place, found, max_shape=shape), scores

    return best_candidates(levels(), cfg.nms_pre, decode, pairs=True)


def rows_of(level: Any, width: int) -> Any:
    """Return a map [1, A * width, h, w] as rows [1, h * w * A, width]."""
    return level.permute(0, 2, 3, 1).reshape(1, -1, width)


def best_candidates(levels: Iterable[tuple[Any, ...]], most: int, decode: Callable[..., tuple[Any, Any]],
                    pairs: bool = False) -> tuple[Any, Any]:
    """Return the candidates of all levels, of each the ``most`` that score best.

    Args:
        levels: Of each level its scores [1, N, classes], and whatever else [1, N, ...] there is of its N places.
        most: ``nms_pre``; all where it is not positive.
        decode: Makes boxes [1, K, 4] and scores [1, K, classes] of what is left of a level, which it takes one by one.
        pairs: Whether ``most`` counts pairs of a place and a class, as MMDetection's filter_scores_and_topk does, or
            places.

    Returns:
        Boxes [1, N, 4] and scores [1, N, classes].
    """
    import torch
    from mmdet.core.export import get_k_for_topk

    boxes, scores = [], []
    for level in levels:
        kept = get_k_for_topk(torch.tensor(most), level[0].shape[1])
        if kept > 0:
            # The best pairs are all of the places whose best pair is among the first.
            _, places = level[0].max(dim=-1)[0].topk(kept)
            level = tuple(rows[:, places[0]] for rows in level)
        if pairs and int(level[0].shape[2]) > 1:
            level = (_best_pairs_alone(level[0], most), *level[1:])
        found, scored = decode(*level)
        boxes.append(found)
        scores.append(scored)
    return torch.cat(boxes, dim=1), torch.cat(scores, dim=1)


def _best_pairs_alone(scores: Any, most: int) -> Any:
    """Return scores [1, N, classes] with 0 for all but the ``most`` best, and those that are as good."""
    import torch
    from mmdet.core.export import get_k_for_topk

    kept = get_k_for_topk(torch.tensor(most), scores.shape[1] * scores.shape[2])
    if not kept > 0:
        return scores
    least = scores.flatten(1).topk(kept)[0][:, -1:, None]
    return scores * (scores >= least).to(scores.dtype)


def in_buckets(coder: Any, priors: Any, classes: Any, offsets: Any, shape: Any) -> tuple[Any, Any]:
    """Decode as BucketingBBoxCoder does: each side lies in the likeliest of its buckets, and an offset from there.

    Args:
        coder: The head's, for its settings.
        priors: [N, 4].
        classes: Logits of the buckets [N, 4 * buckets] of the left, right, upper and lower side.
        offsets: As many, in widths of a bucket.
        shape: Height and width that boxes are cut off at; None leaves them as they are.

    Returns:
        Boxes [N, 4] and how sure the sides are of their buckets [N].
    """
    import torch

    middle, sides = (priors[:, :2] + priors[:, 2:]) / 2, (priors[:, 2:] - priors[:, :2]) * coder.scale_factor
    width = sides / coder.num_buckets
    buckets = (coder.num_buckets + 1) // 2
    likely, chosen = classes.reshape(-1, 4, buckets).softmax(dim=-1).topk(2, dim=-1)
    nearest = chosen[..., :1]
    inside = torch.gather(offsets.reshape(-1, 4, buckets), -1, nearest)[..., 0]
    place = 0.5 + nearest[..., 0].to(inside.dtype)
    # In the order of the sides: left, right, upper, lower.
    low = (middle - sides / 2) + (place - inside)[:, 0::2] * width
    high = (middle + sides / 2) - (place + inside)[:, 1::2] * width
    if shape is not None and coder.clip_border:
        edge = (shape.flip(0) - 1).to(low.dtype)
        low, high = (torch.min(end.clamp(min=0), edge) for end in (low, high))
    beside = ((chosen[..., 0] - chosen[..., 1]).abs() == 1).to(likely.dtype)
    return torch.cat([low, high], dim=1), (likely[..., 0] + likely[..., 1] * beside).mean(dim=1)
