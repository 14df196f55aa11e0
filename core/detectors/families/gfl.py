"""GFL and LD: box sides as distributions over distances from the centre of an anchor."""

from typing import Any, ClassVar

from core.detectors.decoding import CENTRES, DistancesToBox, candidates_by
from core.detectors.dense import DenseAdapter
from core.detectors.patches import (
    COORDINATES,
    DENSE_HEAD,
    WITH_POSTPROCESSING,
    Patch,
    UntracedFunction,
    dense_functions,
)
from core.detectors.teacher import TEACHER


class GFL(DenseAdapter):
    """Generalized Focal Loss, alone or taught: MMDetection has no ONNX export of its decoding (gfl_head.py)."""

    name: ClassVar[str] = "GFL"
    heads: ClassVar[tuple[str, ...]] = ("GFLHead", "LDHead")
    sigmoid_alone: ClassVar[bool] = True
    decoding: ClassVar[tuple[str, ...]] = (*DenseAdapter.decoding, "anchor_center")
    coders: ClassVar[tuple[str, ...]] = ("DistancePointBBoxCoder",)
    patches: ClassVar[tuple[Patch, ...]] = (
        *DENSE_HEAD, *TEACHER,
        Patch("Integral", "forward", "the mean of a distribution over distances: " + COORDINATES),
        Patch("GFLHead", "anchor_center", COORDINATES, postprocessing=WITH_POSTPROCESSING))
    untraced_functions: ClassVar[tuple[UntracedFunction, ...]] = dense_functions("gfl_head")

    def candidates(self, head: Any, outputs: Any, metas: list[dict[str, Any]]) -> tuple[Any, Any]:
        classes, distributions = outputs
        distances = []
        for level, stride in zip(distributions, head.prior_generator.strides):
            rows = level.permute(0, 2, 3, 1)
            means = head.integral(rows) * stride[0]
            distances.append(means.reshape(*rows.shape[:3], 4).permute(0, 3, 1, 2))
        coder = DistancesToBox(CENTRES, clip=head.bbox_coder.clip_border)
        return candidates_by(coder, head, (classes, distances), metas)


FAMILY = GFL()
