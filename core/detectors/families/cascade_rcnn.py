"""Cascade R-CNN and Cascade Mask R-CNN: several second stages, each on the boxes of the one before."""

from typing import Any, ClassVar

from core.detectors.decoding import in_buckets
from core.detectors.graph import untraced
from core.detectors.patches import COORDINATES, Patch
from core.detectors.two_stage import TwoStageAdapter, final_boxes, probabilities, regions


class CascadeRCNN(TwoStageAdapter):
    """Stages refine the regions; the final scores are softmax of the mean of all stages' logits."""

    name: ClassVar[str] = "Cascade R-CNN"
    heads: ClassVar[tuple[str, ...]] = ("CascadeRoIHead",)
    decoding: ClassVar[tuple[str, ...]] = ("simple_test",)
    obstacle: ClassVar[str] = ("CascadeRoIHead: its stages' scores are averaged in testing only, so quantizers there "
                               "would lie where training never comes")
    patches: ClassVar[tuple[Patch, ...]] = (
        *TwoStageAdapter.patches, Patch("BBoxHead", "refine_bboxes", "regions of the next stage: " + COORDINATES),
        Patch("BBoxHead", "regress_by_class", "regions of the next stage: " + COORDINATES))

    def problem(self, detector: Any) -> str:
        problem = super().problem(detector)
        if not problem and not all(getattr(head, "with_reg", True) for head in detector.roi_head.bbox_head):
            return "MMDetection hands no regions on from a stage without boxes (bbox_head.with_reg=False)."
        return problem

    def stages(self, roi_head: Any, part: str) -> list[Any]:
        return list(getattr(roi_head, part))

    def raw_boxes(self, roi_head: Any, features: Any, rois: Any) -> list[Any]:
        return [output for scores, deltas, _ in self._stages_on(roi_head, features, rois, None)
                for output in (scores, deltas)]

    def raw_masks(self, roi_head: Any, features: Any, rois: Any) -> list[Any]:
        return [roi_head._mask_forward(stage, features, rois)["mask_pred"] for stage in range(roi_head.num_stages)]

    def stage_boxes(self, roi_head: Any, stage: int, features: Any, rois: Any) -> dict[str, Any]:
        """Return what one stage makes of regions [K, 5], as the head's ``_bbox_forward`` does."""
        return roi_head._bbox_forward(stage, features, rois)

    def boxes_in(self, roi_head: Any, features: Any, metas: list[dict[str, Any]], proposals: Any) -> tuple[Any, Any]:
        shape = metas[0]["img_shape_for_onnx"]
        stages = self._stages_on(roi_head, features, regions(proposals), shape)
        with untraced():
            scores = sum(scores for scores, _, _ in stages) / float(len(stages))
        _, deltas, rois = stages[-1]
        return final_boxes(roi_head.bbox_head[-1], rois, scores, deltas, shape, roi_head.test_cfg, proposals)

    def _stages_on(self, roi_head: Any, features: Any, rois: Any, shape: Any) -> list[tuple[Any, Any, Any]]:
        """Return scores, deltas and regions of each stage, beginning with regions [K, 5]; ``shape`` clips them."""
        found = []
        for stage, head in enumerate(roi_head.bbox_head):
            outputs = self.stage_boxes(roi_head, stage, features, rois)
            found.append((outputs["cls_score"], outputs["bbox_pred"], rois))
            if stage < roi_head.num_stages - 1:
                with untraced():
                    rois = _refined(head, rois, *found[-1][:2], shape)
        return found


def _refined(head: Any, rois: Any, scores: Any, deltas: Any, shape: Any) -> Any:
    """Return regions [K, 5] moved by the deltas of their best class, as BBoxHead.regress_by_class has it."""
    import torch

    if isinstance(deltas, tuple):
        return torch.cat([rois[:, :1], in_buckets(head.bbox_coder, rois[:, 1:], *deltas, shape)[0]], dim=1)
    boxes = head.bbox_coder.decode(rois[None, :, 1:], deltas[None], max_shape=shape)[0]
    if not head.reg_class_agnostic:
        best = (probabilities(head, scores) if head.custom_activation else scores[:, :-1]).argmax(dim=1)
        boxes = boxes.reshape(-1, head.num_classes, 4)[torch.arange(boxes.shape[0]), best]
    return torch.cat([rois[:, :1], boxes], dim=1)


FAMILY = CascadeRCNN()
