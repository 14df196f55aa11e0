"""Parts of a model that can be compressed one at a time: the quantizers of a layer, filters that are pruned together.

The graph is the ONNX that convert makes the IR of, read by OpenVINO: in the IR weights are 8-bit constants, and what
they were before is lost; in the ONNX the quantizer of a weight still stands beside it.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.base.errors import UserError
from core.compression.fake_quantize import FAKE_QUANTIZE
from core.compression.structure import structure_of_ir
from core.openvino.rounding import has_constant
from core.openvino.runtime import last_line, shared_core

# Each channel of their output is made of the same channel of their input, and of nothing else but constants.
_CHANNELWISE = {"Relu", "PRelu", "Clamp", "Elu", "Sigmoid", "Swish", "HSwish", "MaxPool", "AvgPool", "Interpolate",
                "Convert", "GroupConvolution", "BatchNormInference"}
_BETWEEN_TENSORS = {"Add", "Multiply", "Subtract"}
# Between a quantizer and the layer that it is for.
_PASSING = {"Reshape", "Transpose", "MaxPool", "AvgPool", "Interpolate", "Concat", "Relu", "Convert", "Squeeze",
            "Unsqueeze", FAKE_QUANTIZE}
_ROOT = "nncf_module"
_WITHOUT_BIAS = "/WithoutBiases"
# What the exporter adds to the name of a module that is called again.
_CALL = re.compile(r"_\d+$")


@dataclass(frozen=True)
class QuantizerGroup:
    """The places at which the quantizers of one layer act.

    Attributes:
        module: The layer's module, such as ``backbone/layer1/0/conv1``.
        layers: Names of the operations that read what is quantized.
        ports: Each an input in the graph and the quantizer's output that belongs there.
        scopes: Entries of ``ignored_scopes`` for them.
    """

    module: str
    layers: tuple[str, ...]
    ports: tuple[tuple[Any, Any], ...]
    scopes: tuple[str, ...]


@dataclass(frozen=True)
class FilterGroup:
    """Convolutions whose filters are removed together, since their outputs are added.

    Attributes:
        module: Module of the first of them.
        layers: Their names.
        norms: L2 norm of each filter, over all of them.
        readers: The convolutions that read what they write.
        scopes: Entries of ``ignored_scopes`` for them.
    """

    module: str
    layers: tuple[str, ...]
    norms: np.ndarray
    readers: tuple[Any, ...]
    scopes: tuple[str, ...]


def read_graph(onnx: Path) -> Any:
    """Return an exported ONNX file as an ``openvino.Model``.

    Raises:
        UserError: OpenVINO cannot read it.
    """
    try:
        return shared_core().read_model(onnx)
    except RuntimeError as error:
        raise UserError("ONNX model", onnx, f"OpenVINO cannot read it: {last_line(error)}",
                        "Export the model again.") from error


class Modules:
    """The modules that a graph's operations belong to, by the names that torch's exporter gives."""

    def __init__(self, operations: Iterable[Any]) -> None:
        self._known: set[tuple[str, ...]] = set()
        for operation in operations:
            steps = self._steps(operation)
            self._known.update(steps[:count] for count in range(1, len(steps)))

    def of(self, operation: Any) -> tuple[str, ...]:
        """Return the attributes that lead to an operation's module, such as ``backbone``, ``layer1``, ``0``, ``conv1``.

        Of an operation that is no module of its own, such as a sum, the last is its type; of one without such a name,
        the name is all.
        """
        steps = self._steps(operation)
        if len(steps) < 2:
            return tuple(_CALL.sub("", step) for step in steps)
        found: list[str] = []
        before, real = "", []
        for step in steps[:-1]:
            bare = _CALL.sub("", step)
            real.append(bare if bare != step and (*real, bare) in self._known else step)
            inner = real[-1].removeprefix(f"{before}.") if before else real[-1]
            found += inner.split(".")
            before = real[-1]
        own = {"Conv", "Gemm", "MatMul", "ConvTranspose"}
        return (*found, *(() if steps[-1].split("_")[0] in own else (operation.get_type_name(),)))

    def scope(self, operation: Any) -> str:
        """Return an entry of ``ignored_scopes`` for an operation; empty where its name tells no module."""
        parts = self.of(operation)
        if len(parts) < 2:
            return ""
        inner = parts[:-1] if parts[-1] == operation.get_type_name() else parts
        added = r"__i?add__" if parts[-1] == "Add" else ""
        return "{re}" + r"/\w+".join(["", *(rf"\[{re.escape(part)}\]" for part in inner)]) + f"/{added}"

    @staticmethod
    def _steps(operation: Any) -> tuple[str, ...]:
        steps = tuple(step for step in _name(operation).split("/") if step)
        return steps[1:] if steps[:1] == (_ROOT,) else steps


def remove_quantizers(model: Any) -> list[QuantizerGroup]:
    """Take every FakeQuantize out of ``model``, in place, and return the groups by which they can be put back."""
    operations = model.get_ordered_ops()
    modules, layers = Modules(operations), {layer.name for layer in structure_of_ir(model).layers}
    quantizers = [operation for operation in operations if operation.get_type_name() == FAKE_QUANTIZE]
    groups: dict[tuple[str, ...], list[tuple[Any, Any, Any]]] = {}
    for quantizer in quantizers:
        for port in quantizer.output(0).get_target_inputs():
            reader = next(_readers_behind(port.get_node(), layers))
            if reader.get_type_name() != "ShapeOf":
                groups.setdefault(modules.of(reader), []).append((reader, port, quantizer.output(0)))
    for quantizer in quantizers:
        for port in quantizer.output(0).get_target_inputs():
            port.replace_source_output(quantizer.input_value(0))
    model.validate_nodes_and_infer_types()
    return [QuantizerGroup("/".join(module), tuple(dict.fromkeys(_name(reader) for reader, *_ in places)),
                           tuple((port, output) for _, port, output in places),
                           _scopes(modules, [reader for reader, *_ in places]))
            for module, places in groups.items()]


def filter_groups(model: Any) -> list[FilterGroup]:
    """Return the groups of filters of a ``model`` without quantizers that can be removed.

    A convolution is in none where its output leaves the network, or is read or added to otherwise than by channels.
    """
    operations = model.get_ordered_ops()
    modules, layers = Modules(operations), {layer.name for layer in structure_of_ir(model).layers}
    dense = [operation for operation in operations if operation.get_type_name() == "Convolution"
             and operation.get_friendly_name() in layers]
    clusters: list[tuple[dict[str, Any], set[Any]]] = []
    for convolution in dense:
        readers, sums, _ = _behind(convolution)
        members = {_key(convolution): convolution}
        for added in sums:
            members.update({_key(origin): origin for origin in _origins(added)})
        # Calls of one module share their filters, and those of the modules that they read.
        shared = {modules.of(member) for member in members.values()} | {("reads", *modules.of(one)) for one in readers}
        touching = [other for other in clusters if other[1] & shared]
        clusters = [other for other in clusters if not other[1] & shared]
        clusters.append(({key: one for part in (*(found for found, _ in touching), members)
                          for key, one in part.items()}, shared.union(*(names for _, names in touching))))
    order = {_key(operation): place for place, operation in enumerate(operations)}
    ordered = [sorted(members.values(), key=lambda one: order[_key(one)]) for members, _ in clusters]
    return [group for members in ordered if (group := _filter_group(members, modules))]


def without_filters(group: FilterGroup, level: float) -> list[tuple[Any, Any]]:
    """Return the inputs that read a group's output, and weights for them without the share ``level`` of the filters
    that have the smallest norms."""
    from openvino.runtime import opset13

    removed = np.argsort(group.norms, kind="stable")[:int(level * len(group.norms))]
    changed = []
    for reader in group.readers:
        weight = reader.input_value(1).get_node().data.copy()
        weight[:, removed] = 0
        changed.append((reader.input(1), opset13.constant(weight).output(0)))
    return changed


def _filter_group(members: list[Any], modules: Modules) -> FilterGroup | None:
    readers: dict[str, Any] = {}
    for member in members:
        found, _, closed = _behind(member)
        if not closed or member.get_type_name() != "Convolution" or _constant_weight(member) is None:
            return None
        readers.update({_key(reader): reader for reader in found})
    if not readers or any(_constant_weight(reader) is None for reader in readers.values()):
        return None
    weights = [_constant_weight(member) for member in members]
    if len({len(weight) for weight in weights}) > 1:
        return None
    norms = np.sqrt(sum((weight.reshape(len(weight), -1).astype(np.float64) ** 2).sum(axis=1) for weight in weights))
    return FilterGroup("/".join(modules.of(members[0])), tuple(_name(member) for member in members), norms,
                       tuple(readers.values()), _scopes(modules, members))


def _scopes(modules: Modules, operations: Iterable[Any]) -> tuple[str, ...]:
    return tuple(scope for scope in dict.fromkeys(map(modules.scope, operations)) if scope)


def _behind(convolution: Any) -> tuple[list[Any], list[Any], bool]:
    """Return the convolutions that read a convolution's channels, the sums that these go through, and whether nothing
    else reads them."""
    readers, sums, closed, seen = [], [], True, set()
    waiting = [convolution]
    while waiting:
        node = waiting.pop()
        for port in node.output(0).get_target_inputs():
            reader = port.get_node()
            kind = reader.get_type_name()
            # What was taken out still reads, but nothing reads it.
            if kind == FAKE_QUANTIZE:
                continue
            if kind == "Convolution" and port.get_index() == 0:
                readers.append(reader)
            elif kind in _CHANNELWISE and port.get_index() == 0 or kind in _BETWEEN_TENSORS:
                if kind in _BETWEEN_TENSORS and not has_constant(reader):
                    sums.append(reader)
                if _key(reader) not in seen:
                    seen.add(_key(reader))
                    waiting.append(reader)
            else:
                closed = False
    return readers, sums, closed


def _origins(node: Any) -> Iterator[Any]:
    """Yield the operations whose channels a sum is made of: convolutions, or what no filter can be removed from."""
    waiting, seen = [node], set()
    while waiting:
        node = waiting.pop()
        if _key(node) in seen:
            continue
        seen.add(_key(node))
        kind = node.get_type_name()
        if kind in _CHANNELWISE:
            waiting.append(node.input_value(0).get_node())
        elif kind in _BETWEEN_TENSORS:
            waiting += [node.input_value(place).get_node() for place in range(2)
                        if node.input_value(place).get_node().get_type_name() != "Constant"]
        else:
            yield node


def _readers_behind(node: Any, layers: set[str]) -> Iterator[Any]:
    """Yield what an operation's output is for: itself, or the first layers behind what only passes it on."""
    if node.get_type_name() not in _PASSING or node.get_friendly_name() in layers:
        yield node
        return
    for port in node.output(0).get_target_inputs():
        yield from _readers_behind(port.get_node(), layers)
    yield node


def _constant_weight(convolution: Any) -> Any:
    """Return a convolution's weight as an array, None where it is no constant."""
    node = convolution.input_value(1).get_node()
    return node.data if node.get_type_name() == "Constant" else None


def _key(node: Any) -> str:
    return str(node.get_name())


def _name(operation: Any) -> str:
    return str(operation.get_friendly_name()).removesuffix(_WITHOUT_BIAS)
