"""Pictures of test images with ground truth and detections, written into a folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.evaluation.detections import Detections
from core.evaluation.truth import Truth
from core.openvino.drawing import Panel, draw_panels
from core.openvino.image import read_image
from core.results.accuracy import Picture

if TYPE_CHECKING:
    from core.data.dataset import Split

JPEG_QUALITY = 80


class Pictures:
    """Draws images of a split, each beside itself with the boxes of several models.

    Args:
        split: The split.
        images: Image id to file name.
        truth: Image id to ground truth.
        classes: Class names in the order of the labels.
        folder: The folder that the pictures' names are relative to.
    """

    def __init__(self, split: "Split", images: Mapping[int, str], truth: Mapping[int, Truth], classes: Sequence[str],
                 folder: Path) -> None:
        self._root, self._images, self._truth = split.image_root, images, truth
        self._classes, self._folder = classes, folder

    def draw(self, image: int, file: str, found: Mapping[str, Detections]) -> Picture:
        """Draw ground truth and each model's detections by title."""
        import cv2

        truth = self._truth[image]
        kept = ~truth.ignored
        boxes = Detections(truth.boxes[kept].astype(np.float32), np.ones(int(kept.sum()), np.float32),
                           truth.labels[kept])
        picture = draw_panels(read_image(self._root / self._images[image]), [
            Panel("ground truth", boxes, show_scores=False),
            *(Panel(title, detections) for title, detections in found.items())], self._classes)
        path = self._folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes())
        return Picture(file=file, image=self._images[image])

    def spread(self, count: int) -> list[int]:
        """Return ids of images spread evenly over the split, those with ground truth where there are any."""
        with_boxes = [image for image in self._images if len(self._truth[image].labels)]
        candidates = with_boxes or list(self._images)
        picked = np.linspace(0, len(candidates) - 1, min(count, len(candidates))).round().astype(int)
        return [candidates[index] for index in picked]
