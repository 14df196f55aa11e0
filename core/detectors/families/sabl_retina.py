"""SABL's single-stage head: each side of a box lies in one of several buckets around it."""

from collections.abc import Iterator
from typing import Any, ClassVar

from core.detectors.decoding import best_candidates, in_buckets, rows_of
from core.detectors.dense import DenseAdapter
from core.detectors.patches import (
    COORDINATES,
    DENSE_HEAD,
    WITH_POSTPROCESSING,
    Patch,
    UntracedFunction,
    dense_functions,
)


class SABLRetina(DenseAdapter):
    """Square anchors; scores are lowered by how sure the sides are of their buckets."""

    name: ClassVar[str] = "SABL RetinaNet"
    heads: ClassVar[tuple[str, ...]] = ("SABLRetinaHead",)
    coders: ClassVar[tuple[str, ...]] = ("BucketingBBoxCoder",)
    patches: ClassVar[tuple[Patch, ...]] = (
        *DENSE_HEAD, Patch("SABLRetinaHead", "get_anchors", COORDINATES, postprocessing=WITH_POSTPROCESSING))
    untraced_functions: ClassVar[tuple[UntracedFunction, ...]] = dense_functions("sabl_retina_head")
    raw_outputs: ClassVar[tuple[str, ...]] = ("cls_scores", "bbox_cls_preds", "bbox_reg_preds")
    score_factors: ClassVar[bool] = True

    def raw_levels(self, outputs: Any) -> tuple[Any, ...]:
        scores, boxes = outputs
        return (scores, *zip(*boxes))

    def candidates(self, head: Any, outputs: Any, metas: list[dict[str, Any]]) -> tuple[Any, Any]:
        shape, threshold = metas[0]["img_shape_for_onnx"], head.test_cfg.score_thr

        def decode(scores: Any, anchors: Any, classes: Any, offsets: Any) -> tuple[Any, Any]:
            boxes, sure = in_buckets(head.bbox_coder, anchors[0], classes[0], offsets[0], shape)
            return boxes[None], scores * (scores > threshold).to(scores.dtype) * sure[None, :, None]

        return best_candidates(_levels(head, outputs), head.test_cfg.nms_pre, decode, pairs=True)


def _levels(head: Any, outputs: Any) -> Iterator[tuple[Any, ...]]:
    scores, boxes = outputs
    anchors = head.square_anchor_generator.grid_priors([level.shape[-2:] for level in scores], device=scores[0].device)
    width = head.side_num * 4
    for level, (classes, offsets), squares in zip(scores, boxes, anchors):
        yield rows_of(level, head.cls_out_channels).sigmoid(), squares[None], rows_of(classes, width), rows_of(
            offsets, width)


FAMILY = SABLRetina()
