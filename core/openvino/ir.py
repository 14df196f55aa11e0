"""From ONNX to an OpenVINO IR that describes itself."""

import contextlib
import io
import logging
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.base.digest import sha256_file
from core.base.errors import UserError
from core.compression.fake_quantize import (
    count_distinct_in_onnx,
    count_in_ir,
    count_in_onnx,
    count_int8_weights,
    count_quantized,
    expect_fake_quantize,
    load_onnx,
)
from core.compression.structure import OnnxWeights, structure_of_ir
from core.export.spec import ModelSpec, nearest_gray
from core.openvino.removal import changed_layer
from core.openvino.rounding import keep_rounding
from core.openvino.runtime import (
    MODEL_BIN,
    MODEL_INFO,
    MODEL_XML,
    SPEC_KEY,
    at_test_size,
    import_openvino,
    last_line,
    read_ir,
    usage_reporting_off,
)

MODEL_ONNX = "model.onnx"
INPUT = "image"
# Written into the IR's model_info only where filters were removed.
CHANNELS_BEFORE = "channels_before_pruning"
BYTES_BEFORE = "weight_bytes_before_pruning"
# How weights that are not 8-bit are stored.
WEIGHTS = "weights"
# Model API's wrapper of the model, and what it cannot do as the model wants it, for a person to read.
MODEL_TYPE = "model_type"
MODEL_API_NOTE = "model_api_note"
# Model API adds 1 to the labels of instance segmentation before it looks for their names.
_LABEL_BEFORE_FIRST = "no_object"

logger = logging.getLogger(__name__)

_COUNTED_NAME = re.compile(r".*_\d+")


@dataclass(frozen=True)
class IrFiles:
    """What is in an IR folder.

    Args:
        xml_sha256: SHA-256 of model.xml; ``bin_sha256`` of model.bin.
        size_mb: Size of both files in units of 1e6 bytes.
        fake_quantize_nodes: FakeQuantize operators; those of constant weights are folded and not among them.
        int8_weights: Weights stored as integers of at most 8 bits.
        channels: Filters of all convolutions; a head that runs on several pyramid levels counts on each.
        channels_before: The same before pruned filters were removed; equal where none were.
        weights_mb: Size of model.bin in units of 1e6 bytes.
        weights_mb_before: The same with the pruned filters' zeros still stored.
    """

    xml_sha256: str
    bin_sha256: str
    size_mb: float
    fake_quantize_nodes: int
    int8_weights: int
    channels: int
    channels_before: int
    weights_mb: float
    weights_mb_before: float


def convert_to_ir(onnx_dir: Path, output_dir: Path, compress_to_fp16: bool = False) -> IrFiles:
    """Convert ``model.onnx`` and ``spec.json`` to ``model.xml``, ``model.bin`` and ``spec.json``.

    The IR takes ``image``, float32 ``[1, 3, H, W]`` holding raw BGR values 0..255; channel order, mean and standard
    deviation are part of the graph. Filters that are all zero, and what reads them, are removed. The same ONNX gives
    the same bytes. The output folder appears whole or not at all and replaces an earlier one.

    Args:
        compress_to_fp16: Store weights that are not 8-bit as FP16, which its metadata then tell; computing stays FP32.

    Raises:
        UserError: A file is missing or damaged, the graph's inputs or outputs are not those of the spec, an operator
            is not supported, or a FakeQuantize operator was lost.
    """
    onnx_dir, output_dir = Path(onnx_dir), Path(output_dir)
    onnx_path = onnx_dir / MODEL_ONNX
    spec = ModelSpec.read(onnx_dir)
    graph = load_onnx(onnx_path).graph
    _check_interface(graph, spec, onnx_path)
    expect_fake_quantize(spec.fake_quantize_nodes, count_in_onnx(onnx_path), onnx_path)
    model, removed = _convert(onnx_path, spec), {}
    # A dynamic model has none but by chance: export takes pruned filters out, or refuses.
    if has_zero_filters(graph) and not spec.dynamic:
        # A clone has the same names; those that OpenVINO counts differ from conversion to conversion.
        before = model.clone()
        removed, obstacle = _zero_filters_removed(model)
        if not obstacle and (changed := changed_layer(before, model)):
            removed, obstacle = {}, f"OpenVINO's pruning transformation would change the results of {changed}"
        if obstacle:
            logger.warning("pruned filters stay in the IR as zeros: %s; results are the same", obstacle)
            model = _convert(onnx_path, spec)
    expect_fake_quantize(spec.fake_quantize_nodes, count_quantized(model), f"the IR of {onnx_path}",
                         at_least=count_distinct_in_onnx(graph))
    _name_deterministically(model, graph)
    if spec.fake_quantize_nodes:
        keep_rounding(model)
    described = {**model_info(spec), **removed, WEIGHTS: "FP16" if compress_to_fp16 else "FP32"}
    for key, value in described.items():
        model.set_rt_info(value, [MODEL_INFO, key])
    _save(model, spec, output_dir, compress_to_fp16)
    return describe_ir(output_dir)


