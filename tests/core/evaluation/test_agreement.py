import numpy as np
import pytest

from core.evaluation.agreement import compare
from core.evaluation.detections import Detections

BOX, NEAR, FAR = [0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]


def found(*rows):
    """Return detections from rows of (box, score, label)."""
    if not rows:
        return Detections.empty()
    boxes, scores, labels = zip(*rows)
    return Detections(np.float32(boxes), np.float32(scores), np.array(labels))


def test_a_model_agrees_with_itself():
    both = {1: found((BOX, 0.9, 0), (FAR, 0.4, 1)), 2: found()}
    agreement = compare(both, both)
    assert agreement.to_json() == {"matched": 2, "only_first": 0, "only_second": 0, "cut_off": 0, "share": 1.0,
                                   "largest_score_difference": 0.0, "mean_score_difference": 0.0, "smallest_iou": 1.0,
                                   "min_score": 0.3, "iou": 0.5}


def test_the_worst_image_comes_first():
    first = {1: found((BOX, 0.9, 0)), 2: found((BOX, 0.9, 0), (FAR, 0.8, 0)), 3: found((BOX, 0.9, 0))}
    second = {1: found((NEAR, 0.6, 0)), 2: found((BOX, 0.9, 0)), 3: found((BOX, 0.9, 1))}
    agreement = compare(first, second)
    assert [item.image for item in agreement.images] == [3, 2, 1]
    assert [(item.matched, item.only_first, item.only_second) for item in agreement.images] == [
        (0, 1, 1), (1, 1, 0), (1, 0, 0)]
    totals = agreement.to_json()
    assert totals["largest_score_difference"] == pytest.approx(0.3)
    assert totals["smallest_iou"] == pytest.approx(0.9)
    assert totals["share"] == pytest.approx(4 / 7)


def test_each_box_has_one_partner_the_nearest():
    agreement = compare({1: found((BOX, 0.9, 0), (NEAR, 0.8, 0))}, {1: found((BOX, 0.7, 0))})
    (image,) = agreement.images
    assert (image.matched, image.only_first, image.score_differences) == (1, 1, pytest.approx((0.2,)))


def test_a_partner_just_below_the_threshold_is_a_partner():
    agreement = compare({1: found((BOX, 0.31, 0))}, {1: found((BOX, 0.29, 0), (FAR, 0.2, 0))})
    assert (agreement.images[0].matched, agreement.images[0].only_first, agreement.images[0].only_second) == (1, 0, 0)


def test_images_that_one_did_not_see_are_not_compared_and_nothing_agrees_with_nothing():
    agreement = compare({1: found(), 2: found((BOX, 0.9, 0))}, {1: found()})
    assert [item.image for item in agreement.images] == [1]
    assert agreement.share == 1 and agreement.to_json()["largest_score_difference"] is None


@pytest.mark.parametrize("score, limit, expected", [
    (0.4, 2, (0, 1)), (0.5, 2, (0, 1)), (0.51, 2, (1, 0)),  # not above the lowest score, and above it
    (0.4, 3, (1, 0)), (0.4, None, (1, 0))])  # the other list has a place left, or its limit is not known
def test_a_box_that_a_full_list_has_no_place_for_is_no_disagreement(score, limit, expected):
    full = {1: found((BOX, 0.9, 0), ([20, 20, 30, 30], 0.5, 0))}
    more = {1: found((BOX, 0.9, 0), ([20, 20, 30, 30], 0.5, 0), (FAR, score, 0))}
    for agreement, side in ((compare(more, full, (100, limit)), "only_first"),
                            (compare(full, more, (limit, 100)), "only_second")):
        (image,) = agreement.images
        assert (getattr(image, side), image.cut_off) == expected
        assert image.disagreement == expected[0]
        assert agreement.share == (1.0 if expected[1] else pytest.approx(4 / 5))


def test_both_lists_can_be_full():
    first = {1: found((BOX, 0.9, 0), (FAR, 0.45, 0))}
    second = {1: found((BOX, 0.9, 0), ([20, 20, 30, 30], 0.4, 0))}
    (image,) = compare(first, second, (2, 2)).images
    assert (image.matched, image.only_first, image.only_second, image.cut_off) == (1, 1, 0, 1)
