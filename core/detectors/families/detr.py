"""DETR and Deformable DETR: each query of a transformer is a box, so nothing is suppressed."""

from typing import Any, ClassVar

from core.detectors.adapter import Exported
from core.detectors.dense import DenseAdapter
from core.detectors.graph import image_metas, image_size, metas_of_any_size, untraced
from core.detectors.outputs import BOX_OUTPUTS
from core.detectors.patches import COORDINATES, DENSE_HEAD, OPERATOR, REPLACED, WITH_POSTPROCESSING, Patch
from core.detectors.suppression import LEAST_SCORE, best_pairs
from core.detectors.test_cfg import COUNT, Rule, Table, up_to

ATTENTION = "attention: products of activations and a softmax, which 8 bits ruin"


def queried(head: Any, feature: Any, metas: list[dict[str, Any]]) -> tuple[Any, Any]:
    """Return what DETRHead.forward_single of mmdet 2.28.2 does, positions and boxes' sigmoid left out of the graph."""
    feature = head.input_proj(feature)
    with untraced():
        masks = _padding(feature, metas)
        positions = head.positional_encoding(masks)
    states, _ = head.transformer(feature, masks, head.query_embedding.weight, positions)
    classes, boxes = head.fc_cls(states), head.fc_reg(head.activate(head.reg_ffn(states)))
    with untraced():
        return classes, boxes.sigmoid()


def queried_levels(head: Any, features: Any, metas: list[dict[str, Any]]) -> tuple[Any, Any, None, None]:
    """Return what DeformableDETRHead.forward of mmdet 2.28.2 does with one stage, boxes left out of the graph."""
    import torch
    from mmdet.models.utils.transformer import inverse_sigmoid

    with untraced():
        masks = [_padding(feature, metas) for feature in features]
        positions = [head.positional_encoding(mask) for mask in masks]
    states, first, later, _, _ = head.transformer(
        features, masks, head.query_embedding.weight, positions,
        reg_branches=head.reg_branches if head.with_box_refine else None, cls_branches=None)
    states = states.permute(0, 2, 1, 3)
    classes, boxes = [], []
    for layer in range(states.shape[0]):
        # Without refinement all layers have the same branches, of which NNCF replaces the first name's alone.
        state, own = states[layer], layer if head.with_box_refine else 0
        classes.append(head.cls_branches[own](state))
        if head.with_box_refine and not head.training:
            # The decoder has moved them so; once more would be one more of each of the branch's quantizers.
            boxes.append(later[layer])
            continue
        moved = head.reg_branches[own](state)
        with untraced():
            reference = inverse_sigmoid(first if layer == 0 else later[layer - 1])
            moved = torch.cat([moved[..., :reference.shape[-1]] + reference, moved[..., reference.shape[-1]:]], dim=-1)
            boxes.append(moved.sigmoid())
    with untraced():
        return torch.stack(classes), torch.stack(boxes), None, None


