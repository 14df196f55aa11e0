"""Faster R-CNN and Mask R-CNN, Double-Head R-CNN, and second stages that differ in training only."""

from typing import ClassVar

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


FAMILY = FasterRCNN()
