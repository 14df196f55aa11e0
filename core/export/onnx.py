"""Export a checkpoint to ONNX with post-processing inside the graph."""

import logging
from pathlib import Path
from typing import Any, Dict, Tuple

from core.compression.tracing import forward_as, tracing_forward
from core.errors import UserError
from core.export.conversion import fast_conversion
from core.export.fake_quantize import count_in_onnx, expect_fake_quantize
from core.export.postprocessing import exportable_forward, max_detections
from core.export.spec import ModelSpec

logger = logging.getLogger(__name__)

ONNX_FILE = "model.onnx"
# 11 is the first opset with NonMaxSuppression and TopK as MMDetection's post-processing uses them.
OPSET = 11


def export_checkpoint(checkpoint: Path, output_dir: Path) -> ModelSpec:
    """Export a checkpoint's detector to ``output_dir`` as model.onnx and spec.json.

    The graph takes ``image`` float32 [1, 3, H, W], normalised, and returns ``boxes`` [1, N, 5]
    (x1, y1, x2, y2, score in input pixels) and ``labels`` [1, N]; a mask head adds ``masks`` [1, N, h, w]. Pruned
    filters are gone, except where the model is quantized too: there they are zeros.

    Raises:
        UserError: The detector has no ONNX post-processing, or a quantized model lost its FakeQuantize operators.
    """
    from core.config.adapt import algorithms_of
    from core.config.fingerprint import file_digest, json_digest
    from core.config.test_pipeline import preprocessing_of
    from core.training.model import restore_detector

    restored = restore_detector(checkpoint)
    record = restored.checkpoint.compression
    preprocessing = preprocessing_of(restored.config)
    quantizers = prepare_for_export(restored.compression) if restored.compression else 0
    output_dir = Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    size = (preprocessing.input_height, preprocessing.input_width)
    _export(restored, output_dir / ONNX_FILE, size)
    found = count_in_onnx(output_dir / ONNX_FILE)
    logger.info("FakeQuantize operators: %d quantizers in PyTorch, %d in ONNX", quantizers, found)
    expect_fake_quantize(quantizers, found, "the ONNX model")
    spec = ModelSpec(
        input_height=size[0], input_width=size[1],
        resize_height=preprocessing.resize_height, resize_width=preprocessing.resize_width,
        keep_ratio=preprocessing.keep_ratio, resize_type="fit_to_window" if preprocessing.keep_ratio else "standard",
        pad_value=_pad_value(preprocessing), mean=preprocessing.mean, std=preprocessing.std,
        to_rgb=preprocessing.to_rgb, classes=tuple(restored.checkpoint.classes),
        algorithms=algorithms_of(restored.config) if record else (), fake_quantize_nodes=found,
        nncf_config_sha256=json_digest(record.config) if record else "",
        checkpoint_sha256=file_digest(checkpoint), **_postprocessing(restored.config))
    spec.write(output_dir)
    return spec


def prepare_for_export(compression: Any) -> int:
    """Put the compressed network into its deployable form and return its number of FakeQuantize operators."""
    from core.compression.wrap import fake_quantize_operators

    detector = compression.network.get_nncf_wrapped_model()
    # Pruning counts operations before and after, for which it runs the traced forward.
    with forward_as(detector, tracing_forward(detector, compression.postprocessing)):
        _prepare_controller(compression.controller)
    return fake_quantize_operators(compression)


def _prepare_controller(controller: Any) -> None:
    children = getattr(controller, "child_ctrls", None)
    if not children:
        # Shrinks pruned layers in place and moves the model to the CPU, so it comes last.
        controller.prepare_for_export()
        return
    for child in children:
        if hasattr(child, "pruned_module_groups_info"):
            # Beside another algorithm NNCF 2.0.0 removes no filters (its prepare_for_export is not implemented):
            # they become zeros in weight, bias and batch norm, which the Model Optimizer can remove.
            child._apply_masks()
        else:
            child.prepare_for_export()


def _export(restored: Any, path: Path, size: Tuple[int, int]) -> None:
    import torch

    detector, network = restored.detector.eval().cpu(), restored.network.eval().cpu()
    forward, names = exportable_forward(detector)
    image = torch.zeros((1, 3, *size))
    with torch.no_grad(), forward_as(detector, forward), fast_conversion():
        if restored.compression is not None:
            # Operators of the export would otherwise be added to NNCF's graph.
            network.disable_dynamic_graph_building()
        torch.onnx.export(network, image, str(path), input_names=["image"], output_names=list(names),
                          opset_version=OPSET, enable_onnx_checker=False, do_constant_folding=False)


def _pad_value(preprocessing: Any) -> int:
    """Return the padding in the normalised image."""
    plain = preprocessing.mean == (0.0, 0.0, 0.0) and preprocessing.std == (1.0, 1.0, 1.0)
    padded = (preprocessing.input_height, preprocessing.input_width) != (
        preprocessing.resize_height, preprocessing.resize_width) or preprocessing.keep_ratio
    if padded and not preprocessing.pad_after_normalize and not plain:
        raise UserError("config, data.test.pipeline", "Pad before Normalize",
                        "The exported input is padded after normalisation.", "Put Normalize before Pad.")
    return preprocessing.pad_value


def _postprocessing(config: Any) -> Dict[str, Any]:
    test_cfg = config.model.get("test_cfg") or config.get("test_cfg")
    last = test_cfg.get("rcnn", test_cfg)
    return {"score_threshold": float(last.get("score_thr", 0.05)),
            "iou_threshold": float(last.get("nms", {}).get("iou_threshold", 0.5)),
            "max_detections": max_detections(test_cfg)}
