"""TOOD: scores and boxes from features of their own attention, boxes sampled from their neighbours."""

from typing import Any, ClassVar

from core.detectors.decoding import best_candidates, rows_of
from core.detectors.dense import DenseAdapter
from core.detectors.graph import untraced
from core.detectors.patches import (
    COORDINATES,
    DENSE_HEAD,
    OPERATOR,
    REPLACED,
    Patch,
    UntracedFunction,
    dense_functions,
)


def aligned_boxes(head: Any, features: Any) -> tuple[Any, Any]:
    """Return what TOODHead.forward of mmdet 2.28.2 does, the last of scores and all of boxes left out of the graph."""
    import torch
    from mmdet.core import distance2bbox
    from mmdet.models.dense_heads import tood_head
    from torch.nn.functional import adaptive_avg_pool2d

    scores, boxes = [], []
    for level, (feature, scale, stride) in enumerate(zip(features, head.scales, head.prior_generator.strides)):
        count, _, height, width = feature.shape
        interactive = []
        for layer in head.inter_convs:
            feature = layer(feature)
            interactive.append(feature)
        joined = torch.cat(interactive, dim=1)
        with untraced():
            mean = adaptive_avg_pool2d(joined, (1, 1))
        logits = head.tood_cls(head.cls_decomp(joined, mean))
        probability = head.cls_prob_module(joined)
        sides = head.tood_reg(head.reg_decomp(joined, mean))
        offset = head.reg_offset_module(joined)
        with untraced():
            scores.append(tood_head.sigmoid_geometric_mean(logits, probability))
            anchors = head.prior_generator.single_level_grid_priors((height, width), level, device=feature.device)
            anchors = anchors.repeat(count, 1)
            if head.anchor_type == "anchor_free":
                sides = scale(sides.exp()).float().permute(0, 2, 3, 1).reshape(-1, 4)
                found = distance2bbox(head.anchor_center(anchors) / stride[0], sides)
            else:
                sides = scale(sides).float().permute(0, 2, 3, 1).reshape(-1, 4)
                found = head.bbox_coder.decode(anchors, sides) / stride[0]
            found = found.reshape(count, height, width, 4).permute(0, 3, 1, 2)
            sampled = head.deform_sampling(found.contiguous(), offset.contiguous())
            inverted = (sampled[:, 0:1] > sampled[:, 2:3]) | (sampled[:, 1:2] > sampled[:, 3:4])
            boxes.append(torch.where(inverted.expand_as(sampled), found, sampled))
    return tuple(scores), tuple(boxes)


class TOOD(DenseAdapter):
    """One anchor a place; what the head returns is boxes in units of the stride, and scores that need no sigmoid."""

    name: ClassVar[str] = "TOOD"
    heads: ClassVar[tuple[str, ...]] = ("TOODHead",)
    sigmoid_alone: ClassVar[bool] = True
    decoding: ClassVar[tuple[str, ...]] = (*DenseAdapter.decoding, "deform_sampling", "anchor_center")
    patches: ClassVar[tuple[Patch, ...]] = (
        *DENSE_HEAD,
        Patch("TaskDecomposition", "forward", "its convolution has weights that attention makes for each image",
              action=OPERATOR),
        Patch("TOODHead", "forward", COORDINATES, REPLACED, function=aligned_boxes))
    untraced_functions: ClassVar[tuple[UntracedFunction, ...]] = dense_functions("tood_head")

    def candidates(self, head: Any, outputs: Any, metas: list[dict[str, Any]]) -> tuple[Any, Any]:
        scores, boxes = outputs
        levels = [(rows_of(scored, head.cls_out_channels), rows_of(found, 4) * stride[0])
                  for scored, found, stride in zip(scores, boxes, head.prior_generator.strides)]
        return best_candidates(levels, head.test_cfg.nms_pre, lambda scored, found: (found, scored), pairs=True)


FAMILY = TOOD()