def describe_ir(ir_dir: Path) -> IrFiles:
    """Return digests, size and quantization counts of an IR folder.

    Raises:
        UserError: A file is missing or damaged.
    """
    model, spec = read_ir(ir_dir)
    at_test_size(model, spec)
    xml, weights = Path(ir_dir) / MODEL_XML, Path(ir_dir) / MODEL_BIN
    channels, weight_bytes = structure_of_ir(model).channels, weights.stat().st_size
    return IrFiles(xml_sha256=sha256_file(xml), bin_sha256=sha256_file(weights),
                   size_mb=(xml.stat().st_size + weight_bytes) / 1e6,
                   fake_quantize_nodes=count_in_ir(model), int8_weights=count_int8_weights(model),
                   channels=channels, channels_before=_recorded(model, CHANNELS_BEFORE, channels),
                   weights_mb=weight_bytes / 1e6,
                   weights_mb_before=_recorded(model, BYTES_BEFORE, weight_bytes) / 1e6)


def has_zero_filters(graph: Any) -> bool:
    """Return whether a convolution of an ONNX graph has a filter of zeros only, as filter pruning leaves them."""
    weights = OnnxWeights(graph)
    kernels = [weights.array_of(node.input[1]) for node in graph.node if node.op_type == "Conv"]
    return any(kernel is not None and bool((kernel.reshape(len(kernel), -1) == 0).all(axis=1).any())
               for kernel in kernels)


def model_info(spec: ModelSpec) -> dict[str, str]:
    """Return the metadata that OpenVINO Model API reads, and our own.

    Mean, scale and channel order are empty because they are in the graph; Model API would apply them twice.
    """
    own = {"nncf_algorithm": " ".join(spec.algorithms), "nncf_config_sha256": spec.nncf_config_sha256,
           "checkpoint_sha256": spec.checkpoint_sha256, SPEC_KEY: spec.to_text()}
    found = model_api(spec)
    if not found[MODEL_TYPE]:
        return {**own, MODEL_API_NOTE: found[MODEL_API_NOTE]}
    names = ["_".join(name.split()) for name in spec.classes]
    return {
        **own, **found, "task_type": "instance_segmentation" if spec.has_masks else "detection",
        "labels": " ".join([_LABEL_BEFORE_FIRST, *names] if spec.has_masks else names),
        "label_ids": " ".join(str(index) for index in range(len(names))),
        "confidence_threshold": str(spec.score_threshold), "iou_threshold": str(spec.iou_threshold),
        "nms_execute": "False", "resize_type": spec.resize_type, "pad_value": str(nearest_gray(spec.pad_pixel)),
        "mean_values": "", "scale_values": "", "reverse_input_channels": "False",
    }


def model_api(spec: ModelSpec) -> dict[str, str]:
    """Return how OpenVINO Model API takes a model, whatever its family: all of them have the same outputs.

    Returns:
        ``model_type``: the wrapper that finds its boxes, empty where Model API does not know its outputs;
        ``model_api_note``: why, or in what it must differ from the runner, empty where in nothing.
    """
    if not spec.finds_boxes:
        return {MODEL_TYPE: "", MODEL_API_NOTE: "raw heads: Model API has no post-processing for them"}
    notes = []
    if spec.dynamic:
        notes.append("it needs a fixed input")
    elif (spec.resize_height, spec.resize_width) != (spec.input_height, spec.input_width):
        notes.append(f"it resizes to the whole input, {spec.input_width}x{spec.input_height}, not to "
                     f"{spec.resize_width}x{spec.resize_height}")
    if spec.keep_ratio and spec.pad_pixel != (nearest_gray(spec.pad_pixel),) * 3:
        pixel = ", ".join(f"{value:g}" for value in spec.pad_pixel)
        notes.append(f"it pads with {nearest_gray(spec.pad_pixel)} in every channel, not with BGR ({pixel})")
    return {MODEL_TYPE: "MaskRCNN" if spec.has_masks else "ssd", MODEL_API_NOTE: "; ".join(notes)}


