"""Size and cost of a network, counted from the network itself: parameters, FLOPs and channels of each layer.

NNCF's own statistics echo the level that was asked for and count depthwise convolutions as if they were dense.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.base.errors import UserError
from core.results.speed import LayerChange

CONV, TRANSPOSED, LINEAR = "conv", "transposed_conv", "linear"

_ONNX_KINDS = {"Conv": CONV, "ConvTranspose": TRANSPOSED, "Gemm": LINEAR, "MatMul": LINEAR}
_IR_KINDS = {"Convolution": CONV, "GroupConvolution": CONV, "ConvolutionBackpropData": TRANSPOSED,
             "GroupConvolutionBackpropData": TRANSPOSED, "MatMul": LINEAR}
# What stands between a stored weight and the layer that uses it.
_IR_ON_WEIGHTS = ("Convert", "Multiply", "Subtract", "FakeQuantize", "Reshape", "Transpose")
_ON_WEIGHTS = ("FakeQuantize", "Identity", "Cast", "Reshape", "Transpose")

# What computes the size of a Resize.
_ON_SIZES = {
    "Gather": lambda values, attributes: values[0].take(values[1].astype(int), axis=attributes.get("axis", 0)),
    "Slice": lambda values, attributes: values[0][int(values[1].flat[0]):int(values[2].flat[0])],
    "Unsqueeze": lambda values, attributes: values[0].reshape((1, *values[0].shape)),
    "Concat": lambda values, attributes: [item for value in values for item in value],
    "Cast": lambda values, attributes: values[0].astype("int64"),
}


@dataclass(frozen=True)
class LayerCounts:
    """One convolution or fully connected layer.

    Attributes:
        name: Its name in the graph or the module.
        kind: ``conv``, ``transposed_conv`` or ``linear``.
        in_channels: Channels it reads.
        out_channels: Channels it writes: its filters.
        groups: Groups of a convolution, equal to in_channels where it is depthwise; 1 for a linear layer.
        weights: Elements of its weight; biases and batch norms, which a converter folds, are not counted.
        nonzero: Those that are not 0.
        flops: Of one pass: two for each multiplication with its addition.
    """

    name: str
    kind: str
    in_channels: int
    out_channels: int
    groups: int
    weights: int
    nonzero: int
    flops: int


@dataclass(frozen=True)
class StructureCounts:
    """The layers with weights of one network, once for each time that they run.

    Attributes:
        layers: In the order in which they run.
        parameters: Elements of all weights; a weight that several layers share counts once.
        nonzero: Those that are not 0.
    """

    layers: tuple[LayerCounts, ...]
    parameters: int
    nonzero: int

    @property
    def flops(self) -> int:
        """FLOPs of one pass, two for each multiply-accumulate."""
        return sum(layer.flops for layer in self.layers)

    @property
    def channels(self) -> int:
        """Filters of all convolutions."""
        return sum(layer.out_channels for layer in self.layers if layer.kind != LINEAR)


def changed_layers(before: StructureCounts, after: StructureCounts) -> list[LayerChange]:
    """Return the layers whose channels differ; both must be counts of the same network, compressed or not.

    Raises:
        ValueError: They have different numbers of layers.
    """
    if len(before.layers) != len(after.layers):
        raise ValueError(f"{len(before.layers)} layers before, {len(after.layers)} after")
    changes = [LayerChange(name=old.name, in_channels=(old.in_channels, new.in_channels),
                           out_channels=(old.out_channels, new.out_channels))
               for old, new in zip(before.layers, after.layers)]
    return [change for change in changes
            if change.in_channels[0] != change.in_channels[1] or change.out_channels[0] != change.out_channels[1]]


def structure_of_onnx(path: Path) -> StructureCounts:
    """Count the convolutions and fully connected layers of an ONNX file with a fixed input size.

    Raises:
        UserError: The file is damaged, or the size of a layer's output cannot be inferred.
    """
    from core.compression.fake_quantize import load_onnx

    model = load_onnx(path)
    weights, shapes = OnnxWeights(model.graph), _inferred_shapes(model)
    layers, used = [], []
    for node in model.graph.node:
        weight = weights.array_of(node.input[1]) if node.op_type in _ONNX_KINDS else None
        if weight is not None:
            used.append(weight)
            layers.append(_node_counts(node, weight, shapes, path))
    return StructureCounts(tuple(layers), *_totals(used))


def structure_of_ir(model: Any) -> StructureCounts:
    """Count the convolutions and fully connected layers of an ``openvino.Model`` with a fixed input size."""
    layers, used = [], []
    for operation in model.get_ordered_ops():
        kind = _IR_KINDS.get(operation.get_type_name())
        if kind is None:
            continue
        constant = operation.input_value(1).get_node()
        while constant.get_type_name() in _IR_ON_WEIGHTS:
            constant = constant.input_value(0).get_node()
        if constant.get_type_name() != "Constant":
            continue
        used.append(constant.data)
        source, output = (list(port.get_shape()) for port in (operation.input_value(0), operation.output(0)))
        shape = list(operation.input_value(1).get_shape())
        groups = shape[0] if operation.get_type_name().startswith("Group") else 1
        if kind == LINEAR and len(shape) == 1:
            output.append(1)
        channels = (source[-1], output[-1]) if kind == LINEAR else (source[1], output[1])
        layers.append(LayerCounts(operation.get_friendly_name(), kind, int(channels[0]), int(channels[1]), int(groups),
                                  math.prod(shape), int(np.count_nonzero(constant.data)),
                                  2 * math.prod(shape) * _positions(kind, source, output)))
    return StructureCounts(tuple(layers), *_totals(used))


def _totals(weights: Sequence[Any]) -> tuple[int, int]:
    """Return elements and non-zero elements; PyTorch exports a shared weight as equal copies, which count once."""
    different = {(array.shape, hashlib.sha256(array.tobytes()).digest()): array for array in weights}.values()
    return sum(int(array.size) for array in different), sum(int(np.count_nonzero(array)) for array in different)


def _positions(kind: str, source: Sequence[int], output: Sequence[int]) -> int:
    """Return how often a layer's weight is applied, for shapes [N, C, *spatial] or [..., features].

    A convolution applies it at each position of its output, a transposed one at each of its input. A fully connected
    layer whose weight is a vector has one feature, which its output's shape must name.
    """
    if kind == LINEAR:
        return math.prod(output[:-1])
    shape = source if kind == TRANSPOSED else output
    return shape[0] * math.prod(shape[2:])


class OnnxWeights:
    """The constants of an ONNX graph, also behind the operators that stand on weights."""

    def __init__(self, graph: Any) -> None:
        from onnx import numpy_helper

        self._arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self._before: dict[str, str] = {}
        for node in graph.node:
            if node.op_type == "Constant":
                self._arrays.update((node.output[0], numpy_helper.to_array(item.t)) for item in node.attribute
                                   if item.name == "value")
            elif node.op_type in _ON_WEIGHTS:
                self._before[node.output[0]] = node.input[0]

    def array_of(self, name: str) -> Any:
        """Return the numpy array that ``name`` is made of, None where it is no constant."""
        while name in self._before:
            name = self._before[name]
        return self._arrays.get(name)


def _inferred_shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the graph's tensors; FakeQuantize, unknown to onnx, changes none."""
    import onnx

    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    for node in plain.graph.node:
        if node.op_type == "FakeQuantize":
            node.op_type, node.domain = "Identity", ""
            del node.input[1:], node.attribute[:]
    while True:
        graph = onnx.shape_inference.infer_shapes(plain).graph
        shapes = {value.name: tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
                  for value in [*graph.input, *graph.value_info, *graph.output]}
        # A pyramid resizes a level to the size of the next, which onnx does not carry through by itself.
        if not _fold_sizes(plain.graph, shapes):
            return shapes


