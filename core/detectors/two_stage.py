"""Detectors that propose regions and look at each again: what Faster, Mask and Cascade R-CNN have in common."""

from dataclasses import replace
from typing import Any, ClassVar

from core.base.errors import UserError
from core.detectors.adapter import Adapter, Exported, Forward, is_one_of
from core.detectors.decoding import in_buckets
from core.detectors.graph import image_metas, metas_of_any_size, untraced
from core.detectors.outputs import BOX_OUTPUTS, MASK_OUTPUT
from core.detectors.patches import DENSE_FUNCTIONS, DENSE_HEAD, ROI_FUNCTIONS, ROI_HEAD, Patch, UntracedFunction
from core.detectors.suppression import LEAST_SCORE, non_maximum, suppress
from core.detectors.test_cfg import TWO_STAGE, Table

BOX_HEADS = ("BBoxHead", "ConvFCBBoxHead", "Shared2FCBBoxHead", "Shared4Conv1FCBBoxHead", "DoubleConvFCBBoxHead")
# Of which each side of a box lies in one of several buckets around a region.
_BUCKET_HEADS = ("SABLHead",)
_BUCKETS = ("BucketingBBoxCoder",)
_EXTRACTORS = ("SingleRoIExtractor", "GenericRoIExtractor")
# ONNX's maximum is of other values than mmcv's, and torchvision's average of no area is none.
_POOLING = ("RoIAlign", "SimpleRoIAlign")
_TRACED_MASKS = 100
# A logit beside which a softmax makes 0 of all others.
_SURE_BACKGROUND = 1e4


