import numpy as np
import pytest

from core.evaluation.boxes import intersections_over_unions


def test_overlaps():
    first = np.array([[0, 0, 10, 10], [20, 20, 30, 30]])
    second = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10]])
    assert intersections_over_unions(first, second) == pytest.approx(np.array([[1, 1 / 3, 0], [0, 0, 0]]))


def test_outermost_pixels_make_a_box_wider():
    """Pascal VOC's boxes 0..9 and 5..14 share 5 of 15 columns."""
    assert intersections_over_unions(np.array([[0, 0, 9, 9]]), np.array([[5, 0, 14, 9]]), 1) == pytest.approx(1 / 3)


def test_boxes_without_area_and_no_boxes():
    point = np.array([[3, 3, 3, 3]])
    assert intersections_over_unions(point, point).tolist() == [[0]]
    assert intersections_over_unions(np.zeros((0, 4)), point).shape == (0, 1)
