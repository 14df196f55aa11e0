"""The golden image of a bundle, and the boxes that the model found in it when it was validated."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.base.errors import UserError
from core.base.json_file import read_json
from core.base.text import shown
from core.evaluation.agreement import MIN_SCORE, compare
from core.evaluation.detections import Detections

GOLDEN = "golden"
DETECTIONS_FILE = "detections.json"
# Another instruction set rounds elsewhere, int8 above all; on the same CPU nothing differs.
MAX_SCORE_DIFFERENCE = 0.05
MIN_IOU = 0.9

_MOST_BYTES = 16 << 20
_COPY_AGAIN = "Copy the bundle again from where it was published."


@dataclass(frozen=True)
class Golden:
    """An image file and what must be found in it."""

    image: Path
    detections: Detections


@dataclass(frozen=True)
class Difference:
    """How two results for one image differ, boxes of a score below ``core.evaluation.agreement.MIN_SCORE`` aside.

    Args:
        boxes: Boxes that were expected.
        missing: Of those, the ones without a partner.
        unexpected: Boxes without one among those expected.
        score_difference: Largest difference of scores between partners.
    """

    boxes: int
    missing: int
    unexpected: int
    score_difference: float
    smallest_iou: float

    @property
    def tolerable(self) -> bool:
        """Whether it is what another CPU's rounding can do."""
        return (self.missing == self.unexpected == 0 and self.score_difference <= MAX_SCORE_DIFFERENCE
                and self.smallest_iou >= MIN_IOU)

    def __str__(self) -> str:
        return (f"{self.missing} of {self.boxes} boxes missing, {self.unexpected} unexpected, scores differ by up to "
                f"{self.score_difference:.4f}, IoU is at least {self.smallest_iou:.3f}")


def choose_golden(detections: Mapping[int, Detections]) -> int:
    """Return the image id with most boxes scored ``MIN_SCORE`` or more, the lowest id of equals.

    Raises:
        ValueError: There is no image at all.
    """
    return max(sorted(detections), key=lambda image: int((detections[image].scores >= MIN_SCORE).sum()))


def write_golden(folder: Path, image: Path, detections: Detections) -> None:
    """Copy an image into ``folder`` under the name ``image`` and write what was found in it beside."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"image{image.suffix.lower()}"
    (folder / name).write_bytes(image.read_bytes())
    record = {"image": name, "boxes": detections.boxes.astype(float).round(3).tolist(),
              "scores": detections.scores.astype(float).round(6).tolist(), "labels": detections.labels.tolist()}
    (folder / DETECTIONS_FILE).write_text(json.dumps(record) + "\n", encoding="utf-8")


def read_golden(folder: Path) -> Golden:
    """Read what ``write_golden`` wrote.

    Raises:
        UserError: A file is missing or is not as it was written.
    """
    path = Path(folder) / DETECTIONS_FILE
    record = read_json(path, "golden image", _COPY_AGAIN, _MOST_BYTES)
    try:
        found = Detections(np.float32(record["boxes"]).reshape(-1, 4), np.float32(record["scores"]),
                           np.int64(record["labels"]))
        image = Path(folder) / record["image"]
        if image.parent != Path(folder):
            raise ValueError("the image must lie beside it")
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise UserError("golden image", path, f"It cannot be read ({shown(error)}).", _COPY_AGAIN) from error
    if not image.is_file():
        raise UserError("golden image", image, "It is missing.", _COPY_AGAIN)
    return Golden(image, found)


def difference(expected: Detections, found: Detections) -> Difference:
    """Compare what was found in the golden image with what was expected."""
    pairs = compare({0: expected}, {0: found}).images[0]
    return Difference(pairs.matched + pairs.only_first, pairs.only_first, pairs.only_second,
                      max(pairs.score_differences, default=0.0), min(pairs.overlaps, default=1.0))
