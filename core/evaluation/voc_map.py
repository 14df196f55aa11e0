"""Pascal VOC's mean average precision: IoU 0.5, each detection judged by the box it overlaps most."""

from collections.abc import Mapping, Sequence

import numpy as np

from core.evaluation.boxes import intersections_over_unions
from core.evaluation.detections import Detections
from core.evaluation.truth import Truth

IOU = 0.5
# Pascal VOC's corners are the outermost pixels of a box, so that it is one pixel wider than their difference.
OUTERMOST_PIXELS = 1.0


def voc_average_precisions(truth: Mapping[int, Truth], detections: Mapping[int, Detections], classes: int
                           ) -> list[float]:
    """Return each class's AP as MMDetection's ``VOCDataset.evaluate`` computes it from VOC 2010 on (2.28, mean_ap.py).

    Args:
        detections: Image id to what was found there, for the same images.

    Returns:
        One AP a class; NaN where a class has no box to be found.
    """
    judged: dict[int, list[tuple[float, bool, bool]]] = {label: [] for label in range(classes)}
    positives = np.zeros(classes, np.int64)
    for image, boxes in truth.items():
        positives += np.bincount(boxes.labels[~boxes.ignored], minlength=classes)
        for label in np.unique(detections[image].labels):
            judged[int(label)] += _judge(boxes, detections[image], int(label))
    return [_average_precision(judged[label], int(positives[label])) for label in range(classes)]


def voc_mean_average_precision(aps: Sequence[float]) -> float:
    """Return the mean over the classes that have boxes; NaN where none has."""
    known = [ap for ap in aps if not np.isnan(ap)]
    return float(np.mean(known)) if known else float("nan")


def _judge(truth: Truth, found: Detections, label: int) -> list[tuple[float, bool, bool]]:
    """Return (score, true, counted) of an image's detections of one class; those that found a box to be ignored do
    not count."""
    # A stable sort, so that equal scores are judged in the order they were found.
    chosen = np.flatnonzero(found.labels == label)
    chosen = chosen[np.argsort(-found.scores[chosen], kind="stable")]
    of_class = truth.labels == label
    # Those to be ignored come last: of equal overlaps the first wins.
    own = np.concatenate([np.flatnonzero(of_class & ~truth.ignored), np.flatnonzero(of_class & truth.ignored)])
    overlaps = intersections_over_unions(found.boxes[chosen], truth.boxes[own], OUTERMOST_PIXELS)
    taken = np.zeros(len(own), bool)
    judged = []
    for score, row in zip(found.scores[chosen], overlaps):
        best = int(row.argmax()) if len(own) else -1
        if best < 0 or np.float32(row[best]) < IOU:
            judged.append((float(score), False, True))
        elif truth.ignored[own[best]]:
            judged.append((float(score), False, False))
        else:
            judged.append((float(score), not taken[best], True))
            taken[best] = True
    return judged


def _average_precision(judged: Sequence[tuple[float, bool, bool]], positives: int) -> float:
    if positives == 0:
        return float("nan")
    if not judged:
        return 0.0
    scores, true, counted = (np.array(column) for column in zip(*judged))
    order = np.argsort(-scores, kind="stable")
    hits, every = np.cumsum(true[order]), np.cumsum(counted[order])
    recall, precision = hits / positives, hits / np.maximum(every, 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * best).sum())
