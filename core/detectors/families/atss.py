"""ATSS and DDOD: one anchor a place, scores lowered by centerness or by the predicted overlap."""

from typing import Any, ClassVar

from core.detectors.dense import DenseAdapter


class ATSS(DenseAdapter):
    """One anchor at each place of five levels with a factor of its score."""

    name: ClassVar[str] = "ATSS"
    heads: ClassVar[tuple[str, ...]] = ("ATSSHead", "DDODHead")
    raw_outputs: ClassVar[tuple[str, ...]] = ("cls_scores", "bbox_preds", "score_factors")
    score_factors: ClassVar[bool] = True

    def trial_size(self, model: Any) -> tuple[int, int]:
        # mmcv's deformable convolution takes no map smaller than its kernel, and the last level is of stride 128.
        deforms = model.bbox_head.type == "DDODHead" and model.bbox_head.get("use_dcn", True)
        return (384, 384) if deforms else super().trial_size(model)


FAMILY = ATSS()
