import numpy as np

from core.evaluation.confusion import confusion_matrix
from core.evaluation.detections import Detections
from core.evaluation.truth import Truth

BOXES = [[0, 0, 10, 10], [20, 20, 30, 30], [50, 50, 60, 60]]
NOTHING = Truth(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0, bool))


def found(boxes, scores, labels):
    return Detections(np.float32(boxes), np.float32(scores), np.array(labels))


def test_right_wrong_missed_and_false_alarm():
    truth = {1: Truth(np.array(BOXES), np.array([0, 1, 1]), np.zeros(3, bool)), 2: NOTHING}
    detections = {1: found([BOXES[0], BOXES[1], [80, 80, 90, 90], BOXES[2]], [0.9, 0.8, 0.7, 0.29], [0, 0, 1, 1]),
                  2: Detections.empty()}
    assert confusion_matrix(truth, detections, 2).tolist() == [[1, 0, 0], [1, 0, 1], [0, 1, 0]]


def test_the_surest_detection_takes_the_box():
    truth = {1: Truth(np.array(BOXES[:1]), np.array([1]), np.zeros(1, bool))}
    detections = {1: found([BOXES[0], BOXES[0]], [0.5, 0.6], [0, 1])}
    assert confusion_matrix(truth, detections, 2).tolist() == [[0, 0, 0], [0, 1, 0], [1, 0, 0]]


def test_boxes_to_be_ignored_are_neither_missed_nor_false_alarms():
    truth = {1: Truth(np.array(BOXES[:2]), np.array([0, 0]), np.ones(2, bool))}
    detections = {1: found([BOXES[0]], [0.9], [1])}
    assert confusion_matrix(truth, detections, 2).sum() == 0


def test_every_box_and_every_sure_detection_is_counted(sample):
    from core.evaluation.truth import truth_by_image

    truth = truth_by_image(sample.truth, ("cat", "dog", "hen"))
    matrix = confusion_matrix(truth, sample.detections, 3)
    boxes = sum((~item.ignored).sum() for item in truth.values())
    assert matrix[:3].sum() == boxes and matrix[3, 3] == 0
    assert matrix.trace() > boxes / 2
