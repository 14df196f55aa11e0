import json
import math

import numpy as np
import pytest

from core.base.errors import UserError
from core.evaluation.coco_map import read_annotations, score_detections
from core.evaluation.detections import Detections

CLASSES = ("cat", "dog", "hen")
# Neither contiguous nor in class order: names alone connect labels and categories.
CATEGORY_IDS = {"dog": 2, "cat": 7, "hen": 5}


@pytest.fixture
def annotation_file(tmp_path):
    """12 images with 2 to 5 boxes of all sizes; one of them a crowd."""
    random = np.random.default_rng(0)
    images = [{"id": 10 * number, "file_name": f"{number}.png", "width": 400, "height": 300} for number in range(12)]
    annotations = []
    for image in images:
        for _ in range(random.integers(2, 6)):
            x, y = random.uniform(0, 200, 2)
            width, height = random.uniform(10, 150, 2)
            annotations.append({"id": len(annotations) + 1, "image_id": image["id"], "bbox": [x, y, width, height],
                                "area": width * height, "iscrowd": int(len(annotations) == 3),
                                "category_id": int(random.choice(list(CATEGORY_IDS.values())))})
    return write(tmp_path / "truth.json", images, annotations)


def write(path, images, annotations, categories=CATEGORY_IDS):
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [
        {"id": number, "name": name} for name, number in categories.items()]}))
    return path


def truth_as_detections(annotation_file, jitter=0.0):
    """Return the ground truth as detections, moved by up to ``jitter`` pixels, with some false ones if it is not 0."""
    random = np.random.default_rng(1)
    content = json.loads(annotation_file.read_text())
    names = {number: name for name, number in CATEGORY_IDS.items()}
    detections = {}
    for image in content["images"]:
        own = [item for item in content["annotations"] if item["image_id"] == image["id"]]
        corners = [[x, y, x + width, y + height] for x, y, width, height in (item["bbox"] for item in own)]
        boxes = np.array(corners).reshape(-1, 4)
        labels = [CLASSES.index(names[item["category_id"]]) for item in own]
        if jitter:
            boxes = np.concatenate([boxes + random.uniform(-jitter, jitter, boxes.shape), boxes + 40])
            labels = labels + [(label + 1) % 3 for label in labels]
        detections[image["id"]] = Detections(boxes.astype(np.float32),
                                             random.uniform(0.1, 1, len(boxes)).astype(np.float32), np.array(labels))
    return detections


