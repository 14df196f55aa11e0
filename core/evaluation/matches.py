"""Detections matched with the ground truth, from which average precision follows for any choice of images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

RECALLS = np.linspace(0.0, 1.0, 101)
SEED = 0
SAMPLES = 500
LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class ClassMatches:
    """The detections of one class in all images, by falling score.

    Args:
        scores: float64 ``[N]``.
        images: int64 ``[N]``: the position of each detection's image among the images scored.
        true: bool ``[T, N]``: whether it found a box, at each IoU threshold 0.50:0.05:0.95.
        counted: bool ``[T, N]``: False where it found a box to be ignored, such as a crowd.
        positives: int64 ``[I]``: the boxes to be found in each image.
    """

    scores: np.ndarray
    images: np.ndarray
    true: np.ndarray
    counted: np.ndarray
    positives: np.ndarray


@dataclass(frozen=True)
class Interval:
    """A confidence interval from ``samples`` bootstrap samples; NaN where there is nothing to measure.

    One image with boxes says nothing of others, so its interval is all that a difference can be.
    """

    low: float
    high: float
    level: float
    samples: int


def matches_of(evaluation: Any) -> list[ClassMatches]:
    """Return the matches of a ``COCOeval`` after ``evaluate()``, for boxes of all sizes, in the order of ``catIds``."""
    count, areas = len(evaluation.params.imgIds), len(evaluation.params.areaRng)
    nothing = np.zeros((len(evaluation.params.iouThrs), 0), bool)
    classes = []
    # evalImgs runs over classes, then areas (all sizes first), then images; None stands for nothing there.
    for start in range(0, len(evaluation.evalImgs), areas * count):
        evaluated = enumerate(evaluation.evalImgs[start:start + count])
        found = [(position, item) for position, item in evaluated if item is not None]
        positives = np.zeros(count, np.int64)
        for position, item in found:
            positives[position] = np.count_nonzero(item["gtIgnore"] == 0)
        scores = np.concatenate([np.zeros(0), *(item["dtScores"] for _, item in found)])
        images = np.concatenate([np.zeros(0, np.int64),
                                 *(np.full(len(item["dtScores"]), position) for position, item in found)])
        ignored = np.concatenate([nothing, *(item["dtIgnore"].astype(bool) for _, item in found)], axis=1)
        true = np.concatenate([nothing, *(item["dtMatches"] != 0 for _, item in found)], axis=1)
        # A stable sort, as COCOeval's: ties stay in the order of the images.
        order = np.argsort(-scores, kind="mergesort")
        classes.append(ClassMatches(scores[order], images[order], (true & ~ignored)[:, order], ~ignored[:, order],
                                    positives))
    return classes


def precision_at_recalls(matches: ClassMatches, weights: np.ndarray | None = None) -> np.ndarray:
    """Return float64 ``[T, 101]``: the best precision at recall 0, 0.01, .. 1, as COCOeval.accumulate computes it.

    Args:
        weights: int64 ``[I]``: how often each image counts; None counts each once.
    """
    found = np.zeros((len(matches.true), len(RECALLS)))
    times = np.ones(len(matches.positives), np.int64) if weights is None else weights
    positives = int((matches.positives * times).sum())
    if positives == 0:
        return np.full_like(found, np.nan)
    weight = times[matches.images] * matches.counted
    true = np.cumsum(weight * matches.true, axis=1, dtype=np.float64)
    every = np.cumsum(weight, axis=1, dtype=np.float64)
    precision = true / (every + np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = true / positives
    for row in range(len(found)):
        places = np.searchsorted(recall[row], RECALLS, side="left")
        reached = places < recall.shape[1]
        found[row, reached] = precision[row, places[reached]]
    return found


def mean_average_precision(classes: Sequence[ClassMatches], weights: np.ndarray | None = None) -> float:
    """Return COCO's mAP over IoU thresholds and the classes that have boxes; NaN where none has."""
    aps = [float(precision_at_recalls(matches, weights).mean()) for matches in classes]
    aps = [ap for ap in aps if not np.isnan(ap)]
    return float(np.mean(aps)) if aps else float("nan")


def bootstrap_map_difference(first: Sequence[ClassMatches], second: Sequence[ClassMatches], samples: int = SAMPLES,
                             level: float = LEVEL, seed: int = SEED) -> Interval:
    """Return the percentile interval of ``mAP(first) - mAP(second)`` under resampling of the images with replacement.

    Both models see the same drawn images, so that what is hard for both cancels (Efron and Tibshirani, 1993,
    chapter 13).

    Args:
        first: Matches of each class of one model.
        second: Those of the other, on the same images in the same order.
    """
    random = np.random.default_rng(seed)
    images = len(first[0].positives) if first else 0
    if np.count_nonzero(sum((matches.positives for matches in first), np.zeros(images, np.int64))) == 1:
        # Drawn again and again it is always the same, and its interval would be a point.
        return Interval(-1.0, 1.0, level, samples)
    differences = []
    for _ in range(samples if images else 0):
        weights = np.bincount(random.integers(0, images, images), minlength=images)
        differences.append(mean_average_precision(first, weights) - mean_average_precision(second, weights))
    known = [difference for difference in differences if not np.isnan(difference)]
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2]) if known else (np.nan, np.nan)
    return Interval(float(low), float(high), level, samples)
