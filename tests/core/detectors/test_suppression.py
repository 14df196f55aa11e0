"""Suppression in the graph drops a box where mmcv drops it, at the limits of what a threshold may be too."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv import ConfigDict
from mmcv.ops import batched_nms
from mmdet.core import multiclass_nms

from core.detectors.suppression import LEAST_SCORE, suppress
from tests.core.detectors.comparing import compiled, run_onnx

# Two that share half of their extents, the first once more, one beside them that touches, and one without area.
BOXES = torch.tensor([[0.0, 0, 20, 10], [0, 0, 10, 10], [0, 0, 20, 10], [20, 0, 40, 10], [0, 5, 20, 5]])
SCORES = torch.tensor([[0.9, 0.2], [0.8, 0.1], [0.3, 0.7], [0.6, 0.05], [0.5, 0.4]])


class Suppressing(torch.nn.Module):
    def __init__(self, test_cfg):
        super().__init__()
        self.test_cfg = test_cfg

    def forward(self, image):
        return suppress(BOXES[None] + image.sum() * 0, SCORES[None], self.test_cfg, 0.0)


@pytest.mark.parametrize("agnostic", [False, True], ids=["by-class", "over-all"])
@pytest.mark.parametrize("threshold", [0, 0.3, 0.5, 0.7, 1.0])
def test_at_exactly_the_threshold(threshold, agnostic, tmp_path):
    suppression = {"type": "nms", "iou_threshold": threshold, "class_agnostic": agnostic}
    network, path = Suppressing(ConfigDict(nms=suppression, max_per_img=20)), tmp_path / "model.onnx"
    torch.onnx.export(network, torch.zeros(1, 3, 8, 8), str(path), input_names=["image"],
                      output_names=["boxes", "labels"], opset_version=11, autograd_inlining=False)
    found = run_onnx(path, torch.zeros(1, 3, 8, 8))
    rows, labels = found["boxes"][0], found["labels"][0]
    found = {(*row.round(4).tolist(), int(label)) for row, label in zip(rows, labels) if row[4] > LEAST_SCORE}
    pairs = torch.arange(2).repeat(len(BOXES))
    kept, places = batched_nms(BOXES.repeat_interleave(2, dim=0), SCORES.reshape(-1), pairs, suppression)
    expected = {(*row.numpy().round(4).tolist(), int(pairs[place])) for row, place in zip(kept, places)}
    if agnostic and threshold < 1:
        # Of a box without area, which overlaps not even itself, the graph keeps the best class.
        expected -= {row for row in expected if row[1] == row[3] and row[5] == 1}
    assert found == expected


BOXES_DRAWN, SIDE = 20, 12
"""Boxes of a drawn case, and the largest coordinate of a corner."""
CASES = [(0.5, False, 0.0, 60, 3), (0.5, False, 0.3, 8, 3), (0.25, True, 0.1, 60, 3), (0.75, True, 0.0, 6, 3),
         (1.0, True, 0.2, 30, 3), (0.5, False, 0.1, 10, 1)]


class Carrying(torch.nn.Module):
    """Suppresses boxes and scores that come as the values of its image."""

    def __init__(self, test_cfg, threshold, classes):
        super().__init__()
        self.test_cfg, self.threshold, self.classes = test_cfg, threshold, classes

    def forward(self, image):
        values = image[0, 0]
        return suppress(values[None, :, :4], values[None, :, 4:4 + self.classes], self.test_cfg, self.threshold)


@st.composite
def drawn(draw, classes):
    """Boxes [N, 4] with an area and corners at whole numbers, and scores [N, classes], no two alike."""
    corner = st.integers(0, SIDE - 1)
    boxes = []
    for _ in range(BOXES_DRAWN):
        left, top = draw(corner), draw(corner)
        boxes.append((left, top, draw(st.integers(left + 1, SIDE)), draw(st.integers(top + 1, SIDE))))
    scores = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).permutation(100)[:BOXES_DRAWN * classes] / 100
    return np.float32(boxes), np.float32(scores).reshape(BOXES_DRAWN, classes)


@pytest.mark.parametrize(("overlap", "agnostic", "threshold", "most", "classes"), CASES)
def test_any_boxes_are_suppressed_as_by_mmdetection(overlap, agnostic, threshold, most, classes, tmp_path):
    suppression = {"type": "nms", "iou_threshold": overlap, "class_agnostic": agnostic}
    network = Carrying(ConfigDict(nms=suppression, max_per_img=most), threshold, classes)
    image, path = torch.zeros(1, 3, BOXES_DRAWN, 4 + classes), tmp_path / "model.onnx"
    torch.onnx.export(network, image, str(path), input_names=["image"], output_names=["boxes", "labels"],
                      opset_version=11, autograd_inlining=False)
    model = compiled(path)

    @settings(max_examples=100, deadline=None)
    @given(drawn(classes))
    def same(case):
        boxes, scores = case
        image[0, 0] = torch.from_numpy(np.hstack([boxes, scores]))
        found = model(image.numpy())
        rows, labels = found["boxes"][0], found["labels"][0]
        assert rows.shape == (most, 5) and (np.diff(rows[:, 4]) <= 0).all()
        real = rows[:, 4] > 0
        assert not rows[~real].any()
        background = torch.zeros(BOXES_DRAWN, 1)
        kept, places = multiclass_nms(torch.from_numpy(boxes), torch.cat([torch.from_numpy(scores), background], dim=1),
                                      threshold, suppression, most)
        assert np.array_equal(rows[real], kept.numpy()) and np.array_equal(labels[real], places.numpy())

    same()


class CarryingOwnBoxes(Carrying):
    """Likewise, of boxes that are of one class each."""

    def forward(self, image):
        boxes, scores, labels = image[0, :1, :, :4], image[0, :1, :, 4:5], image[0, :1, :, 5].long()
        return suppress(boxes, scores, self.test_cfg, self.threshold, labels)


@st.composite
def drawn_own_boxes(draw, most_classes):
    """Boxes [N, 4] that may lie beyond an image, as of a coder that does not clip, their scores and labels [N]."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    reach = draw(st.sampled_from([40, 200, 1333]))
    corners = random.uniform(-0.3 * reach, reach, (BOXES_DRAWN, 2))
    boxes = np.hstack([corners, corners + random.uniform(1, draw(st.sampled_from([12, 150])), (BOXES_DRAWN, 2))])
    scores = random.permutation(100)[:BOXES_DRAWN] / 100
    return np.float32(boxes), np.float32(scores), random.integers(0, draw(st.integers(1, most_classes)), BOXES_DRAWN)


