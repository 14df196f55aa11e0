import json
import math

import numpy as np
import pytest

from core.evaluation.coco_map import score_detections
from core.evaluation.detections import Detections
from core.evaluation.matches import (
    ClassMatches,
    Interval,
    bootstrap_map_difference,
    mean_average_precision,
    precision_at_recalls,
)

CLASSES = ("cat", "dog", "hen")


@pytest.fixture
def scores(sample):
    return score_detections(sample.annotation_file, sample.detections, CLASSES)


def lowered(detections):
    """Return the detections with every second one taken away."""
    return {image: Detections(found.boxes[::2], found.scores[::2], found.labels[::2])
            for image, found in detections.items()}


def test_the_mean_of_the_curves_is_pycocotools_map(scores):
    assert mean_average_precision(list(scores.matches.values())) == pytest.approx(scores.metrics.map, abs=1e-12)
    for name, matches in scores.matches.items():
        assert precision_at_recalls(matches).mean() == pytest.approx(scores.metrics.per_class_ap[name], abs=1e-12)
    assert 0.05 < scores.metrics.map < 0.95


def test_an_image_that_counts_twice_is_as_if_it_were_there_twice(sample, scores):
    random = np.random.default_rng(0)
    weights = random.integers(0, 3, 24)
    truth = {**sample.truth, "images": [], "annotations": []}
    detections = {}
    for image, weight in zip(sample.truth["images"], weights):
        for _ in range(weight):
            number = len(truth["images"]) + 1
            truth["images"].append({**image, "id": number})
            truth["annotations"] += [{**item, "image_id": number} for item in sample.truth["annotations"]
                                     if item["image_id"] == image["id"]]
            detections[number] = sample.detections[image["id"]]
    for number, annotation in enumerate(truth["annotations"], 1):
        annotation["id"] = number
    sample.annotation_file.write_text(json.dumps(truth))
    drawn = score_detections(sample.annotation_file, detections, CLASSES).metrics
    assert mean_average_precision(list(scores.matches.values()), weights) == pytest.approx(drawn.map, abs=1e-12)


def test_the_interval_of_a_model_with_itself_is_a_point(scores):
    matches = list(scores.matches.values())
    interval = bootstrap_map_difference(matches, matches, samples=20)
    assert (interval.low, interval.high, interval.level, interval.samples) == (0, 0, 0.95, 20)


def test_the_interval_lies_around_the_difference_and_repeats(sample, scores):
    worse = score_detections(sample.annotation_file, lowered(sample.detections), CLASSES)
    pair = list(scores.matches.values()), list(worse.matches.values())
    interval = bootstrap_map_difference(*pair, samples=200)
    assert 0 < interval.low < scores.metrics.map - worse.metrics.map < interval.high < 1
    assert bootstrap_map_difference(*pair, samples=200) == interval
    assert bootstrap_map_difference(*pair, samples=200, seed=1) != interval


@pytest.mark.parametrize("positives", [[1], [0, 2, 0]])
def test_of_one_image_with_boxes_nothing_is_sure(positives):
    """It was a point, surely within any limit."""
    matches = [ClassMatches(np.ones(1), np.zeros(1, np.int64) + len(positives) // 2, np.ones((10, 1), bool),
                            np.ones((10, 1), bool), np.array(positives))]
    assert bootstrap_map_difference(matches, matches, samples=5) == Interval(-1, 1, 0.95, 5)
    two = [ClassMatches(np.ones(1), np.zeros(1, np.int64), np.ones((10, 1), bool), np.ones((10, 1), bool),
                        np.array([1, 1]))]
    assert bootstrap_map_difference(two, two, samples=5).high == 0


def test_coverage_of_the_interval_on_a_known_population():
    """Each image is found by the first model with 0.9 and by the second with 0.6: the true drop of AP is about that."""
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(40):
        pair = []
        for chance in (0.9, 0.6):
            images = np.flatnonzero(random.random(60) < chance)
            pair.append([ClassMatches(np.ones(len(images)), images, np.ones((10, len(images)), bool),
                                      np.ones((10, len(images)), bool), np.ones(60, np.int64))])
        interval = bootstrap_map_difference(*pair, samples=100, seed=int(random.integers(1000)))
        covered += interval.low <= 0.3 <= interval.high
    assert covered >= 34


def test_without_ground_truth_there_is_no_interval(sample):
    sample.annotation_file.write_text(json.dumps({**sample.truth, "annotations": []}))
    matches = list(score_detections(sample.annotation_file, sample.detections, CLASSES).matches.values())
    interval = bootstrap_map_difference(matches, matches, samples=5)
    assert math.isnan(interval.low) and math.isnan(interval.high)
