import numpy as np
import pytest

from core.evaluation.detections import Detections


def test_empty_has_no_rows():
    found = Detections.empty()
    assert (len(found), found.boxes.shape, found.scores.shape, found.labels.shape) == (0, (0, 4), (0,), (0,))


def test_length_is_the_number_of_boxes():
    assert len(Detections(np.zeros((3, 4)), np.zeros(3), np.zeros(3, int))) == 3


@pytest.mark.parametrize("boxes, scores, labels", [((2, 5), (2,), (2,)), ((2, 4), (3,), (2,)), ((2, 4), (2,), (1,))])
def test_shapes_that_disagree_are_refused(boxes, scores, labels):
    with pytest.raises(ValueError, match=r"must be \[N, 4\], \[N\] and \[N\]"):
        Detections(np.zeros(boxes), np.zeros(scores), np.zeros(labels, int))