def _fold_sizes(graph: Any, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Replace operators that compute sizes from known shapes by constants; return whether there were any."""
    from onnx import numpy_helper
    from onnx.helper import get_attribute_value

    known = {tensor.name: tensor for tensor in graph.initializer if len(tensor.dims) < 2}
    folded = []
    for node in graph.node:
        if node.op_type == "Constant":
            known.update((node.output[0], item.t) for item in node.attribute if item.name == "value")
            continue
        if node.op_type == "Shape" and shapes.get(node.input[0]) and all(shapes[node.input[0]]):
            value = np.int64(shapes[node.input[0]])
        elif node.op_type in _ON_SIZES and all(name in known for name in node.input):
            attributes = {item.name: get_attribute_value(item) for item in node.attribute}
            value = _ON_SIZES[node.op_type]([numpy_helper.to_array(known[name]) for name in node.input], attributes)
        else:
            continue
        known[node.output[0]] = numpy_helper.from_array(np.asarray(value), node.output[0])
        folded.append(node)
    for node in folded:
        graph.initializer.append(known[node.output[0]])
        graph.node.remove(node)
    return bool(folded)


def _node_counts(node: Any, weight: Any, shapes: Mapping[str, tuple[int, ...]], path: Path) -> LayerCounts:
    kind, name = _ONNX_KINDS[node.op_type], node.name or node.output[0]
    source, output = shapes.get(node.input[0], ()), shapes.get(node.output[0], ())
    if not output or 0 in output or (kind == TRANSPOSED and (not source or 0 in source)):
        raise UserError("ONNX model", f"{path}, {name}", "The size of its output cannot be inferred.",
                        "Export the model with a fixed input size.")
    groups = next((item.i for item in node.attribute if item.name == "group"), 1)
    if kind == LINEAR and weight.ndim == 1:
        channels, output = (weight.shape[0], 1), (*output, 1)
    elif kind == LINEAR:
        transposed = any(item.name == "transB" and item.i for item in node.attribute)
        channels = tuple(reversed(weight.shape)) if transposed else weight.shape
    elif kind == TRANSPOSED:
        channels = (weight.shape[0], weight.shape[1] * groups)
    else:
        channels = (weight.shape[1] * groups, weight.shape[0])
    return LayerCounts(name, kind, int(channels[0]), int(channels[1]), int(groups), int(weight.size),
                       int(np.count_nonzero(weight)), 2 * int(weight.size) * _positions(kind, source, output))
