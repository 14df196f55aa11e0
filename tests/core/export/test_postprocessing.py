"""The exported forward finds what PyTorch finds, in standard ONNX operators, for every kind of post-processing."""

import os
import subprocess

import pytest

pytest.importorskip("mmdet", reason="needs the train environment")

import numpy as np
import torch

from core.base.errors import UserError
from core.compression.matrix import REPOSITORY, trial_config
from core.compression.preflight import find_openvino_python
from core.compression.tracing import forward_as, image_metas, tracing_forward
from core.export.postprocessing import _level_marks, exportable_forward, max_detections, score_threshold
from core.training.model import build_detector

KINDS = ("yolox_tiny", "faster_rcnn_r50", "mask_rcnn_r50", "ssd300", "fcos_r50", "atss_r50", "yolov3_mobilenetv2")
# Layers that make scores and boxes: where each detector's raw outputs come from.
LAST_LAYERS = ("retina_cls", "retina_reg", "conv_cls", "conv_reg", "conv_centerness", "rpn_cls", "rpn_reg", "fc_cls",
               "fc_reg", "conv_logits", "convs_pred", "multi_level_conv", "bbox_head.cls_convs", "bbox_head.reg_convs")
RUN_ONNX = """
import sys
import numpy as np
import openvino
model = openvino.Core().compile_model(sys.argv[1], "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
found = model(np.load(sys.argv[2])["image"])
np.savez(sys.argv[3], **{port.any_name: value for port, value in found.items()})
"""


def lively_detector(name, image, every_candidate=False):
    """Return a detector of random weights whose scores and boxes differ from each other.

    Of more than ``nms_pre`` candidates of a level PyTorch keeps the best pairs of box and class, the graph the best
    boxes; with ``every_candidate`` both keep all.
    """
    torch.manual_seed(0)
    config = trial_config(name, "int8")
    if every_candidate and "nms_pre" in config.model.test_cfg:
        config.model.test_cfg.nms_pre = 100_000
    detector = build_detector(config).train()
    for module in detector.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        tracing_forward(detector, False)(torch.cat([image, torch.randn_like(image)]))
        detector.eval()
        handles = [module.register_forward_hook(_spread(label)) for label, module in detector.named_modules()
                   if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear))
                   and any(part in label for part in LAST_LAYERS)]
        tracing_forward(detector, False)(image)
    for handle in handles:
        handle.remove()
    return detector


def _spread(label):
    def spread(module, inputs, output):
        if not hasattr(module, "was_spread"):
            module.was_spread = True
            module.weight.data *= (0.5 if "reg" in label else 1.5) / output.std()
        return type(module).forward(module, inputs[0])
    return spread


def detected(detector, image):
    with torch.no_grad():
        result = detector(img=[image], img_metas=[image_metas(image)], return_loss=False, rescale=True)[0]
    boxes = result[0] if isinstance(result, tuple) else result
    rows = np.concatenate(boxes)
    labels = np.concatenate([np.full(len(found), label) for label, found in enumerate(boxes)])
    return rows, labels


def overlaps(first, second):
    low, high = np.maximum(first[:, None, :2], second[None, :, :2]), np.minimum(first[:, None, 2:4],
                                                                                  second[None, :, 2:4])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(rows[:, 2:4] - rows[:, :2]).prod(axis=1) for rows in (first, second)]
    return shared / (areas[0][:, None] + areas[1][None] - shared + 1e-9)


def exported(detector, image, folder):
    """Return rows [N, 5], labels [N] and the shape of the masks that OpenVINO finds with the exported graph."""
    python = find_openvino_python()
    if python is None:
        pytest.skip("needs the openvino environment")
    forward, names = exportable_forward(detector)
    with torch.no_grad(), forward_as(detector, forward):
        torch.onnx.export(detector, image, str(folder / "model.onnx"), input_names=["image"],
                          output_names=list(names), opset_version=11, do_constant_folding=False)
    np.savez(folder / "in.npz", image=image.numpy())
    subprocess.run([str(python), "-c", RUN_ONNX, str(folder / "model.onnx"), str(folder / "in.npz"),
                    str(folder / "out.npz")], check=True, cwd=str(REPOSITORY), env={**os.environ})
    with np.load(folder / "out.npz") as found:
        real = found["boxes"][0][:, 4] > score_threshold(detector, detector.test_cfg)
        masks = found["masks"].shape[1:] if "masks" in found else None
        return found["boxes"][0][real], found["labels"][0][real], masks


def picture(name):
    height, width = trial_config(name, "int8").nncf_config.input_info.sample_size[-2:]
    torch.manual_seed(1)
    return torch.randn(1, 3, height, width) * 2


def share_found(rows, labels, others, other_labels):
    """Return the share of rows that have their like among the others: class, place and score."""
    same = (overlaps(rows, others) > 0.99) & (labels[:, None] == other_labels[None]) & (
        abs(rows[:, None, 4] - others[None, :, 4]) < 1e-3)
    return same.any(axis=1).mean()


@pytest.mark.e2e
@pytest.mark.parametrize("name", KINDS)
def test_openvino_finds_the_same_in_the_exported_graph(name, tmp_path):
    image = picture(name)
    detector = lively_detector(name, image, every_candidate=True)
    rows, labels = detected(detector, image)
    found, found_labels, masks = exported(detector, image, tmp_path)
    best = np.argsort(-rows[:, 4], kind="stable")[:len(found)]
    assert len(found) == min(len(best), max_detections(detector.test_cfg))
    assert len(best) >= 5
    # Random proposals lie close to the limits of suppression, where the last bit decides.
    assert share_found(rows[best], labels[best], found, found_labels) > 0.9
    assert masks == ((100, 28, 28) if name == "mask_rcnn_r50" else None)


@pytest.mark.e2e
@pytest.mark.parametrize("name", ["fcos_r50", "atss_r50", "yolov3_mobilenetv2"])
def test_the_threshold_is_for_the_class_alone_where_pytorch_compares_that(name, tmp_path):
    image = picture(name)
    detector = lively_detector(name, image, every_candidate=True)
    for config in (detector.test_cfg, detector.bbox_head.test_cfg):
        config.update(score_thr=0.7, max_per_img=2000)
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
    assert torch.equal(_level_marks(levels, most, torch.rand(1, sum(counts), 1)), expected)


def test_number_of_detections_comes_from_the_last_stage():
    assert max_detections({"rpn": {"max_per_img": 1000}, "rcnn": {"max_per_img": 50}}) == 50
    assert max_detections({"max_per_img": 200}) == 200
    assert max_detections({"score_thr": 0.01}) == 100


def test_a_detector_without_onnx_export_is_refused():
    class Detector(torch.nn.Module):
        pass

    with pytest.raises(UserError) as caught:
        exportable_forward(Detector())
    assert caught.value.value == "Detector"
