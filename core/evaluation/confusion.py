"""Which classes a model takes for which, at IoU 0.5."""

from collections.abc import Mapping

import numpy as np

from core.evaluation.boxes import intersections_over_unions
from core.evaluation.detections import Detections
from core.evaluation.truth import Truth

IOU = 0.5
MIN_SCORE = 0.3


def confusion_matrix(truth: Mapping[int, Truth], detections: Mapping[int, Detections], classes: int) -> np.ndarray:
    """Count what was found for what was there.

    A detection scored ``MIN_SCORE`` or more takes the free box that it overlaps most, the highest score first,
    whatever the classes. One that found only a box to be ignored is left out.

    Returns:
        int64 ``[classes + 1, classes + 1]``: rows are the truth, columns what was found; the last of each is
        background, so that the last column counts boxes that were missed and the last row false positives.
    """
    matrix = np.zeros((classes + 1, classes + 1), np.int64)
    for image, boxes in truth.items():
        found = detections[image]
        background = len(matrix) - 1
        overlaps = intersections_over_unions(found.boxes, boxes.boxes)
        free = np.ones(len(boxes.labels), bool)
        for index in np.argsort(-found.scores, kind="stable"):
            if found.scores[index] < MIN_SCORE:
                break
            reached = np.flatnonzero((overlaps[index] >= IOU) & free & ~boxes.ignored)
            if len(reached):
                best = reached[overlaps[index, reached].argmax()]
                free[best] = False
                matrix[boxes.labels[best], found.labels[index]] += 1
            elif not (overlaps[index, boxes.ignored] >= IOU).any():
                matrix[background, found.labels[index]] += 1
        missed = boxes.labels[free & ~boxes.ignored]
        matrix[:, background] += np.bincount(missed, minlength=len(matrix))
    return matrix
