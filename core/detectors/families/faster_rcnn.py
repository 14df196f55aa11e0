"""Faster R-CNN and Mask R-CNN, Double-Head R-CNN, and second stages that differ in training only."""

from typing import Any, ClassVar

from core.detectors.adapter import is_one_of
from core.detectors.patches import TRAINING_ONLY, Patch
from core.detectors.two_stage import TwoStageAdapter


class FasterRCNN(TwoStageAdapter):
    """One second stage, with masks or without."""

    name: ClassVar[str] = "Faster R-CNN"
    heads: ClassVar[tuple[str, ...]] = (
        "StandardRoIHead", "DynamicRoIHead", "DoubleHeadRoIHead", "PISARoIHead")
    decoding: ClassVar[tuple[str, ...]] = (*TwoStageAdapter.decoding, "bbox_onnx_export")
    patches: ClassVar[tuple[Patch, ...]] = (
        *TwoStageAdapter.patches, Patch("BaseRoIHead", "bbox_assigner.assign", TRAINING_ONLY),
        Patch("BaseRoIHead", "bbox_sampler.sample", TRAINING_ONLY))

    def problem(self, detector: Any) -> str:
        problem, head = super().problem(detector), detector.roi_head
        double = "DoubleHeadRoIHead", "DoubleConvFCBBoxHead"
        if not problem and is_one_of(head, double) != is_one_of(head.bbox_head, double):
            return (f"{type(head).__name__} gives {type(head.bbox_head).__name__} another number of features than it "
                    f"takes: {' and '.join(double)} belong together.")
        return problem


FAMILY = FasterRCNN()
