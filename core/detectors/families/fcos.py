"""FCOS and AutoAssign: distances from points, scores lowered by centerness."""

from typing import ClassVar

from core.detectors.dense import DenseAdapter


class FCOS(DenseAdapter):
    """Points on five levels with centerness."""

    name: ClassVar[str] = "FCOS"
    heads: ClassVar[tuple[str, ...]] = ("FCOSHead", "AutoAssignHead")
    coders: ClassVar[tuple[str, ...]] = ("DistancePointBBoxCoder",)
    raw_outputs: ClassVar[tuple[str, ...]] = ("cls_scores", "bbox_preds", "score_factors")
    score_factors: ClassVar[bool] = True


FAMILY = FCOS()
