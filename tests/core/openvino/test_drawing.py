import numpy as np
import pytest

from core.evaluation.detections import Detections
from core.openvino.drawing import GAP_PIXELS, TITLE_PIXELS, Panel, draw_panels

CLASSES = ("red cell", "größe")


def one_box(score=0.9, label=0):
    return Detections(np.float32([[10, 10, 40, 40]]), np.float32([score]), np.array([label]))


@pytest.mark.parametrize("size, panel", [((48, 64), (270, 360)), ((480, 640), (270, 360)), ((640, 480), (360, 270)),
                                         ((1, 1), (360, 360)), ((1, 2000), (1, 360))])
def test_panels_lie_side_by_side_at_a_legible_size(size, panel):
    drawn = draw_panels(np.zeros((*size, 3), np.uint8), [Panel("a", Detections.empty())] * 3, CLASSES)
    assert drawn.shape == (panel[0] + TITLE_PIXELS, 3 * panel[1] + 2 * GAP_PIXELS, 3)
    assert drawn.dtype == np.uint8


def test_boxes_are_drawn_where_they_are():
    image = np.zeros((50, 50, 3), np.uint8)
    plain = draw_panels(image, [Panel("a", Detections.empty())], CLASSES)
    drawn = draw_panels(image, [Panel("a", one_box())], CLASSES)
    scale = 360 / 50
    corner = TITLE_PIXELS + round(40 * scale), round(40 * scale)
    assert drawn[corner].any() and not plain[corner].any()
    assert not drawn[TITLE_PIXELS + round(25 * scale), round(25 * scale)].any()


def test_unsure_boxes_are_left_out():
    image = np.zeros((50, 50, 3), np.uint8)
    plain = draw_panels(image, [Panel("a", Detections.empty())], CLASSES)
    assert np.array_equal(draw_panels(image, [Panel("a", one_box(score=0.2))], CLASSES), plain)


def test_classes_differ_in_colour_and_the_image_is_not_drawn_on():
    image = np.zeros((50, 50, 3), np.uint8)
    pictures = [draw_panels(image, [Panel("a", one_box(label=label), show_scores=False)], CLASSES) for label in (0, 1)]
    assert not np.array_equal(*pictures)
    assert not image.any()