def pycocotools_stats(annotation_file, detections):
    """Score through a result file and COCO.loadRes, the way of pycocotools' own demo."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    results = [{"image_id": image_id, "category_id": CATEGORY_IDS[CLASSES[label]], "score": float(score),
                "bbox": [float(x1), float(y1), float(x2) - float(x1), float(y2) - float(y1)]}
               for image_id, found in detections.items()
               for (x1, y1, x2, y2), score, label in zip(found.boxes, found.scores, found.labels)]
    file = annotation_file.parent / "results.json"
    file.write_text(json.dumps(results))
    truth = COCO(str(annotation_file))
    evaluation = COCOeval(truth, truth.loadRes(str(file)), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation


def test_equals_pycocotools(annotation_file, capsys):
    detections = truth_as_detections(annotation_file, jitter=8)
    metrics = score_detections(annotation_file, detections, CLASSES).metrics
    assert capsys.readouterr().out == ""
    expected = pycocotools_stats(annotation_file, detections)
    found = [metrics.map, metrics.map50, metrics.map75, metrics.map_small, metrics.map_medium, metrics.map_large,
             metrics.ar1, metrics.ar10, metrics.ar100, metrics.ar_small, metrics.ar_medium, metrics.ar_large]
    assert found == pytest.approx(expected.stats, abs=1e-12)
    assert 0.05 < metrics.map < 0.95
    precision = expected.eval["precision"]
    for name, ap in metrics.per_class_ap.items():
        index = expected.params.catIds.index(CATEGORY_IDS[name])
        assert ap == pytest.approx(precision[:, :, index, 0, 2].mean(), abs=1e-12)
    assert metrics.images == 12
    assert metrics.detections == sum(len(found) for found in detections.values())


def test_perfect_detections_score_one(annotation_file):
    metrics = score_detections(annotation_file, truth_as_detections(annotation_file), CLASSES).metrics
    assert (metrics.map, metrics.map50, metrics.map75, metrics.ar100) == pytest.approx((1, 1, 1, 1))
    assert metrics.per_class_ap == pytest.approx({"cat": 1, "dog": 1, "hen": 1})
    assert list(metrics.per_class_ap) == list(CLASSES)


def test_no_detections_score_zero(annotation_file):
    empty = {image["id"]: Detections.empty() for image in read_annotations(annotation_file)["images"]}
    metrics = score_detections(annotation_file, empty, CLASSES).metrics
    assert (metrics.map, metrics.map50, metrics.ar100, metrics.detections) == (0, 0, 0, 0)


def test_labels_are_matched_by_class_name(annotation_file):
    detections = {image_id: Detections(found.boxes, found.scores, 2 - found.labels)
                  for image_id, found in truth_as_detections(annotation_file).items()}
    assert score_detections(annotation_file, detections, CLASSES[::-1]).metrics.map == pytest.approx(1)


def test_a_class_without_ground_truth_is_undefined(tmp_path):
    file = write(tmp_path / "truth.json", [{"id": 1, "file_name": "a.png"}],
                 [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 0}])
    found = Detections(np.float32([[0, 0, 9, 9]]), np.float32([0.9]), np.array([0]))
    metrics = score_detections(file, {1: found}, CLASSES).metrics
    assert metrics.map == pytest.approx(1)
    assert metrics.per_class_ap["cat"] == pytest.approx(1)
    assert math.isnan(metrics.per_class_ap["hen"]) and math.isnan(metrics.map_large)


def test_an_all_background_split_is_undefined(tmp_path):
    file = write(tmp_path / "truth.json", [{"id": 1, "file_name": "a.png"}], [])
    assert math.isnan(score_detections(file, {1: Detections.empty()}, CLASSES).metrics.map)


def test_skipped_images_are_left_out_with_their_ground_truth(annotation_file):
    detections = truth_as_detections(annotation_file)
    del detections[30], detections[50]
    metrics = score_detections(annotation_file, detections, CLASSES, skipped=[30, 50]).metrics
    assert metrics.map == pytest.approx(1)
    assert metrics.images == 10


def test_a_forgotten_image_is_an_error(annotation_file):
    detections = truth_as_detections(annotation_file)
    del detections[30]
    with pytest.raises(UserError, match=r"none for image ids \[30\] \(1 images\)"):
        score_detections(annotation_file, detections, CLASSES)


def test_an_unknown_image_is_an_error(annotation_file):
    with pytest.raises(UserError, match=r"image ids \[999\]"):
        score_detections(annotation_file, {**truth_as_detections(annotation_file), 999: Detections.empty()}, CLASSES)


@pytest.mark.parametrize("classes", [("cat", "dog"), ("cat", "dog", "cow"), ("cat", "dog", "hen", "cow")])
def test_classes_that_differ_are_an_error(annotation_file, classes):
    with pytest.raises(UserError, match="They must be the categories of"):
        score_detections(annotation_file, truth_as_detections(annotation_file), classes)


def test_a_label_beyond_the_classes_is_an_error(annotation_file):
    detections = truth_as_detections(annotation_file)
    detections[10] = Detections(np.zeros((1, 4)), np.ones(1), np.array([3]))
    with pytest.raises(UserError, match=r"labels 3\.\.3 in image 10"):
        score_detections(annotation_file, detections, CLASSES)


def test_a_split_without_readable_images_is_an_error(annotation_file):
    every = [image["id"] for image in read_annotations(annotation_file)["images"]]
    with pytest.raises(UserError, match="There is no image to score"):
        score_detections(annotation_file, {}, CLASSES, skipped=every)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"images": []}',
                                     '{"images": 1, "annotations": 2, "categories": 3}'])
def test_a_file_that_is_not_coco_is_an_error(tmp_path, content):
    file = tmp_path / "truth.json"
    file.write_text(content)
    with pytest.raises(UserError, match="annotation file"):
        score_detections(file, {}, CLASSES)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(UserError, match="It must be a file that can be read"):
        read_annotations(tmp_path / "absent.json")