class TwoStageAdapter(Adapter):
    """A region proposal network and a second stage on its proposals."""

    decoding: ClassVar[tuple[str, ...]] = ("simple_test", "simple_test_bboxes", "simple_test_mask")
    coders: ClassVar[tuple[str, ...]] = ("DeltaXYWHBBoxCoder",)
    patches: ClassVar[tuple[Patch, ...]] = (*DENSE_HEAD, *ROI_HEAD)
    untraced_functions: ClassVar[tuple[UntracedFunction, ...]] = (*DENSE_FUNCTIONS, *ROI_FUNCTIONS)
    test_cfg: ClassVar[Table] = TWO_STAGE
    box_heads: ClassVar[tuple[str, ...]] = BOX_HEADS + _BUCKET_HEADS
    mask_heads: ClassVar[tuple[str, ...]] = ("FCNMaskHead",)

    def stages(self, roi_head: Any, part: str) -> list[Any]:
        """Return the second stage's parts called ``part``, one for each of its stages."""
        return [getattr(roi_head, part)]

    def problem(self, detector: Any) -> str:
        rpn, head = detector.rpn_head, detector.roi_head
        if not getattr(head, "with_bbox", True):
            return f"{type(head).__name__} has no bbox_head, without which MMDetection finds nothing."
        parts = [("rpn_head", rpn, ("RPNHead",)),
                 ("rpn_head.bbox_coder", getattr(rpn, "bbox_coder", None), self.coders)]
        for part in self.stages(head, "bbox_head"):
            parts.append(("bbox_head", part, self.box_heads))
            if hasattr(part, "bbox_coder"):
                parts.append(("bbox_head.bbox_coder", part.bbox_coder, _BUCKETS if is_one_of(part, _BUCKET_HEADS) else (
                    self.coders)))
        parts += [("bbox_roi_extractor", part, _EXTRACTORS) for part in self.stages(head, "bbox_roi_extractor")]
        if head.with_mask:
            parts += [("mask_head", part, self.mask_heads) for part in self.stages(head, "mask_head")]
        for name, part, known in parts:
            if not is_one_of(part, known):
                return f"The exported graph knows {' and '.join(known)} as {name}, and it is {type(part).__name__}."
        if not rpn.use_sigmoid_cls:
            return "The exported graph takes the proposals' scores from a sigmoid (rpn_head.loss_cls.use_sigmoid=True)."
        return pooling_problem(head)

    def rules(self, detector: Any) -> Table:
        sections = self.test_cfg
        if not detector.roi_head.with_mask:
            return sections
        binary = replace(sections["rcnn"]["mask_thr_binary"], required=True)
        return {**sections, "rcnn": {**sections["rcnn"], "mask_thr_binary": binary}}

    def last_stage(self, test_cfg: Any) -> Any:
        return test_cfg.rcnn

    def score_threshold(self, detector: Any) -> float:
        """Return ``score_thr``, or next to 0 where the graph applies it before the sides' sureness lowers the score."""
        sides = is_one_of(self.stages(detector.roi_head, "bbox_head")[-1], _BUCKET_HEADS)
        return LEAST_SCORE if sides else super().score_threshold(detector)

    def raw_forward(self, detector: Any) -> Exported:
        raise UserError("--raw-heads", type(detector).__name__, "Its second stage reads proposals that the first "
                        "stage's post-processing makes.", "Export it with post-processing, or choose a single-stage "
                        "detector.")

    def traced_forward(self, detector: Any, postprocessing: bool) -> Forward:
        from mmdet.models.roi_heads import standard_roi_head

        def forward(img: Any, **ignored: Any) -> Any:
            features, metas, head = detector.extract_feat(img), image_metas(img), detector.roi_head
            proposal_outputs = detector.rpn_head(features)
            # Real proposals: the random ones of mmdet's forward_dummy are no boxes and would be traced themselves.
            proposals = detector.rpn_head.get_bboxes(*proposal_outputs, img_metas=metas)
            rois = standard_roi_head.bbox2roi(proposals)
            features = self.second_features(head, features)
            if postprocessing:
                outputs = [head.simple_test_bboxes(features, metas, proposals, head.test_cfg)]
            else:
                outputs = [proposal_outputs, *self.raw_boxes(head, features, rois)]
            if head.with_mask:
                outputs += self.raw_masks(head, features, rois[:_TRACED_MASKS])
            return outputs

        return forward

    def second_features(self, roi_head: Any, features: Any) -> Any:
        """Return what the second stage reads, of the neck's levels."""
        return features

    def raw_boxes(self, roi_head: Any, features: Any, rois: Any) -> list[Any]:
        """Return scores and deltas of regions [K, 5], unprocessed."""
        found = roi_head._bbox_forward(features, rois)
        return [found["cls_score"], found["bbox_pred"]]

    def raw_masks(self, roi_head: Any, features: Any, rois: Any) -> list[Any]:
        """Return the logits of masks of regions [K, 5]."""
        return [roi_head._mask_forward(features, rois)["mask_pred"]]

    def mask_logits(self, roi_head: Any, features: Any, rois: Any, labels: Any) -> list[Any]:
        """Return the logits of the final masks of regions [K, 5] with labels [K], whose sigmoids' mean counts."""
        return self.raw_masks(roi_head, features, rois)

    def exported_forward(self, detector: Any) -> Exported:
        def forward(img: Any, **ignored: Any) -> tuple[Any, ...]:
            metas, head = metas_of_any_size(img), detector.roi_head
            features = detector.extract_feat(img)
            proposals = _proposals(detector.rpn_head, detector.rpn_head(features), metas)
            features = self.second_features(head, features)
            boxes, labels = self.boxes_in(head, features, metas, proposals)
            if not head.with_mask:
                return boxes, labels
            return boxes, labels, self._masks(head, features, boxes, labels)

        return forward, (*BOX_OUTPUTS, MASK_OUTPUT) if detector.roi_head.with_mask else BOX_OUTPUTS

    def boxes_in(self, roi_head: Any, features: Any, metas: list[dict[str, Any]], proposals: Any) -> tuple[Any, Any]:
        """Return boxes [1, N, 5] and labels [1, N] found in proposals [1, K, 5]."""
        rois = regions(proposals)
        found = roi_head._bbox_forward(features, rois)
        return final_boxes(roi_head.bbox_head, rois, found["cls_score"], found["bbox_pred"],
                           metas[0]["img_shape_for_onnx"], roi_head.test_cfg, proposals)

    def _masks(self, roi_head: Any, features: Any, boxes: Any, labels: Any) -> Any:
        import torch

        with untraced():
            rois = regions(boxes)
        stages = self.mask_logits(roi_head, features, rois, labels.reshape(-1))
        with untraced():
            if not self.stages(roi_head, "mask_head")[-1].class_agnostic:
                stages = [masks[torch.arange(masks.shape[0]), labels.reshape(-1)] for masks in stages]
            masks = sum(masks.sigmoid() for masks in stages) / len(stages) if len(stages) > 1 else stages[0].sigmoid()
            return masks.reshape(1, -1, *masks.shape[-2:])


def pooling_problem(roi_head: Any) -> str:
    """Return which layer reads regions otherwise than the exported graph does; empty where none does."""
    for layer in (layer for part in roi_head.modules() for layer in getattr(part, "roi_layers", ())):
        if not is_one_of(layer, _POOLING):
            return f"The exported graph knows {' and '.join(_POOLING)} as roi_layer, and it is {type(layer).__name__}."
        for key, known in (("pool_mode", "avg"), ("use_torchvision", False)):
            if getattr(layer, key, known) != known:
                return f"The exported graph reads regions by a roi_layer of {key}={known!r}, and it has another."
    return ""


