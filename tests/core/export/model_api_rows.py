"""Detections of OpenVINO Model API and ours as rows of class, score and box that can be compared."""

from pathlib import Path

import numpy as np
from model_api.adapters import OpenvinoAdapter, get_user_config
from model_api.models import DetectionModel, Model

from core.openvino.runtime import shared_core


def adapter_of_fp32(xml: Path):
    """Return Model API's way to a model in FP32: by itself it leaves a CPU that has bf16 to use it."""
    return OpenvinoAdapter(shared_core(), str(xml), device="CPU",
                           plugin_config={**get_user_config("CPU", "1", None), "INFERENCE_PRECISION_HINT": "f32"})


def model_api_of(folder: Path):
    """Return a folder's model as one loads it who knows nothing but the file, in FP32 where a CPU prefers bf16."""
    model = Model.create_model(adapter_of_fp32(folder / "model.xml"))
    assert isinstance(model, DetectionModel)
    return model


def rows_of_model_api(model, image):
    """Return rows of class, score and box, best first."""
    objects = model(image).objects
    return sorted([(item.str_label, float(item.score), [item.xmin, item.ymin, item.xmax, item.ymax])
                   for item in objects], key=lambda row: -row[1])


def rows_of_ours(detector, image):
    """Return the rows that ``OpenVinoDetector`` finds, in Model API's names and without what that leaves out."""
    names = [name.replace(" ", "_") for name in detector.spec.classes]
    found = detector(image)
    # Model API rounds to whole pixels and leaves out what is smaller than one.
    whole = np.round(found.boxes)
    large = np.prod(whole[:, 2:] - whole[:, :2], axis=1) >= 1
    return [(names[label], float(score), box.tolist()) for box, score, label in zip(
        found.boxes[large], found.scores[large], found.labels[large])]


def without_partner(ours, theirs, score_difference, pixels=0.0):
    """Return the rows of either that have no partner of the same class in the other.

    Partners lie within a whole pixel of rounding and ``pixels`` more.
    """
    waiting, alone = list(theirs), []
    for label, score, box in ours:
        partner = next((row for row in waiting if row[0] == label and abs(row[1] - score) <= score_difference
                        and np.abs(np.subtract(row[2], box)).max() <= 1 + pixels), None)
        if partner is None:
            alone.append((label, score, box))
        else:
            waiting.remove(partner)
    return alone + waiting
