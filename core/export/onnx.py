"""Export a checkpoint to ONNX with post-processing inside the graph."""

import logging
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.compression.fake_quantize import count_in_onnx, expect_fake_quantize
from core.compression.shared_weights import quantized_once
from core.detectors.graph import Padding, distances_to_pixels, forward_as, padded_with
from core.detectors.registry import find_adapter, require_supported
from core.detectors.stand_ins import for_any_size, install_stand_ins, least_opset
from core.export.dynamic_shape import ADDED_SIDES, check_dynamic_shape, require_any_size
from core.export.pruned import remove_filters
from core.export.spec import RESIZE_FIT, RESIZE_STRETCH, ModelSpec, nearest_gray

if TYPE_CHECKING:
    from core.config.test_pipeline import Preprocessing

logger = logging.getLogger(__name__)

ONNX_FILE = "model.onnx"
# 11 is the first opset with NonMaxSuppression and TopK as MMDetection's post-processing uses them.
OPSET = 11


@dataclass(frozen=True)
class ExportOptions:
    """What is a matter of choice in an exported graph.

    Args:
        dynamic_shape: Let height and width of the input differ from image to image.
        raw_heads: End at the outputs of the detector's heads, without decoding boxes and suppressing overlaps.
        opset: ONNX operator set.
    """

    dynamic_shape: bool = False
    raw_heads: bool = False
    opset: int = OPSET


def export_checkpoint(checkpoint: Path, output_dir: Path, options: ExportOptions = ExportOptions()) -> ModelSpec:
    """Export a checkpoint's detector to ``output_dir`` as model.onnx and spec.json.

    The graph takes ``image`` float32 [1, 3, H, W], normalised, and returns ``boxes`` [1, N, 5]
    (x1, y1, x2, y2, score in input pixels) and ``labels`` [1, N]; a mask head adds ``masks`` [1, N, h, w]. Raw heads
    are the maps [1, C, h, w] of each level instead. Pruned filters are gone, except where the model is quantized too
    or NNCF cannot remove them: there they are zeros.

    Raises:
        UserError: The detector has no ONNX post-processing or cannot do what ``options`` ask for, or a quantized model
            lost its FakeQuantize operators.
    """
    from core.training.model import restore_detector

    return export_model(restore_detector(checkpoint), checkpoint, output_dir, options)


def export_model(restored: Any, checkpoint: Path, output_dir: Path,
                 options: ExportOptions = ExportOptions()) -> ModelSpec:
    """Export a RestoredDetector that was read from ``checkpoint``; see :func:`export_checkpoint`.

    Raises:
        UserError: As there.
    """
    from core.config.adapt import algorithms_of
    from core.config.fingerprint import file_digest, json_digest
    from core.config.test_pipeline import preprocessing_of

    # Raw heads have no post-processing that could differ.
    adapter = (find_adapter if options.raw_heads else require_supported)(restored.detector)
    record = restored.checkpoint.compression
    preprocessing = preprocessing_of(restored.config)
    algorithms = algorithms_of(restored.config) if record else ()
    check_dynamic_shape(options.dynamic_shape, algorithms)
    quantizers = prepare_for_export(restored.compression) if restored.compression else 0
    output_dir = Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    size = (preprocessing.input_height, preprocessing.input_width)
    outputs = _export(restored, output_dir / ONNX_FILE, size, options, padding_of(preprocessing))
    found = count_in_onnx(output_dir / ONNX_FILE)
    logger.info("FakeQuantize operators: %d quantizers in PyTorch, %d in ONNX", quantizers, found)
    expect_fake_quantize(quantizers, found, "the ONNX model")
    spec = ModelSpec(
        input_height=size[0], input_width=size[1],
        resize_height=preprocessing.resize_height, resize_width=preprocessing.resize_width,
        keep_ratio=preprocessing.keep_ratio, resize_type=RESIZE_FIT if preprocessing.keep_ratio else RESIZE_STRETCH,
        pad_pixel=preprocessing.pad_pixel, mean=preprocessing.mean, std=preprocessing.std,
        to_rgb=preprocessing.to_rgb, dynamic=options.dynamic_shape, size_divisor=preprocessing.pad_size_divisor,
        outputs=outputs, classes=tuple(restored.checkpoint.classes), algorithms=algorithms, fake_quantize_nodes=found,
        nncf_config_sha256=json_digest(record.config) if record else "",
        checkpoint_sha256=file_digest(checkpoint), score_threshold=adapter.score_threshold(restored.detector),
        iou_threshold=adapter.iou_threshold(restored.detector),
        max_detections=adapter.max_detections(restored.detector))
    spec.write(output_dir)
    return spec


def prepare_for_export(compression: Any) -> int:
    """Put the compressed network into its deployable form and return its number of FakeQuantize operators."""
    from core.compression.wrap import fake_quantize_operators

    # Beside another algorithm NNCF 2.0.0 removes no filters (its prepare_for_export is not implemented): they become
    # zeros in weight, bias and batch norm, which the Model Optimizer can remove.
    children = getattr(compression.controller, "child_ctrls", None)
    for controller in children or [compression.controller]:
        if not hasattr(controller, "pruned_module_groups_info"):
            controller.prepare_for_export()
        elif children:
            controller._apply_masks()
        else:
            remove_filters(compression, controller)
    return fake_quantize_operators(compression)


