"""YOLOF: anchors on a single level, scores joined with an objectness within the head."""

from typing import Any, ClassVar

from core.detectors.dense import DenseAdapter
from core.detectors.graph import untraced
from core.detectors.patches import DENSE_HEAD, REPLACED, Patch

# INF of mmdet/models/dense_heads/yolof_head.py.
_LARGEST = 1e8


def joined_scores(head: Any, feature: Any) -> tuple[Any, Any]:
    """Return what YOLOFHead.forward_single of mmdet 2.28.2 does, its exponentials left out of NNCF's graph."""
    import torch

    classes, regression = head.cls_score(head.cls_subnet(feature)), head.bbox_subnet(feature)
    boxes, objectness = head.bbox_pred(regression), head.object_pred(regression)
    count, _, height, width = classes.shape
    # Traced: NNCF's pruning asks for an operation behind each convolution.
    classes = classes.view(count, -1, head.num_classes, height, width)
    objectness = objectness.view(count, -1, 1, height, width)
    with untraced():
        scores = classes + objectness - torch.log(
            1.0 + torch.clamp(classes.exp(), max=_LARGEST) + torch.clamp(objectness.exp(), max=_LARGEST))
        return scores.view(count, -1, height, width), boxes


class YOLOF(DenseAdapter):
    """Anchors on one level of stride 32."""

    name: ClassVar[str] = "YOLOF"
    heads: ClassVar[tuple[str, ...]] = ("YOLOFHead",)
    patches: ClassVar[tuple[Patch, ...]] = (*DENSE_HEAD, Patch(
        "YOLOFHead", "forward_single", "exponentials, which 8 bits cannot hold; and in testing the head is not called "
        "as a module, so that NNCF would not find the quantizers of its arithmetic", REPLACED, function=joined_scores))


FAMILY = YOLOF()
