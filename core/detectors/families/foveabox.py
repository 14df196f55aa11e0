"""FoveaBox: box sides as logarithms of distances from a point, in units of the level's base length."""

from typing import Any, ClassVar

from core.detectors.decoding import DistancesToBox, candidates_by
from core.detectors.dense import DenseAdapter
from core.detectors.graph import untraced
from core.detectors.patches import (
    COORDINATES,
    DENSE_HEAD,
    REPLACED,
    WITH_POSTPROCESSING,
    Patch,
    UntracedFunction,
    dense_functions,
)


def with_offsets(head: Any, feature: Any) -> tuple[Any, Any]:
    """Return what FoveaHead.forward_single of mmdet 2.28.2 does, the exponential of boxes left out of NNCF's graph."""
    to_box = feature
    for layer in head.reg_convs:
        to_box = layer(to_box)
    boxes = head.conv_reg(to_box)
    if head.with_deform:
        with untraced():
            shape = boxes.exp()
        feature = head.feature_adaption(feature, shape)
    for layer in head.cls_convs:
        feature = layer(feature)
    return head.conv_cls(feature), boxes


def aligned(layer: Any, feature: Any, shape: Any) -> Any:
    """Return what FeatureAlign.forward of mmdet 2.28.2 does, offsets left out of NNCF's graph."""
    with untraced():
        offset = layer.conv_offset(shape)
    return layer.relu(layer.conv_adaption(feature, offset))


class FoveaBox(DenseAdapter):
    """MMDetection's inherited ONNX export knows no exponential, base length and margin (fovea_head.py)."""

    name: ClassVar[str] = "FoveaBox"
    heads: ClassVar[tuple[str, ...]] = ("FoveaHead",)
    sigmoid_alone: ClassVar[bool] = True
    decoding: ClassVar[tuple[str, ...]] = (*DenseAdapter.decoding, "_bbox_decode")
    # The head decodes without its coder.
    coders: ClassVar[tuple[str, ...]] = ()
    patches: ClassVar[tuple[Patch, ...]] = (
        *DENSE_HEAD, Patch("FoveaHead", "forward_single", COORDINATES, REPLACED, function=with_offsets),
        Patch("FeatureAlign", "forward", COORDINATES, REPLACED, function=aligned),
        Patch("FoveaHead", "_bbox_decode", COORDINATES, postprocessing=WITH_POSTPROCESSING))
    untraced_functions: ClassVar[tuple[UntracedFunction, ...]] = dense_functions("fovea_head")

    def candidates(self, head: Any, outputs: Any, metas: list[dict[str, Any]]) -> tuple[Any, Any]:
        classes, logarithms = outputs
        distances = [level.exp() * base for level, base in zip(logarithms, head.base_edge_list)]
        return candidates_by(DistancesToBox(margin=1), head, (classes, distances), metas)


FAMILY = FoveaBox()
