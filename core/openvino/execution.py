"""What the runtime made of a model: in which precision each layer with weights really runs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from core.compression.structure import LayerCounts, structure_of_ir
from core.results.speed import Execution, Layer

INT8 = ("u8", "i8")
FUSED = "unknown"


def describe_execution(model: Any, compiled: Any) -> Execution:
    """Return how ``compiled``, an ``openvino.CompiledModel`` of ``model``, runs the layers that have weights.

    A FakeQuantize that is fused behind a convolution, added to another branch and quantized again, as in every residual
    block, loses its rounding in OpenVINO's CPU plugin (``core.openvino.rounding`` keeps it). PyTorch rounds, so that
    some percent of the sums would differ by one level.
    """
    kinds = {operation.get_friendly_name(): operation.get_type_name() for operation in model.get_ops()}
    executed: dict[str, tuple[str, str]] = {}
    unrounded: list[str] = []
    for operation, names in executed_operations(compiled):
        info = operation.get_rt_info()
        how = _text(info["runtimePrecision"]), _text(info["primitiveType"])
        executed.setdefault(names[0], how)
        fused = [kinds.get(name, "") for name in names]
        quantized = [place for place, kind in enumerate(fused) if kind == "FakeQuantize"]
        if how[0] in INT8 and len(quantized) > 1:
            before, between = set(fused[1:quantized[0]]), set(fused[quantized[0]:quantized[-1]])
            # Scale and bias, some of them made by the runtime, are part of the convolution itself.
            if before <= {"", "Multiply", "Add"} and "Add" in between:
                unrounded.append(names[quantized[0]])
    return executed_as(structure_of_ir(model).layers, executed, unrounded)


def executed_operations(compiled: Any) -> Iterator[tuple[Any, list[str]]]:
    """Yield each operation of the runtime, and the names of those of the model that it runs one after the other."""
    for operation in compiled.get_runtime_model().get_ordered_ops():
        info = operation.get_rt_info()
        if "originalLayersNames" in info:
            yield operation, _text(info["originalLayersNames"]).split(",")


def executed_as(layers: Sequence[LayerCounts], executed: Mapping[str, tuple[str, str]], unrounded: Sequence[str] = ()
                ) -> Execution:
    """Return the share of int8 in the work of ``layers``, and those that do not run in it.

    Args:
        executed: Precision of the arithmetic and primitive by name of a layer.
    """
    total = sum(layer.flops for layer in layers)
    how = {layer.name: executed.get(layer.name, (FUSED, FUSED)) for layer in layers}
    left = [Layer(name=layer.name, precision=how[layer.name][0], primitive=how[layer.name][1], flops=layer.flops,
                  share=layer.flops / total) for layer in layers if how[layer.name][0] not in INT8]
    int8 = total - sum(layer.flops for layer in left)
    return Execution(layers=len(layers), int8_share=int8 / total if total else 0.0, unrounded=tuple(unrounded),
                     not_int8=tuple(sorted(left, key=lambda layer: -layer.flops)))


def _text(value: Any) -> str:
    return str(getattr(value, "value", value))
