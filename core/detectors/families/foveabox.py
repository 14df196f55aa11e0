"""FoveaBox: box sides as logarithms of distances from a point, in units of the level's base length."""

from typing import Any, ClassVar

from core.detectors.decoding import DistancesToBox, candidates_by
from core.detectors.dense import DenseAdapter
from core.detectors.patches import (
    COORDINATES,
    DENSE_FUNCTIONS,
    DENSE_HEAD,
    WITH_POSTPROCESSING,
    Patch,
    UntracedFunction,
)


class FoveaBox(DenseAdapter):
    """MMDetection's inherited ONNX export knows no exponential, base length and margin (fovea_head.py)."""

    name: ClassVar[str] = "FoveaBox"
    heads: ClassVar[tuple[str, ...]] = ("FoveaHead",)
    decoding: ClassVar[tuple[str, ...]] = (*DenseAdapter.decoding, "_bbox_decode")
    # The head decodes without its coder.
    coders: ClassVar[tuple[str, ...]] = ()
    patches: ClassVar[tuple[Patch, ...]] = (
        *DENSE_HEAD, Patch("FoveaHead", "_bbox_decode", COORDINATES, postprocessing=WITH_POSTPROCESSING))
    untraced_functions: ClassVar[tuple[UntracedFunction, ...]] = (
        *DENSE_FUNCTIONS, UntracedFunction("mmdet.models.dense_heads.fovea_head", "filter_scores_and_topk"))

    def candidates(self, head: Any, outputs: Any, metas: list[dict[str, Any]]) -> tuple[Any, Any]:
        classes, logarithms = outputs
        distances = [level.exp() * base for level, base in zip(logarithms, head.base_edge_list)]
        return candidates_by(DistancesToBox(margin=1), head, classes, distances, metas)


FAMILY = FoveaBox()
