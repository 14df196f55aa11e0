import math
import re

import numpy as np
import pytest

from core.evaluation.coco_map import score_detections
from core.evaluation.detections import Detections
from core.evaluation.truth import Truth, truth_by_image
from core.evaluation.voc_map import voc_average_precisions, voc_mean_average_precision

CLASSES = ("cat", "dog", "hen")
BOX = [10, 10, 20, 20]


def truth(boxes, labels, ignored=None):
    return Truth(np.array(boxes, float).reshape(-1, 4), np.array(labels, np.int64),
                 np.array(ignored or [False] * len(labels), bool))


def found(boxes, scores, labels):
    return Detections(np.float32(boxes).reshape(-1, 4), np.float32(scores), np.array(labels, np.int64))


def test_a_second_detection_of_a_box_is_false():
    aps = voc_average_precisions({1: truth([BOX, [50, 50, 60, 60]], [0, 0])},
                                 {1: found([BOX, BOX, [50, 50, 60, 60]], [0.9, 0.8, 0.7], [0, 0, 0])}, 1)
    assert aps == pytest.approx([0.5 * 1 + 0.5 * 2 / 3])


def test_difficult_boxes_count_neither_way():
    aps = voc_average_precisions({1: truth([BOX, [50, 50, 60, 60]], [0, 0], [True, False])},
                                 {1: found([BOX, [50, 50, 60, 60]], [0.9, 0.8], [0, 0])}, 1)
    assert aps == [1]


def test_recall_that_is_not_reached_counts_nothing():
    aps = voc_average_precisions({1: truth([BOX, [50, 50, 60, 60]], [0, 0])}, {1: found([BOX], [0.9], [0])}, 1)
    assert aps == pytest.approx([0.5])


def test_classes_without_boxes_are_undefined_and_left_out_of_the_mean():
    aps = voc_average_precisions({1: truth([BOX], [0])}, {1: found([BOX], [0.9], [0])}, 2)
    assert aps[0] == 1 and math.isnan(aps[1])
    assert voc_mean_average_precision(aps) == 1
    assert math.isnan(voc_mean_average_precision([math.nan]))


XML = """<annotation><size><width>400</width><height>300</height><depth>3</depth></size>{}</annotation>"""
OBJECT = ("<object><name>{}</name><difficult>{}</difficult><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax>"
          "<ymax>{}</ymax></bndbox></object>")


def write_voc(folder, sample):
    """Write a sample as Pascal VOC's files: corners count from 1."""
    for name in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (folder / name).mkdir(parents=True)
    stems = [re.sub(r"\.png$", "", image["file_name"]) for image in sample.truth["images"]]
    (folder / "ImageSets/Main/test.txt").write_text("\n".join(stems))
    for image, stem in zip(sample.truth["images"], stems):
        objects = [OBJECT.format(CLASSES[item["category_id"] - 1], item["iscrowd"], *(int(value) + 1 for value in (
            item["bbox"][0], item["bbox"][1], item["bbox"][0] + item["bbox"][2], item["bbox"][1] + item["bbox"][3])))
            for item in sample.truth["annotations"] if item["image_id"] == image["id"]]
        (folder / "Annotations" / f"{stem}.xml").write_text(XML.format("".join(objects)))


def test_equals_mmdetections_voc_dataset(tmp_path, sample):
    """The same detections through VOCDataset.evaluate, with its own reading of Pascal VOC's files."""
    from mmdet import datasets
    root = tmp_path / "VOC2012"
    write_voc(root, sample)
    dataset = datasets.VOCDataset(ann_file=str(root / "ImageSets/Main/test.txt"), img_prefix=str(root), pipeline=[],
                                  classes=CLASSES, test_mode=True)
    dataset.img_prefix = str(root)
    expected = dataset.evaluate(per_class(sample.detections), logger="silent")["mAP"]
    aps = voc_average_precisions(truth_by_image(sample.truth, CLASSES), sample.detections, 3)
    assert voc_mean_average_precision(aps) == pytest.approx(expected, abs=1e-6)
    assert 0.05 < expected < 0.95


def test_equals_mmdetections_coco_dataset(sample, monkeypatch):
    """CocoDataset.evaluate on the same detections; its own figures are rounded, those it rounds are not."""
    import mmdet.datasets.coco as module

    evaluations = []

    class Recorded(module.COCOeval):
        def summarize(self):
            super().summarize()
            evaluations.append(self)

    monkeypatch.setattr(module, "COCOeval", Recorded)
    dataset = module.CocoDataset(ann_file=str(sample.annotation_file), pipeline=[], classes=CLASSES, test_mode=True)
    rounded = dataset.evaluate(per_class(sample.detections), metric="bbox", logger="silent",
                               proposal_nums=(1, 10, 100))
    metrics = score_detections(sample.annotation_file, sample.detections, CLASSES).metrics
    ours = [metrics.map, metrics.map50, metrics.map75, metrics.map_small, metrics.map_medium, metrics.map_large,
            metrics.ar1, metrics.ar10, metrics.ar100, metrics.ar_small, metrics.ar_medium, metrics.ar_large]
    (evaluation,) = evaluations
    assert [value for value in ours if not math.isnan(value)] == pytest.approx(
        [value for value in evaluation.stats if value != -1], abs=1e-6)
    assert rounded["bbox_mAP"] == pytest.approx(metrics.map, abs=6e-4)
    assert 0.05 < metrics.map < 0.95


def per_class(detections):
    """Return detections as MMDetection's models do: for each image a list over classes of [N, 5]."""
    return [[np.concatenate([item.boxes, item.scores[:, None]], axis=1)[item.labels == label] for label in range(3)]
            for item in detections.values()]
