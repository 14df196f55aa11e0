"""Average precision of detections: COCO's by pycocotools, and Pascal VOC's."""

import contextlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.base.errors import UserError
from core.base.json_file import read_json
from core.data.digest import MOST_BYTES
from core.evaluation.detections import Detections
from core.evaluation.matches import ClassMatches, matches_of
from core.evaluation.truth import truth_by_image
from core.evaluation.voc_map import voc_average_precisions, voc_mean_average_precision
from core.results.accuracy import DetectionMetrics

ALL_AREAS, MOST_DETECTIONS = 0, -1


@dataclass(frozen=True)
class Scores:
    """Metrics, and the matches they follow from: one entry a class, by name, over the images by rising id."""

    metrics: DetectionMetrics
    matches: dict[str, ClassMatches]


def score_detections(annotation_file: Path, detections: Mapping[int, Detections], classes: Sequence[str],
                     skipped: Sequence[int] = ()) -> Scores:
    """Score detections against a COCO annotation file with pycocotools' COCOeval (bbox, 100 detections an image).

    Args:
        annotation_file: COCO JSON with ``images``, ``annotations`` and ``categories``.
        detections: Image id to what was found there. Every image of the file must be a key, so that no image is
            scored as empty by accident.
        classes: Class names in the order of the labels; matched to the file's categories by name.
        skipped: Ids of images that could not be read; they and their ground truth are left out.

    Raises:
        UserError: Unreadable file, no images, classes that differ, an image neither detected nor skipped,
            detections of an unknown image or class.
    """
    from pycocotools.cocoeval import COCOeval

    truth = read_annotations(annotation_file)
    categories, image_ids = _matched_ids(annotation_file, truth, detections, classes, skipped)
    results = [result for image_id in image_ids
               for result in _results(annotation_file, image_id, detections[image_id], categories)]
    # The records are what COCO.loadRes makes of a result file; it fails itself where there is no detection at all.
    found = _indexed({**truth, "annotations": [dict(result, id=number) for number, result in enumerate(results, 1)]})
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(_indexed(truth), found, "bbox")
        evaluation.params.imgIds = image_ids
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    voc = voc_average_precisions(truth_by_image(truth, classes, skipped), detections, len(classes))
    names = dict(zip(categories, classes))
    matches = dict(zip((names[number] for number in evaluation.params.catIds), matches_of(evaluation)))
    # precision is [IoU, recall, class, area, max detections]; -1 marks a class without ground truth.
    precision = evaluation.eval["precision"][:, :, :, ALL_AREAS, MOST_DETECTIONS]
    by_name = {names[category]: math.nan if (precision[:, :, index] == -1).all() else
               float(precision[:, :, index].mean()) for index, category in enumerate(evaluation.params.catIds)}
    stats = [math.nan if value == -1 else float(value) for value in evaluation.stats]
    metrics = DetectionMetrics(
        map=stats[0], map50=stats[1], map75=stats[2], map_small=stats[3], map_medium=stats[4], map_large=stats[5],
        ar1=stats[6], ar10=stats[7], ar100=stats[8], ar_small=stats[9], ar_medium=stats[10], ar_large=stats[11],
        per_class_ap={name: by_name[name] for name in classes}, voc_map=voc_mean_average_precision(voc),
        per_class_voc_ap=dict(zip(classes, voc)), images=len(image_ids), detections=len(results))
    return Scores(metrics, {name: matches[name] for name in classes})


def read_annotations(annotation_file: Path) -> dict[str, Any]:
    """Return a COCO annotation file's contents.

    Raises:
        UserError: The file is missing, not JSON, or has not the lists of a COCO file.
    """
    content = read_json(Path(annotation_file), "annotation file", "Give a COCO annotation file.", MOST_BYTES,
                        any_number=True)
    lists = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in lists):
        raise UserError("annotation file", annotation_file, f"A COCO file has the lists {', '.join(lists)}.",
                        "Give a COCO annotation file.")
    return content


def _indexed(content: dict[str, Any]) -> Any:
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = content
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _matched_ids(annotation_file: Path, truth: Mapping[str, Any], detections: Mapping[int, Detections],
                 classes: Sequence[str], skipped: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return the file's category id of each class, and the ids of the images to score."""
    names, known = [category["name"] for category in truth["categories"]], {image["id"] for image in truth["images"]}
    if sorted(names) != sorted(classes):
        raise UserError("classes", list(classes), f"They must be the categories of {annotation_file}: {names}.",
                        "Score with the data set the model was trained for, or rename the categories.")
    unknown = (set(detections) | set(skipped)) - known
    if unknown:
        raise UserError("detections", f"image ids {sorted(unknown)[:5]}", f"{annotation_file} has no such images.",
                        "Score the detections with the annotation file they were made from.")
    forgotten = known - set(detections) - set(skipped)
    if forgotten:
        raise UserError("detections", f"none for image ids {sorted(forgotten)[:5]} ({len(forgotten)} images)",
                        f"Every image of {annotation_file} must have detections, if only an empty set.",
                        "Run the detector over all images, or list unreadable ones as skipped.")
    scored = sorted(known - set(skipped))
    if not scored:
        raise UserError("annotation file", annotation_file, f"There is no image to score ({len(known)} listed, "
                        f"{len(known)} unreadable).", "Give a test split with readable images.")
    ids = {category["name"]: category["id"] for category in truth["categories"]}
    return [ids[name] for name in classes], scored


def _results(annotation_file: Path, image_id: int, found: Detections, categories: Sequence[int]) -> list[dict]:
    """Return the detections of one image as COCO result records (bbox is x, y, width, height)."""
    if len(found) and not 0 <= found.labels.min() <= found.labels.max() < len(categories):
        raise UserError("detections", f"labels {found.labels.min()}..{found.labels.max()} in image {image_id}",
                        f"{annotation_file} has {len(categories)} classes, labelled from 0.",
                        "Score a model that was trained for these classes.")
    boxes = found.boxes.astype(np.float64)
    sizes = boxes[:, 2:] - boxes[:, :2]
    return [{"image_id": image_id, "category_id": categories[label], "score": float(score),
             "bbox": [x, y, width, height], "area": width * height, "iscrowd": 0}
            for (x, y), (width, height), score, label in zip(boxes[:, :2].tolist(), sizes.tolist(), found.scores,
                                                             found.labels)]