def _check_interface(graph: Any, spec: ModelSpec, onnx_path: Path) -> None:
    initialized = {tensor.name for tensor in graph.initializer}
    # 0 stands for a dimension that is not fixed.
    inputs = {value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
              for value in graph.input if value.name not in initialized}
    outputs = [value.name for value in graph.output]
    expected = [1, 3, spec.input_height, spec.input_width]
    found = inputs.get(INPUT, [])
    fits = len(found) == 4 and all(size in (0, wanted) for size, wanted in zip(found, expected))
    if list(inputs) != [INPUT] or not fits or outputs != list(spec.outputs):
        raise UserError("ONNX model", f"{onnx_path} with inputs {inputs} and outputs {outputs}",
                        f"It must take {INPUT!r} of shape {expected} and give {' and '.join(spec.outputs)}.",
                        "Export the model again with this version of mmdet-compress.")


def _convert(onnx_path: Path, spec: ModelSpec) -> Any:
    with usage_reporting_off():
        from openvino import frontend
        from openvino.tools import mo
        from openvino.tools.mo.utils.error import BasicError

        refusals = (RuntimeError, BasicError, frontend.InitializationFailure, frontend.GeneralFailure,
                    frontend.NotImplementedFailure, frontend.OpConversionFailure, frontend.OpValidationFailure)
        sides = [-1, -1] if spec.dynamic else [spec.input_height, spec.input_width]
        try:
            # Its farewell to the Model Optimizer goes to standard output at every call.
            with contextlib.redirect_stdout(io.StringIO()), tempfile.TemporaryDirectory() as folder, _root_log_kept():
                return mo.convert_model(
                    # It writes nothing, but refuses to work where its output folder, by default the current one,
                    # cannot be written, as in a container (openvino/tools/mo/utils/cli_parser.py, writable_dir).
                    str(onnx_path), output_dir=folder, input_shape=[1, 3, *sides], layout="nchw",
                    mean_values=list(spec.mean), scale_values=list(spec.std), reverse_input_channels=spec.to_rgb,
                    compress_to_fp16=False)
        except refusals as error:
            raise UserError("ONNX model", onnx_path, f"OpenVINO cannot convert it: {last_line(error)}",
                            "Export the model again; an operator that is not supported must be left out of the graph "
                            "or replaced.") from error


@contextlib.contextmanager
def _root_log_kept() -> Iterator[None]:
    """Keep the root logger as it is: the Model Optimizer sets its level to ERROR (mo/utils/logger.py, init_logger)."""
    root = logging.getLogger()
    level, filters, handlers = root.level, list(root.filters), list(root.handlers)
    try:
        yield
    finally:
        root.setLevel(level)
        root.filters[:], root.handlers[:] = filters, handlers


class NotPruned(Exception):
    """OpenVINO's pruning transformation failed, and why."""


def _zero_filters_removed(model: Any) -> tuple[dict[str, str], str]:
    """Return what ``remove_zero_filters`` does, or why the model, which is spoilt then, must be converted again."""
    try:
        removed = remove_zero_filters(model)
    except NotPruned as error:
        return {}, f"OpenVINO's pruning transformation failed ({error})"
    emptied = emptied_layers(model)
    if emptied:
        return {}, (f"{len(emptied)} layers (such as {emptied[0]}) are multiplied by nothing but zeros, as residual "
                    "branches are before training, and OpenVINO's pruning transformation would leave nothing of them")
    return removed, ""


def remove_zero_filters(model: Any) -> dict[str, str]:
    """Remove the filters of ``model`` that are all zero, with what reads them, in place.

    It is the Model Optimizer's ``transform="Pruning"``, which also goes through interpolation here.

    Returns:
        What the IR must say of the model before, as entries of its metadata.

    Raises:
        NotPruned: The transformation failed; the model is spoilt.
    """
    with usage_reporting_off():
        from openvino._offline_transformations import apply_pruning_transformation

    before = structure_of_ir(model)
    with tempfile.TemporaryDirectory() as folder:
        xml = Path(folder) / MODEL_XML
        import_openvino().save_model(model, xml, compress_to_fp16=False)
        stored = xml.with_name(MODEL_BIN).stat().st_size
    _give_each_its_limits(model)
    try:
        resized = _interpolate_as_pad(model)
        apply_pruning_transformation(model)
        _pad_as_interpolate(model, resized)
    except RuntimeError as error:
        raise NotPruned(last_line(error)) from error
    after = structure_of_ir(model)
    logger.info("pruned filters removed: %d of %d channels, %d of %d weights", before.channels - after.channels,
                before.channels, before.parameters - after.parameters, before.parameters)
    return {CHANNELS_BEFORE: str(before.channels), BYTES_BEFORE: str(stored)}


