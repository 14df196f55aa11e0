"""Suppression in the graph drops a box where mmcv drops it, at the limits of what a threshold may be too."""

import pytest
import torch
from mmcv import ConfigDict
from mmcv.ops import batched_nms

from core.detectors.suppression import LEAST_SCORE, suppress
from tests.core.detectors.comparing import run_onnx

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