def padding_of(preprocessing: "Preprocessing") -> Padding | None:
    """Return what the graph takes for padding, None where images get none."""
    if not preprocessing.pads:
        return None
    # The first is what the runner here pads with, the second what Model API does.
    pixels = tuple(dict.fromkeys((preprocessing.pad_pixel, (float(nearest_gray(preprocessing.pad_pixel)),) * 3)))
    order = -1 if preprocessing.to_rgb else 1
    distances = [distances_to_pixels(pixel[::order]) for pixel in pixels]
    best = distances[0].index(max(distances[0]))
    # A value that no pixel has tells by itself: looking at one channel takes a third of the time.
    kept = slice(best, best + 1) if distances[0][best] else slice(0, 3)
    return Padding(tuple(preprocessing.normalised(pixel)[kept] for pixel in pixels),
                   tuple(max(found[kept]) or 1.0 for found in distances),
                   tuple(1 / std for std in preprocessing.std[kept]), kept.start)


def _export(restored: Any, path: Path, size: tuple[int, int], options: ExportOptions, padding: Padding | None
            ) -> tuple[str, ...]:
    """Write the graph for an input of ``size`` (height, width) and return the names of its outputs."""
    detector, network = restored.detector.eval().cpu(), restored.network.eval().cpu()
    adapter = find_adapter(detector)
    forward, names = (adapter.raw_forward if options.raw_heads else adapter.exported_forward)(detector)
    with forward_as(detector, forward), quantized_once(network), padded_with(network, padding):
        # NNCF's graph must be free to grow: of an operator that is not in it, as none is at another size than
        # sample_size, NNCF lets go of the trace, and quantizers behind additions would be left out.
        write_onnx(network, path, size, names, options.dynamic_shape, options.opset)
        if options.dynamic_shape:
            with tempfile.TemporaryDirectory() as folder:
                larger = Path(folder) / ONNX_FILE
                write_onnx(network, larger, (size[0] + ADDED_SIDES[0], size[1] + ADDED_SIDES[1]), names, True,
                           options.opset)
                require_any_size(path, larger, type(detector).__name__)
    return names


def write_onnx(network: Any, path: Path, size: tuple[int, int], names: tuple[str, ...], dynamic: bool = False,
               opset: int = OPSET) -> None:
    """Write the graph of ``network``'s forward function.

    Args:
        network: A detector, or NNCF's network of one.
        path: The ONNX file.
        size: Height and width of its input.
        names: Of its outputs.
        dynamic: Whether other sizes are to fit, too.
        opset: ONNX's; a later one where the network samples between pixels.
    """
    import torch

    install_stand_ins()
    opset = max(opset, least_opset(network))
    torch.onnx.register_custom_op_symbolic("aten::unflatten", _unflatten, OPSET)
    # Inlined, NNCF's autograd function would lose its symbolic, and with it FakeQuantize.
    with torch.no_grad(), for_any_size(dynamic), warnings.catch_warnings():
        # The exporter warns of every shape that is a number in the graph, as all are by intention.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        torch.onnx.export(network, torch.zeros((1, 3, *size)), str(path), input_names=["image"],
                          output_names=list(names), opset_version=opset, do_constant_folding=False,
                          autograd_inlining=False,
                          dynamic_axes={"image": {2: "height", 3: "width"}} if dynamic else None)


def _unflatten(graph: Any, tensor: Any, dim: Any, sizes: Any, names: Any = None) -> Any:
    """Return the ONNX operator of ``Tensor.unflatten`` of the last dimension, which torch exports from opset 13 on.

    It is what torch.nn.MultiheadAttention does where key and value are one tensor, as in PVT.
    """
    import torch
    from torch.onnx import symbolic_helper

    rank, last = symbolic_helper._get_tensor_rank(tensor), symbolic_helper._get_const(dim, "i", "dim")
    if rank is None or last % rank != rank - 1:
        return symbolic_helper._unimplemented("aten::unflatten", "of another dimension than the last")
    # 0 keeps a side as it is; torch infers shapes only where one is left open.
    kept = graph.op("Constant", value_t=torch.tensor([-1] + [0] * (rank - 2)))
    if symbolic_helper._is_value(sizes) and sizes.node().kind() == "prim::ListConstruct":
        # Some are calculated, as in PVT, whose positions follow the size of the input.
        parts = [symbolic_helper._unsqueeze_helper(graph, size, [0]) for size in symbolic_helper._unpack_list(sizes)]
    else:
        parts = [graph.op("Constant", value_t=torch.tensor(symbolic_helper._parse_arg(sizes, "is")))]
    return graph.op("Reshape", tensor, graph.op("Concat", kept, *parts, axis_i=0))
