"""Heads and necks of MMDetection that are refused, each with the reason; a subclass is refused with it.

A head that a family names is not refused, whatever stands here.
"""

_CORNERS = "it joins corners to boxes by what it predicts of each pair, and suppresses by soft_nms"
_ASCEND = "it is for hardware that OpenVINO does not run on"
_MASKS = "it finds masks without boxes, and all that is measured here is boxes"

HEADS: dict[str, tuple[str, str]] = {
    "GuidedAnchorHead": ("it predicts its anchors, and is known as GARetinaHead alone", "Guided Anchoring"),
    "YOLACTHead": ("its masks are of the whole image and reach beyond the boxes that it returns", "Mask R-CNN"),
    "CornerHead": (_CORNERS, "CenterNet"),
    "MaskFormerHead": (_MASKS, "Mask R-CNN"),
    "SOLOHead": (_MASKS, "Mask R-CNN"),
    "AscendAnchorHead": (_ASCEND, "RetinaNet"),
    "AscendRetinaHead": (_ASCEND, "RetinaNet"),
    "AscendSSDHead": (_ASCEND, "SSD"),
    "SCNetRoIHead": ("its stages read masks, a segmentation and the whole image's features", "HTC"),
    "TridentRoIHead": ("its backbone runs the same weights three times in training and once in testing",
                       "Faster R-CNN"),
}
"""Class of a head to why it is refused, and the nearest supported family."""

NECKS: dict[str, tuple[str, str]] = {
    "RFP": ("of its boxes on random weights the exported graph had none, as they grow beyond what single precision "
            "tells apart, and no trained one was compared", "Cascade R-CNN"),
}
"""Class of a neck, or of a part of one, likewise."""
