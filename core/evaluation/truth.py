"""The ground truth of an image in the terms of detections."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Truth:
    """The boxes that are in one image.

    Args:
        boxes: float64 ``[N, 4]``: x1, y1, x2, y2 in pixels.
        labels: int64 ``[N]``: index into the class names.
        ignored: bool ``[N]``: boxes that need not be found, such as COCO's crowds.
    """

    boxes: np.ndarray
    labels: np.ndarray
    ignored: np.ndarray


def truth_by_image(annotations: Mapping[str, Any], classes: Sequence[str], skipped: Sequence[int] = ()
                   ) -> dict[int, Truth]:
    """Return image id to ground truth of COCO annotations whose categories are ``classes``, without ``skipped``."""
    names = {category["id"]: category["name"] for category in annotations["categories"]}
    label_of = {number: classes.index(name) for number, name in names.items()}
    own: dict[int, list[Mapping[str, Any]]] = {image["id"]: [] for image in annotations["images"]}
    for annotation in annotations["annotations"]:
        own[annotation["image_id"]].append(annotation)
    for image in skipped:
        own.pop(image, None)
    truth = {}
    for image, boxes in own.items():
        corners = np.array([box["bbox"] for box in boxes], np.float64).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        truth[image] = Truth(corners, np.array([label_of[box["category_id"]] for box in boxes], np.int64),
                             np.array([bool(box.get("iscrowd")) for box in boxes], bool))
    return truth
