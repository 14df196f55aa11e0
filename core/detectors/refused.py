"""Parts of MMDetection that are refused, each with the reason; a subclass is refused with it.

A head that a family names is not refused, whatever stands here.
"""

_DEFORMABLE = "deformable convolutions, which ONNX's opset 11 does not have"
_HAS_DEFORMABLE = f"it has {_DEFORMABLE}"
_OWN_DECODING = "it makes boxes by arithmetic of its own that the exported graph does not have"
_QUERIES = "its boxes are queries of a transformer, not maps with a suppression after them"
_KEYPOINTS = "it finds boxes by keypoints and local maxima, not by suppression"
_ASCEND = "it is for hardware that OpenVINO does not run on"
_MASKS = "it finds masks without boxes that are suppressed"
_VOTES = "its scores are roots of products and its boxes are voted for by their neighbours"
_READ_MASKS = "its stages read each other's masks"
_UPSAMPLING = "CARAFE's upsampling, which ONNX's opset 11 does not have"

HEADS: dict[str, tuple[str, str]] = {
    "VFNetHead": (_HAS_DEFORMABLE, "ATSS"),
    "RepPointsHead": (_HAS_DEFORMABLE, "FCOS"),
    "NASFCOSHead": (_HAS_DEFORMABLE, "FCOS"),
    "TOODHead": ("it samples boxes by a deformable convolution, which ONNX's opset 11 does not have", "ATSS"),
    "PAAHead": (_VOTES, "ATSS"),
    "LADHead": (_VOTES, "ATSS"),
    "GuidedAnchorHead": ("it predicts its anchors", "RetinaNet"),
    "SABLRetinaHead": (_OWN_DECODING, "RetinaNet"),
    "YOLACTHead": (_MASKS, "Mask R-CNN"),
    "CenterNetHead": (_KEYPOINTS, "FCOS"),
    "CornerHead": (_KEYPOINTS, "FCOS"),
    "DETRHead": (_QUERIES, "Faster R-CNN"),
    "MaskFormerHead": (_QUERIES, "Mask R-CNN"),
    "SOLOHead": (_MASKS, "Mask R-CNN"),
    "LDHead": ("it is trained by a second detector, whose part NNCF's network does not have", "GFL"),
    "AscendAnchorHead": (_ASCEND, "RetinaNet"),
    "AscendRetinaHead": (_ASCEND, "RetinaNet"),
    "AscendSSDHead": (_ASCEND, "SSD"),
    "GridRoIHead": (_OWN_DECODING, "Faster R-CNN"),
    "HybridTaskCascadeRoIHead": (_READ_MASKS, "Cascade R-CNN"),
    "SCNetRoIHead": (_READ_MASKS, "Cascade R-CNN"),
    "SparseRoIHead": (_QUERIES, "Cascade R-CNN"),
    "PointRendRoIHead": ("it refines masks point by point", "Mask R-CNN"),
    "MaskScoringRoIHead": ("it scores masks apart from boxes", "Mask R-CNN"),
    "TridentRoIHead": ("it merges the boxes of three branches", "Faster R-CNN"),
    "DoubleHeadRoIHead": ("it looks at two regions for each proposal", "Faster R-CNN"),
    "PISARoIHead": ("its sampler runs the box head once more, where NNCF does not expect it", "Faster R-CNN"),
}
"""Class of a head to why it is refused, and the nearest supported family."""

LAYERS: dict[str, str] = {
    "DeformConv2d": _DEFORMABLE,
    "ModulatedDeformConv2d": _DEFORMABLE,
    "SAConv2d": _DEFORMABLE,
    "MaskedConv2d": "masked convolutions, which ONNX's opset 11 does not have",
    "CARAFE": _UPSAMPLING,
    "CARAFEPack": _UPSAMPLING,
}
"""Class of a layer, anywhere in a detector, to what it computes."""