def decoded(decoder: Any, query: Any, *args: Any, reference_points: Any, valid_ratios: Any, reg_branches: Any = None,
            **kwargs: Any) -> tuple[Any, Any]:
    """Return what DeformableDetrTransformerDecoder.forward of mmdet 2.28.2 does, boxes left out of the graph."""
    import torch
    from mmdet.models.utils.transformer import inverse_sigmoid

    states, references = [], []
    for number, layer in enumerate(decoder.layers):
        with untraced():
            ratios = torch.cat([valid_ratios] * (reference_points.shape[-1] // 2), dim=-1)
            places = reference_points[:, :, None] * ratios[:, None]
        query = layer(query, *args, reference_points=places, **kwargs)
        if reg_branches is not None:
            moved = reg_branches[number](query.permute(1, 0, 2))
            with untraced():
                known, kept = inverse_sigmoid(reference_points), reference_points.shape[-1]
                moved = torch.cat([moved[..., :kept] + known, moved[..., kept:]], dim=-1)
                # In testing the history is how the quantizers are counted that an exported graph has.
                reference_points = moved.sigmoid().detach() if decoder.training else moved.sigmoid()
        states.append(query)
        references.append(reference_points)
    if decoder.return_intermediate:
        return torch.stack(states), torch.stack(references)
    return query, reference_points


def called_as_module(head: Any, features: Any, metas: list[dict[str, Any]], rescale: bool = False) -> Any:
    """Return what DETRHead.simple_test_bboxes of mmdet 2.28.2 does, which calls the head's forward function itself."""
    return head.get_bboxes(*head(features, metas), metas, rescale=rescale)


def _padding(feature: Any, metas: list[dict[str, Any]]) -> Any:
    """Return [N, h, w]: true where a feature map [N, C, h, w] sees nothing of its image.

    Nothing is written in place: an exported graph would lose what is written into a part of a tensor.
    """
    import torch
    from torch.nn.functional import interpolate

    rows, columns = (torch.arange(side, device=feature.device) for side in metas[0]["batch_input_shape"])
    masks = torch.stack([(rows >= meta["img_shape"][0])[:, None] | (columns >= meta["img_shape"][1])[None]
                         for meta in metas])
    return interpolate(masks[None].to(feature.dtype), size=feature.shape[-2:]).to(torch.bool)[0]


class DETR(DenseAdapter):
    """The best classes of all queries, as many as ``max_per_img``."""

    name: ClassVar[str] = "DETR"
    heads: ClassVar[tuple[str, ...]] = ("DETRHead", "DeformableDETRHead")
    # The heads decode without a coder.
    coders: ClassVar[tuple[str, ...]] = ()
    patches: ClassVar[tuple[Patch, ...]] = (
        *DENSE_HEAD, Patch("DETRHead", "_get_bboxes_single", COORDINATES, postprocessing=WITH_POSTPROCESSING),
        Patch("DETRHead", "simple_test_bboxes", "in testing the head is not called as a module, so that NNCF would not "
              "find the quantizers of its operators", REPLACED, function=called_as_module),
        Patch("DETRHead", "forward_single", COORDINATES, REPLACED, function=queried),
        Patch("DeformableDETRHead", "forward", COORDINATES, REPLACED, function=queried_levels),
        Patch("MultiheadAttention", "forward", ATTENTION, action=OPERATOR),
        Patch("MultiScaleDeformableAttention", "forward", ATTENTION, action=OPERATOR),
        Patch("DeformableDetrTransformerDecoder", "forward", "each of its layers moves the boxes of the one before: "
              + COORDINATES, REPLACED, function=decoded))
    suppresses: ClassVar[bool] = False
    test_cfg: ClassVar[Table] = {"max_per_img": Rule(COUNT.accepts, COUNT.rule, COUNT.hint)}

    def problem(self, detector: Any) -> str:
        if getattr(detector.bbox_head, "as_two_stage", False):
            return "The proposals of a first stage (bbox_head.as_two_stage=True) are not known to the exported graph."
        return ""

    def rules(self, detector: Any) -> Table:
        head = detector.bbox_head
        pairs = head.num_query * (head.num_classes if head.loss_cls.use_sigmoid else 1)
        return {"max_per_img": up_to(pairs, self.test_cfg["max_per_img"], "as many as the queries find")}

    def score_threshold(self, detector: Any) -> float:
        """Return next to 0: MMDetection returns a query whatever its score."""
        return LEAST_SCORE

    def iou_threshold(self, detector: Any) -> float:
        """Return 1: no box is dropped for another."""
        return 1.0

    def max_detections(self, detector: Any) -> int:
        return int(detector.test_cfg.get("max_per_img", detector.bbox_head.num_query))

    def head_outputs(self, detector: Any, img: Any) -> Any:
        return detector.bbox_head(detector.extract_feat(img), image_metas(img))

    def exported_outputs(self, detector: Any, img: Any) -> Any:
        return detector.bbox_head(detector.extract_feat(img), metas_of_any_size(img))

    def raw_levels(self, outputs: Any) -> tuple[Any, ...]:
        """Return scores and boxes of the last layer of the decoder, which alone counts."""
        classes, boxes = outputs[:2]
        return [classes[-1][-1]] if isinstance(classes, list) else [classes[-1]], (
            [boxes[-1][-1]] if isinstance(boxes, list) else [boxes[-1]])

    def exported_forward(self, detector: Any) -> Exported:
        def forward(img: Any, **ignored: Any) -> Any:
            (classes,), (boxes,) = self.raw_levels(self.exported_outputs(detector, img))
            with untraced():
                return best_queries(classes[0], boxes[0], image_size(img), self.max_detections(detector),
                                    detector.bbox_head.loss_cls.use_sigmoid)

        return forward, BOX_OUTPUTS


def best_queries(classes: Any, boxes: Any, size: Any, most: int, sigmoid: bool) -> tuple[Any, Any]:
    """Return boxes [1, most, 5] and labels [1, most] of the best classes of all queries.

    Args:
        classes: Logits [Q, classes], with a last one of the background where they are of a softmax.
        boxes: Middle, width and height [Q, 4] as parts of the image.
        size: Height and width [2] of the image.
        most: Detections that are kept.
        sigmoid: Whether each class of a query counts, or its best alone.
    """
    import torch

    size = size.flip(0).repeat(2).to(boxes.dtype)
    middle, half = boxes[:, :2], boxes[:, 2:] / 2
    found = torch.min((torch.cat([middle - half, middle + half], dim=1) * size).clamp(min=0), size)
    if sigmoid:
        return best_pairs(found, classes.sigmoid(), most)[:2]
    best, labels = classes.softmax(dim=-1)[:, :-1].max(dim=-1)
    scores, queries = best.topk(most)
    return torch.cat([found[queries], scores[:, None]], dim=1)[None], labels[queries][None]


FAMILY = DETR()
