"""FCOS, NAS-FCOS and AutoAssign: distances from points, scores lowered by centerness."""

from typing import Any, ClassVar

from core.detectors.dense import DenseAdapter
from core.detectors.graph import untraced
from core.detectors.patches import COORDINATES, DENSE_HEAD, REPLACED, Patch


def positive_distances(head: Any, feature: Any, scale: Any, stride: int) -> tuple[Any, Any, Any]:
    """Return what AutoAssignHead.forward_single of mmdet 2.28.2 does, distances in pixels left out of NNCF's graph."""
    from mmdet.models.dense_heads.anchor_free_head import AnchorFreeHead

    classes, distances, _, regression = AnchorFreeHead.forward_single(head, feature)
    centerness, distances = head.conv_centerness(regression), scale(distances)
    with untraced():
        return classes, distances.float().clamp(min=0) * stride, centerness


class FCOS(DenseAdapter):
    """Points on five levels with centerness."""

    name: ClassVar[str] = "FCOS"
    heads: ClassVar[tuple[str, ...]] = ("FCOSHead", "NASFCOSHead", "AutoAssignHead")
    coders: ClassVar[tuple[str, ...]] = ("DistancePointBBoxCoder",)
    patches: ClassVar[tuple[Patch, ...]] = (
        *DENSE_HEAD, Patch("AutoAssignHead", "forward_single", COORDINATES, REPLACED, function=positive_distances))
    raw_outputs: ClassVar[tuple[str, ...]] = ("cls_scores", "bbox_preds", "score_factors")
    score_factors: ClassVar[bool] = True


FAMILY = FCOS()
