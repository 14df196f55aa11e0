"""What a detector found in one image, whichever runtime it ran in."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Masks:
    """Which part of each box its object fills.

    Args:
        probabilities: float32 ``[N, h, w]``, spread over the whole box.
        boxes: float32 ``[N, 4]``: the same boxes before they were clipped to the image.
    """

    probabilities: np.ndarray
    boxes: np.ndarray

    def __getitem__(self, kept: np.ndarray) -> "Masks":
        return Masks(self.probabilities[kept], self.boxes[kept])


@dataclass(frozen=True, eq=False)
class Detections:
    """The boxes found in one image.

    Args:
        boxes: float32 ``[N, 4]``: x1, y1, x2, y2 in pixels of the original image.
        scores: float32 ``[N]`` in 0..1.
        labels: int64 ``[N]``: index into the class names, from 0.
        masks: Of each box, where the detector has a mask head and they were asked for.

    Raises:
        ValueError: The shapes do not agree.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: Masks | None = None

    def __post_init__(self) -> None:
        count = len(self.scores)
        if self.boxes.shape != (count, 4) or self.scores.shape != (count,) or self.labels.shape != (count,):
            raise ValueError(f"boxes {self.boxes.shape}, scores {self.scores.shape} and labels {self.labels.shape} "
                             "must be [N, 4], [N] and [N]")

    @classmethod
    def empty(cls) -> "Detections":
        """Return the result for an image in which nothing was found."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))

    def above(self, score: float) -> "Detections":
        """Return the boxes scored at least ``score``."""
        kept = self.scores >= score
        return Detections(self.boxes[kept], self.scores[kept], self.labels[kept],
                          None if self.masks is None else self.masks[kept])

    def __len__(self) -> int:
        return len(self.scores)
