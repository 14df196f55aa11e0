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
    return {image: _truth(boxes, label_of) for image, boxes in own.items() if image not in set(skipped)}


def _truth(annotations: Sequence[Mapping[str, Any]], label_of: Mapping[int, int]) -> Truth:
    corners = np.array([annotation["bbox"] for annotation in annotations], np.float64).reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    return Truth(corners, np.array([label_of[item["category_id"]] for item in annotations], np.int64),
                 np.array([bool(item.get("iscrowd")) for item in annotations], bool))