def regions(boxes: Any) -> Any:
    """Return boxes [1, K, 5] of the one image as regions [K, 5] (index of the image, x1, y1, x2, y2)."""
    import torch

    return torch.cat([torch.zeros_like(boxes[..., :1]), boxes[..., :4]], dim=-1).reshape(-1, 5)


def final_boxes(box_head: Any, rois: Any, scores: Any, deltas: Any, shape: Any, test_cfg: Any, proposals: Any
                ) -> tuple[Any, Any]:
    """Return boxes [1, N, 5] and labels [1, N] of regions [K, 5] with their scores [K, classes + 1] and deltas.

    ``deltas`` are a pair for a head that decodes buckets, and None for one that leaves the regions as they are.
    ``proposals`` [1, K, 5] are what the regions come of; those of score 0 are padding, in which nothing is found.
    """
    import torch

    with untraced():
        padding = (proposals[0, :, 4:] <= 0).to(scores.dtype)
        scores = torch.cat([scores[:, :-1], scores[:, -1:] + _SURE_BACKGROUND * padding], dim=1)
        if is_one_of(box_head, _BUCKET_HEADS):
            boxes, sure = in_buckets(box_head.bbox_coder, rois[:, 1:], *deltas, shape)
            scores = probabilities(box_head, scores)
            # In PyTorch a class must exceed the threshold by itself.
            scores = scores * (scores > test_cfg.score_thr).to(scores.dtype) * sure[:, None]
            return suppress(boxes[None], scores[None], test_cfg, LEAST_SCORE)
        if deltas is None:
            # As they are: MMDetection cuts copies of them off at the border (bbox_head.py, get_bboxes).
            return suppress(rois[None, :, 1:], probabilities(box_head, scores)[None], test_cfg, test_cfg.score_thr)
        boxes = box_head.bbox_coder.decode(rois[None, :, 1:], deltas[None], max_shape=shape)
        scores = probabilities(box_head, scores)[None]
        if box_head.reg_class_agnostic:
            return suppress(boxes, scores, test_cfg, test_cfg.score_thr)
        # Each class of a region has a box of its own, so each pair is a candidate.
        labels = torch.arange(box_head.num_classes).reshape(1, 1, -1).expand_as(scores).reshape(1, -1)
        boxes, scores = boxes.reshape(1, -1, 4), scores.reshape(1, -1, 1)
        return suppress(boxes, scores, test_cfg, test_cfg.score_thr, labels)


def probabilities(box_head: Any, scores: Any) -> Any:
    """Return [K, classes] without the background, of what a box head returns of K regions."""
    found = box_head.loss_cls.get_activation(scores) if box_head.custom_cls_channels else scores.softmax(dim=-1)
    return found[:, :box_head.num_classes]


def _proposals(head: Any, outputs: Any, metas: list[dict[str, Any]]) -> Any:
    """Return proposals [1, N, 5], suppressed level by level as in PyTorch: a level takes the place of a class.

    MMDetection's own export suppresses over all levels at once, and lets boxes that the border has cut to nothing take
    the place of others (rpn_head.py, onnx_export).
    """
    from mmdet.models.dense_heads.base_dense_head import BaseDenseHead

    cfg = head.test_cfg
    with untraced():
        boxes, scores = BaseDenseHead.onnx_export(head, *outputs, img_metas=metas, with_nms=False)
        if cfg.min_bbox_size >= 0:
            sides = (boxes[..., 2:] - boxes[..., :2]).min(dim=-1, keepdim=True)[0]
            scores = scores * (sides > cfg.min_bbox_size).to(scores.dtype)
        if not cfg.nms.get("class_agnostic", False):
            scores = scores * level_marks(outputs[0], cfg.get("nms_pre", -1), scores)[None]
        proposals, _ = non_maximum(boxes, scores, cfg.max_per_img, cfg.nms.iou_threshold, 0.0, cfg.max_per_img)
        return proposals


def level_marks(levels: list[Any], most: int, scores: Any) -> Any:
    """Return [N, levels] of 1 and 0: which of the N rows of ``scores`` [1, N, 1] are of which level.

    A level has a row for each of its values, ``most`` where that is positive and they are more. All is calculated in
    the graph, so that it follows the size of the input.
    """
    import torch

    ends, end = [], torch.zeros(1, dtype=torch.long)
    for level in levels:
        size = torch._shape_as_tensor(level)[1:].prod().reshape(1)
        end = end + (torch.min(size, torch.tensor([most])) if most > 0 else size)
        ends.append(end)
    last = torch.cat(ends)[None]
    first = torch.cat([torch.zeros(1, dtype=torch.long), *ends[:-1]])[None]
    row = torch.cumsum(torch.ones_like(scores[0, :, :1], dtype=torch.long), dim=0) - 1
    return ((row >= first) & (row < last)).to(scores.dtype)
