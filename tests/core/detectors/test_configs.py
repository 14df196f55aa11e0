"""The detectors of configs/ find in OpenVINO what they find in PyTorch, in standard ONNX operators."""

import pytest
import torch

from core.detectors.building import build_detector
from core.detectors.two_stage import level_marks
from scripts.trial_configs import trial_config
from tests.core.detectors.comparing import detected, enliven, exported, require_same_boxes, share_found

KINDS = ("yolox_tiny", "faster_rcnn_r50", "mask_rcnn_r50", "ssd300", "fcos_r50", "atss_r50", "yolov3_mobilenetv2")


def lively(config):
    """Return a detector of random weights whose scores and boxes differ, and an image of the config's size."""
    torch.manual_seed(1)
    image = torch.randn(1, 3, *config.nncf_config.input_info.sample_size[-2:]) * 2
    torch.manual_seed(0)
    return enliven(build_detector(config), image), image


@pytest.mark.detectors
@pytest.mark.parametrize("name", KINDS)
def test_openvino_finds_the_same_in_the_exported_graph(name, tmp_path):
    masks = require_same_boxes(*lively(trial_config(name, "int8")), tmp_path)
    assert (None if masks is None else masks.shape) == ((100, 28, 28) if name == "mask_rcnn_r50" else None)


@pytest.mark.detectors
@pytest.mark.parametrize("name", ["yolox_tiny", "ssd300", "yolov3_mobilenetv2"])
def test_suppression_over_all_classes(name, tmp_path):
    config = trial_config(name, "int8")
    # Of 10,000 candidates or more PyTorch suppresses class by class nevertheless (mmcv/ops/nms.py, batched_nms).
    config.model.test_cfg.nms.update(class_agnostic=True, split_thr=1_000_000)
    require_same_boxes(*lively(config), tmp_path)


@pytest.mark.detectors
def test_a_head_that_weighs_samples_otherwise_decodes_as_its_parent(tmp_path):
    config = trial_config("ssdlite_mobilenetv2", "int8")
    config.model.bbox_head.type = "PISASSDHead"
    require_same_boxes(*lively(config), tmp_path)


@pytest.mark.detectors
@pytest.mark.parametrize("name", ["fcos_r50", "atss_r50", "yolov3_mobilenetv2"])
def test_the_threshold_is_for_the_class_alone_where_pytorch_compares_that(name, tmp_path):
    config = trial_config(name, "int8")
    config.model.test_cfg.update(score_thr=0.7, max_per_img=2000)
    detector, image = lively(config)
    rows, labels = detected(detector, image)
    assert (rows[:, 4] < 0.7).mean() > 0.1
    found, found_labels, _ = exported(detector, image, tmp_path)
    assert len(found) == len(rows)
    assert share_found(rows, labels, found, found_labels) > 0.9
    assert share_found(found, found_labels, rows, labels) > 0.9


@pytest.mark.parametrize("most, counts", [(0, (24, 6, 3)), (-1, (24, 6, 3)), (5, (5, 5, 3)), (100, (24, 6, 3))])
def test_rows_of_proposals_are_marked_with_their_level(most, counts):
    levels = [torch.zeros(1, 3, 2, 4), torch.zeros(1, 3, 1, 2), torch.zeros(1, 3, 1, 1)]
    expected = torch.eye(3)[[level for level, count in enumerate(counts) for _ in range(count)]]
    assert torch.equal(level_marks(levels, most, torch.rand(1, sum(counts), 1)), expected)
