"""How far two models that should agree find the same boxes in the same images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.evaluation.boxes import intersections_over_unions
from core.evaluation.detections import Detections

IOU = 0.5
# Below this a box is not worth a look, and would only make two noisy tails be compared.
MIN_SCORE = 0.3
Limits = tuple[int | None, int | None]
"""Most boxes that the first and the second model keep of an image; None where that is not known."""


@dataclass(frozen=True)
class ImageAgreement:
    """What two models found in one image.

    Args:
        matched: Boxes that both found.
        only_first: Boxes of the first model that the second has not; ``only_second`` the other way round.
        cut_off: Boxes without a partner that the other model had no place for; in neither of those.
        score_differences: Absolute difference of the scores of each matched pair.
        overlaps: IoU of each matched pair.
    """

    image: int
    matched: int
    only_first: int
    only_second: int
    cut_off: int
    score_differences: tuple[float, ...]
    overlaps: tuple[float, ...]

    @property
    def disagreement(self) -> float:
        """Return what to sort images by: a box that one model lacks counts 1, a matched one its score difference."""
        return self.only_first + self.only_second + sum(self.score_differences)


@dataclass(frozen=True)
class Agreement:
    """What two models found in many images, the worst first."""

    images: tuple[ImageAgreement, ...]

    @property
    def share(self) -> float:
        """Return the share of all boxes, but for those cut off, that have a partner; 1 where no model found any."""
        matched = sum(image.matched for image in self.images)
        alone = sum(image.only_first + image.only_second for image in self.images)
        return 2 * matched / (2 * matched + alone) if matched or alone else 1.0

    def to_json(self) -> dict[str, Any]:
        """Return the totals as plain JSON values; figures of pairs are None where there is no pair."""
        differences = [value for image in self.images for value in image.score_differences]
        overlaps = [value for image in self.images for value in image.overlaps]
        return {"matched": sum(image.matched for image in self.images),
                "only_first": sum(image.only_first for image in self.images),
                "only_second": sum(image.only_second for image in self.images),
                "cut_off": sum(image.cut_off for image in self.images), "share": self.share,
                "largest_score_difference": max(differences, default=None),
                "mean_score_difference": float(np.mean(differences)) if differences else None,
                "smallest_iou": min(overlaps, default=None), "min_score": MIN_SCORE, "iou": IOU}


def compare(first: Mapping[int, Detections], second: Mapping[int, Detections], limits: Limits = (None, None)
            ) -> Agreement:
    """Match the boxes of two models in every image that both have looked at.

    A box scored ``MIN_SCORE`` or more must have a partner of its class at IoU 0.5 or more in the other model, whatever
    the partner's score, so that a box that passes the threshold by a hair in one model alone is no disagreement.
    Neither is one that the other model may have found as well and had no place for: its list is full, and the box is
    scored no higher than the lowest in it.
    """
    images = []
    for image in sorted(first.keys() & second.keys()):
        ours, theirs = first[image], second[image]
        pairs = [(one, other, overlap) for one, other, overlap in _pairs(ours, theirs)
                 if max(ours.scores[one], theirs.scores[other]) >= MIN_SCORE]
        with_partner = {one for one, _, _ in pairs}, {other for _, other, _ in pairs}
        alone = [[found.scores[index] for index in np.flatnonzero(found.scores >= MIN_SCORE) if index not in partners]
                 for found, partners in zip((ours, theirs), with_partner)]
        cut_off = [int(np.sum(np.array(scores) <= other.scores.min())) if limit and len(other) >= limit else 0
                   for scores, other, limit in zip(alone, (theirs, ours), reversed(limits))]
        only_first, only_second = (len(scores) - cut for scores, cut in zip(alone, cut_off))
        images.append(ImageAgreement(
            image, len(pairs), only_first, only_second, sum(cut_off),
            tuple(float(abs(ours.scores[one] - theirs.scores[other])) for one, other, _ in pairs),
            tuple(overlap for _, _, overlap in pairs)))
    return Agreement(tuple(sorted(images, key=lambda item: -item.disagreement)))


def _pairs(first: Detections, second: Detections) -> list[tuple[int, int, float]]:
    """Return (index in first, index in second, IoU), the largest overlaps first, each box once."""
    overlaps = intersections_over_unions(first.boxes, second.boxes)
    overlaps[first.labels[:, None] != second.labels[None]] = 0
    ones, others = np.nonzero(overlaps >= IOU)
    pairs: list[tuple[int, int, float]] = []
    taken: tuple[set, set] = (set(), set())
    for place in np.argsort(-overlaps[ones, others], kind="stable"):
        one, other = int(ones[place]), int(others[place])
        if one not in taken[0] and other not in taken[1]:
            taken[0].add(one)
            taken[1].add(other)
            pairs.append((one, other, float(overlaps[one, other])))
    return pairs
