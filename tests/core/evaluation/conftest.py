"""A small data set in memory: boxes of all sizes, a crowd, and detections that are off by some pixels."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.evaluation.detections import Detections

CLASSES = ("cat", "dog", "hen")


@dataclass(frozen=True)
class Sample:
    """An annotation file, its content, and detections by image id."""

    annotation_file: Path
    truth: dict[str, Any]
    detections: dict[int, Detections]


@pytest.fixture
def sample(tmp_path) -> Sample:
    """24 images with 0 to 5 boxes with whole corners; every tenth box is a crowd."""
    random = np.random.default_rng(3)
    images = [{"id": number, "file_name": f"{number:06d}.png", "width": 400, "height": 300} for number in range(1, 25)]
    annotations, detections = [], {}
    for image in images:
        corners, labels = [], []
        for _ in range(random.integers(0, 6)):
            x, y = random.integers(1, 200, 2).tolist()
            width, height = random.integers(10, 90, 2).tolist()
            label = int(random.integers(3))
            annotations.append({"id": len(annotations) + 1, "image_id": image["id"], "category_id": label + 1,
                                "bbox": [x, y, width, height], "area": width * height,
                                "iscrowd": int(len(annotations) % 10 == 9)})
            corners.append([x, y, x + width, y + height])
            labels.append(label)
        boxes = np.array(corners, np.float64).reshape(-1, 4)
        near = boxes + random.uniform(-8, 8, boxes.shape)
        wrong = boxes[:2] + 60
        boxes = np.concatenate([near, near[:1] + 1, wrong])
        labels = np.array([*labels, *labels[:1], *((label + 1) % 3 for label in labels[:2])], np.int64)
        detections[image["id"]] = Detections(boxes.astype(np.float32),
                                             random.uniform(0.05, 1, len(boxes)).astype(np.float32), labels)
    truth = {"images": images, "annotations": annotations,
             "categories": [{"id": number, "name": name} for number, name in enumerate(CLASSES, 1)]}
    file = tmp_path / "truth.json"
    file.write_text(json.dumps(truth))
    return Sample(file, truth, detections)
