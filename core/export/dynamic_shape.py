"""Whether an exported graph works for any input size.

Exported at two sizes, it must be the same graph; what cannot be known before is refused before any training.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.compression.fake_quantize import load_onnx

# What the second export's input has more than the first's: a multiple of every stride.
ADDED_SIDES = (128, 256)
_LISTED = 3


def check_dynamic_shape(dynamic_shape: bool, algorithms: Sequence[str]) -> None:
    """Check that a model compressed by these NNCF algorithms can be exported with the input that is asked for.

    Raises:
        UserError: The input is to be dynamic, and filters are pruned beside quantization.
    """
    if dynamic_shape and {"quantization", "filter_pruning"} <= set(algorithms):
        raise UserError("--dynamic-shape", "quantization with filter pruning",
                        "The Model Optimizer removes pruned filters beside FakeQuantize only where the input is fixed.",
                        "Leave the option out, or compress with one of the two.")


def require_any_size(path: Path, larger: Path, detector: str) -> None:
    """Compare the graphs of two exports of a detector that differ in nothing but their input's size.

    A tracer writes down as a constant whatever it cannot follow from the input: such a graph would give wrong boxes
    for another size, without an error.

    Args:
        path: ONNX file of the size that is wanted.
        larger: ONNX file of another size.
        detector: Its class, for the message.

    Raises:
        UserError: The graphs differ; the message names the first operators that do.
    """
    first, second = list(_operators(load_onnx(path).graph)), list(_operators(load_onnx(larger).graph))
    differing = [name for (name, content), (_, other) in zip(first, second) if content != other]
    if differing or len(first) != len(second):
        listed = ", ".join(differing[:_LISTED]) or f"{len(first)} and {len(second)} operators"
        raise UserError("--dynamic-shape", detector, "Its export depends on the size of the input in "
                        f"{max(len(differing), 1)} places ({listed}), so it works for one size alone.",
                        "Leave the option out: the input is then fixed to the size of the test pipeline.")


def _operators(graph: Any) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each operator and each constant, subgraphs within their operator's content.

    Tensors are numbered in order of their making: a tracer's own numbers go on from one export to the next.
    """
    from onnx import NodeProto

    numbers: dict[str, str] = {}
    for tensor in graph.initializer:
        yield tensor.name, tensor.SerializeToString(deterministic=True)
    for original in graph.node:
        node = NodeProto()
        node.CopyFrom(original)
        for name in original.output:
            numbers[name] = str(len(numbers))
        node.input[:] = [numbers.get(name, name) for name in original.input]
        node.output[:] = [numbers[name] for name in original.output]
        node.name = node.doc_string = ""
        yield original.name or original.op_type, node.SerializeToString(deterministic=True)
