"""SSD and SSDLite."""

from typing import Any, ClassVar

from core.detectors.dense import DenseAdapter
from core.detectors.patches import DENSE_HEAD, OPERATOR, Patch


class SSD(DenseAdapter):
    """Anchors on maps that shrink to one pixel, a softmax over the classes."""

    name: ClassVar[str] = "SSD"
    heads: ClassVar[tuple[str, ...]] = ("SSDHead", "PISASSDHead")
    patches: ClassVar[tuple[Patch, ...]] = (*DENSE_HEAD, Patch(
        "L2Norm", "forward", "its arithmetic on a plain parameter loses the trace, so that the layer after it got no "
        "quantizer and the one before it was pruned by itself", action=OPERATOR))

    def trial_size(self, model: Any) -> tuple[int, int]:
        # The extra layers of SSD300 need its own size; the last map of SSDLite is 1x1 at half of its.
        return (300, 300) if model.backbone.type == "SSDVGG" else (160, 160)


FAMILY = SSD()
