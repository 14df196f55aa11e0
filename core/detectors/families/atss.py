"""ATSS and DDOD: one anchor a place, scores lowered by centerness or by the predicted overlap."""

from typing import ClassVar

from core.detectors.dense import DenseAdapter


class ATSS(DenseAdapter):
    """One anchor at each place of five levels with a factor of its score."""

    name: ClassVar[str] = "ATSS"
    heads: ClassVar[tuple[str, ...]] = ("ATSSHead", "DDODHead")
    raw_outputs: ClassVar[tuple[str, ...]] = ("cls_scores", "bbox_preds", "score_factors")
    score_factors: ClassVar[bool] = True


FAMILY = ATSS()
