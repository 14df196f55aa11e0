import pytest

from core.data.masks import sound_mask

TRIANGLE = [1, 2, 10.5, 2, 10.5, 9]
# 4 x 3 pixels: three outside, four inside, five outside, as pycocotools writes it.
RUNS, TEXT = [3, 4, 5], "345"


def test_polygons_are_kept_as_they_are():
    assert sound_mask([TRIANGLE, [0, 0, 4, 0, 4, 4, 0, 4]], 32, 24) == [TRIANGLE, [0, 0, 4, 0, 4, 4, 0, 4]]


def test_polygons_that_are_points_or_lines_are_left_out():
    assert sound_mask([[1, 2, 3, 4], TRIANGLE, []], 32, 24) == [TRIANGLE]


@pytest.mark.parametrize("counts", [RUNS, TEXT])
def test_run_lengths_that_fill_the_image_are_kept(counts):
    assert sound_mask({"size": [3, 4], "counts": counts}, 4, 3) == {"size": [3, 4], "counts": counts}


@pytest.mark.parametrize("mask", [
    None, [], 5, "x", [[1, 2, 3, 4]], [["1"] * 6], [[1, 2, 3, 4, 5, float("nan")]], [[1, 2, 3, 4, 5, 10 ** 400]],
    [[True] * 6], [[1, 2, 3, 4, 5, 6, 7]], [TRIANGLE[0]],
    {"counts": RUNS}, {"size": [4, 3], "counts": RUNS}, {"size": [3, 4]}, {"size": [3, 4], "counts": [3, 4]},
    {"size": [3, 4], "counts": [12, -4, 4]}, {"size": [3, 4], "counts": [3.0, 4, 5]}, {"size": [3, 4], "counts": "34"},
    {"size": [3, 4], "counts": "\0"}, {"size": [3, 4], "counts": "o" * 100}, {"size": [3, 4], "counts": "34U"}])
def test_what_could_not_be_drawn_is_no_mask(mask):
    assert sound_mask(mask, 4, 3) is None


def test_long_codes_are_read_as_pycocotools_writes_them():
    import numpy
    import pycocotools.mask as coco
    drawn = numpy.zeros((300, 400), numpy.uint8, order="F")
    for column in range(20, 350, 7):
        drawn[column % 90:200 - column % 31, column:column + 3] = 1
    text = coco.encode(drawn)["counts"].decode()
    mask = {"size": [300, 400], "counts": text}
    assert sound_mask(mask, 400, 300) == mask
    assert sound_mask({"size": [300, 400], "counts": text[:-1]}, 400, 300) is None
