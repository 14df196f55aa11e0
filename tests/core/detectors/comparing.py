"""What a detector finds in PyTorch, beside what OpenVINO finds with its exported graph."""

import numpy as np
import torch

from core.compression.tracing import tracing_forward
from core.detectors.graph import forward_as, image_metas, padded_with
from core.detectors.registry import find_adapter
from core.export.onnx import write_onnx
from core.openvino.runtime import shared_core

# Layers that make scores and boxes: where each detector's raw outputs come from.
LAST_LAYERS = ("retina_cls", "retina_reg", "conv_cls", "conv_reg", "conv_centerness", "rpn_cls", "rpn_reg", "fc_cls",
               "fc_reg", "conv_logits", "convs_pred", "multi_level_conv", "bbox_head.cls_convs", "bbox_head.reg_convs",
               "atss_", "gfl_", "bbox_head.cls_score", "bbox_head.bbox_pred", "bbox_head.object_pred",
               "vfnet_", "tood_", "prob_module.2", "offset_module.2", "_out", "retina_bbox", "conv_loc", "conv_shape",
               "deconv2", "conv_offset", "heatmap_head.2", "wh_head.2", "offset_head.2",
               "cls_branches", "reg_branches")


def enliven(detector, image):
    """Give a detector of random weights such statistics and last layers that its scores and boxes differ."""
    detector.train()
    for module in detector.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
        if type(module).__name__ == "L2Norm":
            # It is made of memory as it was found.
            module.weight.data.fill_(module.scale)
    forward = tracing_forward(detector, False)
    with torch.no_grad():
        forward(torch.cat([image, torch.randn_like(image)]))
        detector.eval()
        handles = [module.register_forward_hook(_spread(label)) for label, module in detector.named_modules()
                   if isinstance(module, (torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.Linear))
                   and any(part in label for part in LAST_LAYERS)]
        forward(image)
    for handle in handles:
        handle.remove()
    return detector


def _spread(label):
    # Sides that offsets put on the wrong side of each other have no area, and no level to be looked at.
    width = 0.1 if "fc_reg_offset" in label else 0.5 if "reg" in label else 1.5

    def spread(module, inputs, output):
        if not hasattr(module, "was_spread"):
            module.was_spread = True
            if not output.std() > 0:
                # Offsets begin at 0.
                module.weight.data.normal_(std=0.1)
                output = type(module).forward(module, inputs[0])
            module.weight.data *= width / output.std()
        return type(module).forward(module, inputs[0])
    return spread


def detected(detector, image, end=None):
    """Return what PyTorch finds: rows [N, 5] and labels [N]. Behind ``end``, height and width, the image is padding."""
    metas = image_metas(image)
    if end is not None:
        metas[0]["img_shape"] = (*end, 3)
    with torch.no_grad():
        result = detector(img=[image], img_metas=[metas], return_loss=False, rescale=True)[0]
    boxes = result[0] if isinstance(result, tuple) else result
    return np.concatenate(boxes), np.concatenate([np.full(len(found), label) for label, found in enumerate(boxes)])


def overlaps(first, second):
    low, high = np.maximum(first[:, None, :2], second[None, :, :2]), np.minimum(first[:, None, 2:4],
                                                                                  second[None, :, 2:4])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(rows[:, 2:4] - rows[:, :2]).prod(axis=1) for rows in (first, second)]
    return shared / (areas[0][:, None] + areas[1][None] - shared + 1e-9)


def share_found(rows, labels, others, other_labels):
    """Return the share of rows that have their like among the others: class, place and score."""
    same = (overlaps(rows, others) > 0.99) & (labels[:, None] == other_labels[None]) & (
        abs(rows[:, None, 4] - others[None, :, 4]) < 1e-3)
    return same.any(axis=1).mean()


def compiled(path):
    """Return an ONNX file as OpenVINO runs it on a CPU, in FP32."""
    return shared_core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def run_onnx(path, image):
    """Return what OpenVINO finds with an ONNX file in an image [1, 3, H, W], by output."""
    return {port.any_name: value.copy() for port, value in compiled(path)(image.numpy()).items()}


def exported(detector, image, folder, padding=None):
    """Return rows [N, 5], labels [N] and the masks [N, h, w], or None, that OpenVINO finds with the exported graph."""
    adapter = find_adapter(detector)
    forward, names = adapter.exported_forward(detector)
    with forward_as(detector, forward), padded_with(detector, padding):
        write_onnx(detector, folder / "model.onnx", tuple(image.shape[-2:]), names)
    found = run_onnx(folder / "model.onnx", image)
    real = found["boxes"][0][:, 4] > adapter.score_threshold(detector)
    return found["boxes"][0][real], found["labels"][0][real], found["masks"][0] if "masks" in found else None


def with_area(rows, *others):
    """Return what belongs to boxes with an area: random weights also make points, at the border or of no distance."""
    real = (rows[:, 2:4] > rows[:, :2]).all(axis=1)
    return rows[real], *(other[real] for other in others)


def require_same_boxes(detector, image, folder, least=5, end=None, padding=None):
    """Assert that the exported graph finds the boxes that PyTorch finds, and no other; return its masks, or None."""
    rows, labels = with_area(*detected(detector, image, end))
    order = np.argsort(-rows[:, 4], kind="stable")[:find_adapter(detector).max_detections(detector)]
    rows, labels = rows[order], labels[order]
    found, found_labels, masks = exported(detector, image, folder, padding)
    found, found_labels = with_area(found, found_labels)
    assert len(rows) >= least
    assert abs(len(found) - len(rows)) <= 0.02 * len(rows)
    # Random proposals lie close to the limits of suppression, where the last bit decides.
    assert share_found(rows, labels, found, found_labels) > 0.95
    assert share_found(found, found_labels, rows, labels) > 0.95
    return masks
