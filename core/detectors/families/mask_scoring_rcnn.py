"""Mask Scoring R-CNN: Mask R-CNN that also learns how good its masks are."""

from typing import Any, ClassVar

from core.detectors.families.faster_rcnn import FasterRCNN
from core.detectors.patches import TRAINING_ONLY, Patch


class MaskScoringRCNN(FasterRCNN):
    """The exported graph has boxes, their scores and masks, and no scores of masks, which rank masks alone."""

    name: ClassVar[str] = "Mask Scoring R-CNN"
    heads: ClassVar[tuple[str, ...]] = ("MaskScoringRoIHead",)
    patches: ClassVar[tuple[Patch, ...]] = (
        *FasterRCNN.patches, Patch("MaskIoUHead", "loss", TRAINING_ONLY),
        Patch("MaskIoUHead", "get_targets", TRAINING_ONLY), Patch("MaskIoUHead", "get_mask_scores", "ranks masks"))

    def raw_masks(self, roi_head: Any, features: Any, rois: Any) -> list[Any]:
        """Return logits of masks, and how good they are supposed to be as of the first class."""
        found = roi_head._mask_forward(features, rois)
        count = found["mask_pred"].size(0)
        return [found["mask_pred"],
                roi_head.mask_iou_head(found["mask_feats"], found["mask_pred"][range(count), [0] * count])]

    def mask_logits(self, roi_head: Any, features: Any, rois: Any, labels: Any) -> list[Any]:
        return [roi_head._mask_forward(features, rois)["mask_pred"]]


FAMILY = MaskScoringRCNN()
