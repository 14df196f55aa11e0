"""Sparse R-CNN and QueryInst: learnt proposals, refined by stages in which they attend to one another."""

from typing import Any, ClassVar

from core.detectors.adapter import Exported, Forward
from core.detectors.families.cascade_rcnn import CascadeRCNN
from core.detectors.families.detr import ATTENTION
from core.detectors.graph import image_size, untraced
from core.detectors.outputs import BOX_OUTPUTS, MASK_OUTPUT
from core.detectors.patches import COORDINATES, OPERATOR, Patch
from core.detectors.suppression import LEAST_SCORE, best_pairs
from core.detectors.test_cfg import COUNT, RCNN, Rule, Table, up_to
from core.detectors.two_stage import pooling_problem


class SparseRCNN(CascadeRCNN):
    """Nothing is suppressed: the best classes of all proposals count. Masks are those of the last stage."""

    name: ClassVar[str] = "Sparse R-CNN"
    heads: ClassVar[tuple[str, ...]] = ("SparseRoIHead",)
    detectors: ClassVar[tuple[str, ...]] = ("SparseRCNN", "QueryInst")
    obstacle: ClassVar[str] = ""
    patches: ClassVar[tuple[Patch, ...]] = (
        *CascadeRCNN.patches, Patch("MultiheadAttention", "forward", ATTENTION, action=OPERATOR),
        Patch("EmbeddingRPNHead", "_decode_init_proposals", COORDINATES))
    suppresses: ClassVar[bool] = False
    test_cfg: ClassVar[Table] = {
        "rpn": Rule(lambda value: value is None, "The first stage has none.", "Write None."),
        "rcnn": {"max_per_img": COUNT, "mask_thr_binary": RCNN["mask_thr_binary"]}}

    def problem(self, detector: Any) -> str:
        head = detector.roi_head
        parts = [("rpn_head", detector.rpn_head, "EmbeddingRPNHead"),
                 *(("bbox_head", part, "DIIHead") for part in head.bbox_head),
                 *(("bbox_head.bbox_coder", part.bbox_coder, "DeltaXYWHBBoxCoder") for part in head.bbox_head)]
        if head.with_mask:
            parts += [("mask_head", part, "DynamicMaskHead") for part in head.mask_head]
        unknown = [f"The exported graph knows {known} as {name}, and it is {type(part).__name__}."
                   for name, part, known in parts if type(part).__name__ != known]
        return "".join(unknown[:1]) or pooling_problem(head)

    def rules(self, detector: Any) -> Table:
        sections = super().rules(detector)
        pairs = detector.rpn_head.num_proposals * detector.roi_head.bbox_head[-1].num_classes
        most = up_to(pairs, sections["rcnn"]["max_per_img"], "as many as the proposals find")
        return {**sections, "rcnn": {**sections["rcnn"], "max_per_img": most}}

    def score_threshold(self, detector: Any) -> float:
        """Return next to 0: MMDetection returns a proposal whatever its score."""
        return LEAST_SCORE

    def iou_threshold(self, detector: Any) -> float:
        """Return 1: no box is dropped for another."""
        return 1.0

    def traced_forward(self, detector: Any, postprocessing: bool) -> Forward:
        def forward(img: Any, **ignored: Any) -> Any:
            features = detector.extract_feat(img)
            # Scores of the stages before the last are no part of an exported graph.
            classes, boxes, number, attended = _stages(detector, features, img)[-1]
            outputs = [classes, boxes]
            if detector.roi_head.with_mask:
                outputs.append(_masks(detector.roi_head, features, boxes, number, attended))
            return outputs

        return forward

    def exported_forward(self, detector: Any) -> Exported:
        head = detector.roi_head

        def forward(img: Any, **ignored: Any) -> Any:
            features = detector.extract_feat(img)
            classes, boxes, number, attended = _stages(detector, features, img)[-1]
            with untraced():
                scores = classes[0].sigmoid() if head.bbox_head[-1].loss_cls.use_sigmoid else (
                    classes[0].softmax(dim=-1)[:, :-1])
                found, labels, places = best_pairs(boxes, scores, self.max_detections(detector))
            if not head.with_mask:
                return found, labels
            masks = _masks(head, features, boxes, number, attended)
            with untraced():
                return found, labels, masks.flatten(0, 1)[places].sigmoid()[None]

        return forward, (*BOX_OUTPUTS, MASK_OUTPUT) if head.with_mask else BOX_OUTPUTS


def _stages(detector: Any, features: Any, img: Any) -> list[tuple[Any, Any, Any, Any]]:
    """Return of each stage its outputs.

    They are scores [N, K, classes], boxes [N * K, 4], the numbers of their images [N * K, 1], and what the proposals
    saw of one another.
    """
    import torch

    head = detector.roi_head
    # They are parts of an image, whose size is part of the graph.
    boxes, states, _ = detector.rpn_head._decode_init_proposals(features, [{"img_shape": (1, 1, 3)}] * img.shape[0])
    size = image_size(img)
    with untraced():
        boxes = boxes * size.flip(0).repeat(2).to(boxes.dtype)
        number = torch.arange(boxes.shape[0]).repeat_interleave(boxes.shape[1])[:, None].to(boxes)
        # Proposals that are still to be loaded may have negative sides, which RoIAlign does not take.
        corners = boxes.reshape(-1, 2, 2)
        boxes = torch.cat([corners.min(dim=1)[0], corners.max(dim=1)[0]], dim=1)
    found = []
    for extractor, box_head in zip(head.bbox_roi_extractor, head.bbox_head):
        with untraced():
            rois = torch.cat([number, boxes], dim=1)
        scores, deltas, states, attended = box_head(extractor(features[:extractor.num_inputs], rois), states)
        with untraced():
            boxes = box_head.bbox_coder.decode(boxes[None], deltas.reshape(1, -1, 4), max_shape=size)[0]
        found.append((scores, boxes, number, attended))
    return found


def _masks(head: Any, features: Any, boxes: Any, number: Any, attended: Any) -> Any:
    """Return logits [N * K, classes, h, w] of the last stage."""
    import torch

    with untraced():
        rois = torch.cat([number, boxes], dim=1)
    return head._mask_forward(head.num_stages - 1, features, rois, attended)["mask_pred"]


FAMILY = SparseRCNN()