@pytest.mark.parametrize(("agnostic", "threshold", "classes"), [(False, 0.0, 3), (False, 0.4, 1203), (True, 0.2, 80)])
def test_boxes_of_one_class_each_are_suppressed_and_returned_as_by_mmcv(agnostic, threshold, classes, tmp_path):
    """Also where there are so many classes that a box moved beside the others and back would be another one."""
    suppression = {"type": "nms", "iou_threshold": 0.5, "class_agnostic": agnostic}
    network = CarryingOwnBoxes(ConfigDict(nms=suppression, max_per_img=BOXES_DRAWN), threshold, classes)
    image, path = torch.zeros(1, 3, BOXES_DRAWN, 6), tmp_path / "model.onnx"
    torch.onnx.export(network, image, str(path), input_names=["image"], output_names=["boxes", "labels"],
                      opset_version=11, autograd_inlining=False)
    model = compiled(path)

    @settings(max_examples=100, deadline=None)
    @given(drawn_own_boxes(classes))
    def same(case):
        boxes, scores, own = (torch.from_numpy(values) for values in case)
        image[0, 0] = torch.cat([boxes, scores[:, None], own[:, None].float()], dim=1)
        found = model(image.numpy())
        rows, labels = found["boxes"][0], found["labels"][0]
        counted = scores > threshold
        kept, places = batched_nms(boxes[counted], scores[counted], own[counted], suppression)
        assert np.array_equal(rows[:len(kept)], kept.numpy()) and not rows[len(kept):, 4].any()
        assert np.array_equal(labels[:len(kept)], own[counted][places].numpy())

    same()
