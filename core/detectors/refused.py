"""Parts of MMDetection that are refused, each with the reason; a subclass is refused with it."""

_DEFORMABLE = "deformable convolutions, which ONNX's opset 11 does not have"
_OWN_DECODING = "boxes by arithmetic of its own that the exported graph does not have"
_QUERIES = "its boxes are queries of a transformer, not maps with a suppression after them"
_KEYPOINTS = "it finds boxes by keypoints and local maxima, not by suppression"
_MASKS = "it finds masks without boxes that are suppressed"

HEADS: dict[str, tuple[str, str]] = {
    "VFNetHead": (_DEFORMABLE, "ATSS"),
    "RepPointsHead": (_DEFORMABLE, "FCOS"),
    "NASFCOSHead": (_DEFORMABLE, "FCOS"),
    "TOODHead": ("it samples boxes by a deformable convolution, which ONNX's opset 11 does not have", "ATSS"),
    "PAAHead": ("its scores are roots of products and its boxes are voted for by their neighbours", "ATSS"),
    "LADHead": ("its scores are roots of products and its boxes are voted for by their neighbours", "ATSS"),
    "GuidedAnchorHead": ("it predicts its anchors", "RetinaNet"),
    "SABLRetinaHead": (_OWN_DECODING, "RetinaNet"),
    "YOLACTHead": (_MASKS, "Mask R-CNN"),
    "CenterNetHead": (_KEYPOINTS, "FCOS"),
    "CornerHead": (_KEYPOINTS, "FCOS"),
    "DETRHead": (_QUERIES, "Faster R-CNN"),
    "MaskFormerHead": (_QUERIES, "Mask R-CNN"),
    "SOLOHead": (_MASKS, "Mask R-CNN"),
    "LDHead": ("it is trained by a second detector, whose part NNCF's network does not have", "GFL"),
    "AscendAnchorHead": ("it is for another hardware", "RetinaNet"),
    "GridRoIHead": (_OWN_DECODING, "Faster R-CNN"),
    "HybridTaskCascadeRoIHead": ("its stages read each other's masks", "Cascade R-CNN"),
    "SCNetRoIHead": ("its stages read each other's masks", "Cascade R-CNN"),
    "SparseRoIHead": (_QUERIES, "Cascade R-CNN"),
    "PointRendRoIHead": ("it refines masks point by point", "Mask R-CNN"),
    "MaskScoringRoIHead": ("it scores masks apart from boxes", "Mask R-CNN"),
    "TridentRoIHead": ("it merges the boxes of three branches", "Faster R-CNN"),
    "DoubleHeadRoIHead": ("it looks at two regions for each proposal", "Faster R-CNN"),
    "StageCascadeRPNHead": ("its proposals come of adapted convolutions, which ONNX's opset 11 does not have",
                            "Faster R-CNN"),
}
"""Class of a head to why it is refused, and the nearest supported family."""

LAYERS: dict[str, str] = {
    "DeformConv2d": _DEFORMABLE,
    "ModulatedDeformConv2d": _DEFORMABLE,
    "SAConv2d": _DEFORMABLE,
    "MaskedConv2d": "masked convolutions, which ONNX's opset 11 does not have",
    "CARAFE": "CARAFE's upsampling, which ONNX's opset 11 does not have",
    "CARAFEPack": "CARAFE's upsampling, which ONNX's opset 11 does not have",
}
"""Class of a layer, anywhere in a detector, to what it computes."""
