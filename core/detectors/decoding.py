"""MMDetection's common decoding with another bbox coder, for heads whose boxes come of their own arithmetic."""

from types import SimpleNamespace
from typing import Any

CENTRES, POINTS = "centres", "points"


class DistancesToBox:
    """Decodes distances to the left, upper, right and lower side, in pixels, in the exported graph.

    Args:
        priors: Whether the distances are from the ``centres`` of anchors or from ``points``.
        margin: Pixels that a box ends before the image does.
    """

    def __init__(self, priors: str = POINTS, margin: int = 0) -> None:
        self.priors, self.margin = priors, margin

    def decode(self, priors: Any, distances: Any, max_shape: Any) -> Any:
        """Return boxes [1, N, 4] of priors [1, N, 2 or 4] within an image of ``max_shape`` (height, width)."""
        from mmdet.core import distance2bbox

        if self.priors == CENTRES:
            priors = (priors[..., :2] + priors[..., 2:]) / 2
        return distance2bbox(priors, distances, max_shape - self.margin)


def candidates_by(coder: Any, head: Any, classes: Any, boxes: Any, metas: list[dict[str, Any]]) -> tuple[Any, Any]:
    """Return what BaseDenseHead.onnx_export of mmdet 2.28.2 makes of raw outputs, decoded by ``coder``.

    Args:
        coder: In the place of the head's own.
        head: Gives priors, classes and ``test_cfg``.
        classes: Scores before the sigmoid [1, classes, h, w] of each level.
        boxes: What ``coder`` takes [1, 4, h, w] of each level.
        metas: Of the image, with its size as part of the graph.

    Returns:
        Boxes [1, N, 4] and scores [1, N, classes].
    """
    from mmdet.models.dense_heads.base_dense_head import BaseDenseHead

    view = SimpleNamespace(bbox_coder=coder, **{name: getattr(head, name) for name in (
        "prior_generator", "test_cfg", "cls_out_channels", "num_classes", "use_sigmoid_cls")})
    return BaseDenseHead.onnx_export.__wrapped__(view, classes, boxes, img_metas=metas, with_nms=False)
