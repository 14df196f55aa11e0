"""Hybrid Task Cascade: stages of masks read each other's features, and all stages those of a segmentation."""

from typing import Any, ClassVar, NamedTuple

from core.detectors.families.cascade_rcnn import CascadeRCNN
from core.detectors.patches import TRAINING_ONLY, Patch
from core.detectors.two_stage import BOX_HEADS


class _Features(NamedTuple):
    levels: Any
    semantic: Any


class HybridTaskCascade(CascadeRCNN):
    """Boxes as in Cascade R-CNN; in testing all masks are made of the final boxes by the last extractor."""

    name: ClassVar[str] = "HTC"
    heads: ClassVar[tuple[str, ...]] = ("HybridTaskCascadeRoIHead",)
    obstacle: ClassVar[str] = CascadeRCNN.obstacle.replace("CascadeRoIHead", "HybridTaskCascadeRoIHead")
    patches: ClassVar[tuple[Patch, ...]] = (
        *CascadeRCNN.patches, Patch("FusedSemanticHead", "loss", TRAINING_ONLY))
    # MMDetection hands no sides in buckets on to the next stage.
    box_heads: ClassVar[tuple[str, ...]] = BOX_HEADS
    mask_heads: ClassVar[tuple[str, ...]] = ("FCNMaskHead", "HTCMaskHead")

    def problem(self, detector: Any) -> str:
        problem = super().problem(detector)
        if not problem and any(head.custom_activation and not head.reg_class_agnostic
                               for head in detector.roi_head.bbox_head):
            return ("MMDetection chooses the class whose box the next stage gets from logits as they are, which a loss "
                    "with an activation of its own does not mean (bbox_head.reg_class_agnostic=True).")
        return problem

    def second_features(self, roi_head: Any, features: Any) -> _Features:
        return _Features(features, roi_head.semantic_head(features)[1] if roi_head.with_semantic else None)

    def stage_boxes(self, roi_head: Any, stage: int, features: _Features, rois: Any) -> dict[str, Any]:
        return roi_head._bbox_forward(stage, features.levels, rois, semantic_feat=features.semantic)

    def raw_masks(self, roi_head: Any, features: _Features, rois: Any) -> list[Any]:
        extractor = roi_head.mask_roi_extractor[-1]
        found = extractor(features.levels[:len(extractor.featmap_strides)], rois)
        if roi_head.with_semantic and "mask" in roi_head.semantic_fusion:
            found = found + roi_head.semantic_roi_extractor([features.semantic], rois)
        logits, last = [], None
        for head in roi_head.mask_head:
            if roi_head.mask_info_flow:
                masks, last = head(found, last)
            else:
                masks = head(found)
            logits.append(masks)
        return logits


FAMILY = HybridTaskCascade()
