import numpy as np
import pytest

from core.base.errors import UserError
from core.evaluation.detections import Detections
from core.evaluation.golden import choose_golden, difference, read_golden, write_golden


def detections(*rows):
    """Each row: x1, y1, x2, y2, score, label."""
    table = np.float32(rows).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


SURE = (10, 10, 50, 50, 0.9, 0)
LESS_SURE = (60, 60, 90, 90, 0.4, 1)
NOISE = (0, 0, 20, 20, 0.1, 1)


def test_what_is_written_is_read_back(tmp_path):
    (tmp_path / "scan 1.PNG").write_bytes(b"pixels")
    found = detections(SURE, LESS_SURE)
    write_golden(tmp_path / "golden", tmp_path / "scan 1.PNG", found)
    golden = read_golden(tmp_path / "golden")
    assert (golden.image.name, golden.image.read_bytes()) == ("image.png", b"pixels")
    assert difference(found, golden.detections).score_difference < 1e-6
    assert np.array_equal(golden.detections.boxes, found.boxes)


def test_nothing_found_is_written_and_read_too(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"pixels")
    write_golden(tmp_path / "golden", tmp_path / "a.jpg", Detections.empty())
    assert len(read_golden(tmp_path / "golden").detections) == 0


def test_image_with_most_sure_boxes_is_chosen():
    assert choose_golden({7: detections(NOISE, NOISE, NOISE), 5: detections(SURE), 3: detections(SURE, NOISE)}) == 3
    assert choose_golden({4: Detections.empty()}) == 4


@pytest.mark.parametrize("found, tolerable", [
    ([SURE, LESS_SURE, NOISE], True),
    ([SURE, LESS_SURE], True),
    ([(10, 10, 50, 50, 0.86, 0), LESS_SURE], True),
    ([(10, 10, 50, 50, 0.84, 0), LESS_SURE], False),
    ([(10, 10, 50, 51, 0.9, 0), LESS_SURE], True),
    ([(10, 10, 50, 56, 0.9, 0), LESS_SURE], False),
    ([(10, 10, 50, 50, 0.9, 1), LESS_SURE], False),
    ([SURE], False),
    ([SURE, LESS_SURE, (100, 100, 120, 120, 0.5, 0)], False),
    ([], False)])
def test_rounding_of_another_cpu_is_tolerated_and_nothing_else(found, tolerable):
    assert difference(detections(SURE, LESS_SURE, NOISE), detections(*found)).tolerable is tolerable


@pytest.mark.parametrize("text", [
    "", "[]", '{"image": "image.png", "boxes": [[1, 2, 3]], "scores": [1], "labels": [0]}'])
def test_damaged_record_is_refused(tmp_path, text):
    (tmp_path / "detections.json").write_text(text)
    with pytest.raises(UserError, match="golden image: .*detections.json"):
        read_golden(tmp_path)


def test_missing_image_is_refused(tmp_path):
    (tmp_path / "detections.json").write_text('{"image": "image.png", "boxes": [], "scores": [], "labels": []}')
    with pytest.raises(UserError, match="image.png. It is missing"):
        read_golden(tmp_path)
