"""Mask Scoring R-CNN: Mask R-CNN that also learns how good its masks are."""

from typing import ClassVar

from core.detectors.families.faster_rcnn import FasterRCNN
from core.detectors.patches import Patch


class MaskScoringRCNN(FasterRCNN):
    """The exported graph has boxes, their scores and masks, and no scores of masks, which rank masks alone."""

    name: ClassVar[str] = "Mask Scoring R-CNN"
    heads: ClassVar[tuple[str, ...]] = ("MaskScoringRoIHead",)
    patches: ClassVar[tuple[Patch, ...]] = (
        *FasterRCNN.patches, *(Patch("MaskIoUHead", method, "ranks masks, as the exported graph does not")
                               for method in ("forward", "loss", "get_targets", "get_mask_scores")))


FAMILY = MaskScoringRCNN()