def _give_each_its_limits(model: Any) -> None:
    """Copy the limits that FakeQuantize operations share: channels go out of each of a constant's uses apart."""
    from openvino.runtime import opset13

    for operation in model.get_ordered_ops():
        for place in range(1, 5) if operation.get_type_name() == "FakeQuantize" else ():
            limit = operation.input_value(place)
            if limit.get_node().get_type_name() == "Constant" and len(limit.get_target_inputs()) > 1:
                own = opset13.constant(limit.get_node().get_data())
                operation.input(place).replace_source_output(own.output(0))


def emptied_layers(model: Any) -> list[str]:
    """Return the convolutions of which ``remove_zero_filters`` left nothing, because zeros scale their weights."""
    return [operation.get_friendly_name() for operation in model.get_ordered_ops()
            if operation.get_type_name() in ("Convolution", "GroupConvolution")
            and 0 in operation.input_value(1).get_partial_shape().get_min_shape()]


def _interpolate_as_pad(model: Any) -> dict[str, Any]:
    """Put Pad in place of each Interpolate that enlarges height and width; return those replaced by the Pad's name.

    OpenVINO's transformation follows channels through Pad but not through Interpolate, though both treat each channel
    by itself: the filters before an FPN's way down would stay.
    """
    from openvino.runtime import opset13

    replaced = {}
    for operation in list(model.get_ordered_ops()):
        if operation.get_type_name() != "Interpolate":
            continue
        source, target = (list(port.get_shape()) for port in (operation.input_value(0), operation.output(0)))
        if len(source) != 4 or source[:2] != target[:2] or target[2] < source[2] or target[3] < source[3]:
            continue
        added = [new - old for old, new in zip(source, target)]
        pad = opset13.pad(operation.input_value(0), opset13.constant([0, 0, 0, 0]), opset13.constant(added), "constant",
                          opset13.constant(0, operation.get_output_element_type(0)))
        pad.set_friendly_name(f"{operation.get_friendly_name()}/as_pad")
        replaced[pad.get_friendly_name()] = operation
        for reader in operation.output(0).get_target_inputs():
            reader.replace_source_output(pad.output(0))
    return replaced


def _pad_as_interpolate(model: Any, replaced: dict[str, Any]) -> None:
    from openvino.runtime import opset13

    for pad in list(model.get_ordered_ops()):
        original = replaced.get(pad.get_friendly_name())
        if original is None:
            continue
        attributes = {key: value for key, value in original.get_attributes().items()
                      if key in ("mode", "coordinate_transformation_mode", "nearest_mode", "antialias", "cube_coeff")}
        # By sizes of height and width alone: the original may name the channels' number, which is another now.
        sizes = opset13.constant(list(original.output(0).get_shape())[2:])
        new = opset13.interpolate(pad.input_value(0), sizes, shape_calculation_mode="sizes",
                                  axes=opset13.constant([2, 3]), **attributes)
        new.set_friendly_name(original.get_friendly_name())
        for reader in pad.output(0).get_target_inputs():
            reader.replace_source_output(new.output(0))
    model.validate_nodes_and_infer_types()


def _recorded(model: Any, key: str, otherwise: int) -> int:
    path = [MODEL_INFO, key]
    return int(str(model.get_rt_info(path).value)) if model.has_rt_info(path) else otherwise


def _name_deterministically(model: Any, graph: Any) -> None:
    """Rename operations that OpenVINO named with a counter of its process, which differs at every conversion."""
    known = {value.name for value in [*graph.input, *graph.output, *graph.initializer]}
    known.update(*({node.name, *node.output} for node in graph.node))
    for position, operation in enumerate(model.get_ordered_ops()):
        name = operation.get_friendly_name()
        if name not in known and _COUNTED_NAME.fullmatch(name):
            operation.set_friendly_name(f"{operation.get_type_name()}/{position}")


def _save(model: Any, spec: ModelSpec, output_dir: Path, compress_to_fp16: bool) -> None:
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output_dir.parent, prefix=f".{output_dir.name}-") as beside:
        new = Path(beside) / "new"
        new.mkdir()
        import_openvino().save_model(model, new / MODEL_XML, compress_to_fp16=compress_to_fp16)
        spec.write(new)
        if output_dir.exists():
            os.replace(output_dir, Path(beside) / "old")
        os.replace(new, output_dir)
