"""Guided anchoring: the head predicts where anchors are worth a look, and their sizes."""

from collections.abc import Iterator
from typing import Any, ClassVar

from core.detectors.adapter import is_one_of
from core.detectors.decoding import best_candidates, rows_of
from core.detectors.dense import DenseAdapter
from core.detectors.graph import untraced
from core.detectors.patches import AS_PARENT, COORDINATES, DENSE_HEAD, REPLACED, Patch
from core.detectors.test_cfg import DENSE, LIMIT, Table

# As _get_guided_anchors_single of mmdet 2.28.2 has it.
_LEAST_RATIO = 1e-6


def adapted(layer: Any, feature: Any, shape: Any) -> Any:
    """Return what FeatureAdaption.forward of mmdet 2.28.2 does, offsets left out of NNCF's graph."""
    with untraced():
        offset = layer.conv_offset(shape.detach())
    return layer.relu(layer.conv_adaption(feature, offset))


def guided(head: Any, feature: Any) -> tuple[Any, ...]:
    """Return what GARetinaHead.forward_single of mmdet 2.28.2 does, also where no anchor is worth a look."""
    to_class = to_box = feature
    for layer in head.cls_convs:
        to_class = layer(to_class)
    for layer in head.reg_convs:
        to_box = layer(to_box)
    place, shape = head.conv_loc(to_class), head.conv_shape(to_box)
    to_class, to_box = head.feature_adaption_cls(to_class, shape), head.feature_adaption_reg(to_box, shape)
    return head.retina_cls(to_class), head.retina_reg(to_box), shape, place


class GuidedAnchoring(DenseAdapter):
    """One anchor a place, of predicted size; MMDetection has no ONNX export of it (guided_anchor_head.py)."""

    name: ClassVar[str] = "Guided Anchoring"
    heads: ClassVar[tuple[str, ...]] = ("GARetinaHead",)
    decoding: ClassVar[tuple[str, ...]] = (*DenseAdapter.decoding, "get_anchors", "_get_guided_anchors_single")
    obstacle: ClassVar[str] = ("GARetinaHead: in testing it goes on from the places alone that it finds worth a look, "
                               "of which an image without content has none")
    patches: ClassVar[tuple[Patch, ...]] = (
        *DENSE_HEAD, Patch("FeatureAdaption", "forward", COORDINATES, REPLACED, function=adapted),
        Patch("GARetinaHead", "forward_single", "in testing its last layers skip places, as training does not",
              REPLACED, function=guided),
        Patch("MaskedConv2d", "forward", "NNCF knows no convolution that skips places", AS_PARENT))
    test_cfg: ClassVar[Table] = {**DENSE, "nms_pre": LIMIT}
    raw_outputs: ClassVar[tuple[str, ...]] = ("cls_scores", "bbox_preds", "shape_preds", "loc_preds")

    def problem(self, detector: Any) -> str:
        coder = detector.bbox_head.anchor_coder
        if not is_one_of(coder, self.coders):
            return (f"The exported graph of {self.name} decodes anchors by {' or '.join(self.coders)}, and the head "
                    f"has {type(coder).__name__} as anchor_coder.")
        return super().problem(detector)

    def candidates(self, head: Any, outputs: Any, metas: list[dict[str, Any]]) -> tuple[Any, Any]:
        shape = metas[0]["img_shape_for_onnx"]

        def decode(scores: Any, anchors: Any, deltas: Any) -> tuple[Any, Any]:
            return head.bbox_coder.decode(anchors, deltas, max_shape=shape), scores

        return best_candidates(_levels(head, outputs), head.test_cfg.get("nms_pre", -1), decode)


def _levels(head: Any, outputs: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Yield scores, anchors and deltas of each level; scores are 0 where no anchor is worth a look."""
    import torch

    squares = head.square_anchor_generator.grid_priors([level.shape[-2:] for level in outputs[0]],
                                                       device=outputs[0][0].device)
    for classes, deltas, shapes, places, square in zip(*outputs, squares):
        scores = rows_of(classes, head.cls_out_channels)
        scores = scores.sigmoid() if head.use_sigmoid_cls else scores.softmax(dim=-1)[..., :head.num_classes]
        shapes = rows_of(shapes, 2)
        anchors = head.anchor_coder.decode(square[None], torch.cat([torch.zeros_like(shapes), shapes], dim=-1),
                                           wh_ratio_clip=_LEAST_RATIO)
        wanted = (rows_of(places, 1).sigmoid() >= head.loc_filter_thr).to(scores.dtype)
        yield scores * wanted, anchors, rows_of(deltas, 4)


FAMILY = GuidedAnchoring()
