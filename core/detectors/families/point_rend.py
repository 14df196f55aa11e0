"""PointRend: masks of Mask R-CNN, refined step by step at the points that are least certain."""

from typing import Any, ClassVar

from core.detectors.families.faster_rcnn import FasterRCNN
from core.detectors.graph import untraced
from core.detectors.patches import Patch
from core.detectors.test_cfg import COUNT, RCNN, TWO_STAGE, Table

_AT_POINTS = "samples features at points that depend on the mask"


class PointRend(FasterRCNN):
    """The points are looked at by a small network of their own, which stays in FP32."""

    name: ClassVar[str] = "PointRend"
    heads: ClassVar[tuple[str, ...]] = ("PointRendRoIHead",)
    decoding: ClassVar[tuple[str, ...]] = (*FasterRCNN.decoding, "_mask_point_forward_test", "_mask_point_onnx_export")
    patches: ClassVar[tuple[Patch, ...]] = (
        *FasterRCNN.patches, Patch("PointRendRoIHead", "_mask_point_forward_train", _AT_POINTS),
        Patch("PointRendRoIHead", "_mask_point_forward_test", _AT_POINTS),
        Patch("PointRendRoIHead", "_mask_point_onnx_export", _AT_POINTS))
    mask_heads: ClassVar[tuple[str, ...]] = ("CoarseMaskHead",)
    test_cfg: ClassVar[Table] = {**TWO_STAGE, "rcnn": {
        **RCNN, "subdivision_steps": COUNT, "subdivision_num_points": COUNT, "scale_factor": COUNT}}

    def mask_logits(self, roi_head: Any, features: Any, rois: Any, labels: Any) -> list[Any]:
        coarse = roi_head._mask_forward(features, rois)["mask_pred"]
        with untraced():
            return [roi_head._mask_point_onnx_export(features, rois, labels, coarse)]


FAMILY = PointRend()
