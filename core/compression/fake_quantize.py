"""Proof that a quantized model still is one: its FakeQuantize operators, counted."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.foreign_file import read_foreign
from core.base.text import shown

FAKE_QUANTIZE = "FakeQuantize"
FAKE_QUANTIZE_DOMAIN = "org.openvinotoolkit"
# protobuf reads no larger message.
_MOST_BYTES = 2 << 30
_EXPORT_AGAIN = "Export the model again."


def load_onnx(path: Path) -> Any:
    """Return an ONNX file's ModelProto; not checked, since onnx's checker refuses the operators of OpenVINO.

    Raises:
        UserError: The file is missing, empty, truncated or not ONNX.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        # Not onnx.load: it reads whatever files of this machine the tensors name.
        model = onnx.load_model_from_string(read_foreign(path, "ONNX model", _MOST_BYTES, _EXPORT_AGAIN))
    except DecodeError as error:
        raise UserError("ONNX model", path, f"It cannot be read ({shown(error)}).", _EXPORT_AGAIN) from error
    if not model.graph.output:
        raise UserError("ONNX model", path, "It holds no graph, so it is empty or truncated.",
                        _EXPORT_AGAIN)
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise UserError("ONNX model", path, "Its weights lie in other files, which are not read.", _EXPORT_AGAIN)
    return model


def count_in_onnx(path: Path) -> int:
    """Return the number of FakeQuantize operators in an ONNX file, subgraphs included."""
    return sum(node.op_type == FAKE_QUANTIZE and node.domain == FAKE_QUANTIZE_DOMAIN
               for node in _nodes(load_onnx(path).graph))


def count_distinct_in_onnx(graph: Any) -> int:
    """Return the number of FakeQuantize operators of an ONNX graph that do not repeat another one.

    OpenVINO merges operators that do the same to the same tensor: those of a weight that several levels share, or of a
    map that several layers read.
    """
    made = {tensor.name: _digest(tensor.raw_data, tensor.SerializeToString(deterministic=True)
                                 if not tensor.raw_data else str(tensor.dims).encode()) for tensor in graph.initializer}
    distinct = set()
    for node in graph.node:
        attributes = [attribute.SerializeToString(deterministic=True) for attribute in node.attribute]
        content = _digest(node.op_type.encode(), *attributes, *(made.get(name, name.encode()) for name in node.input))
        made.update({name: _digest(content, str(index).encode()) for index, name in enumerate(node.output)})
        if node.op_type == FAKE_QUANTIZE and node.domain == FAKE_QUANTIZE_DOMAIN:
            distinct.add(content)
    return len(distinct)


def _digest(*parts: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


def count_in_ir(model: Any) -> int:
    """Return the number of FakeQuantize operators in an ``openvino.Model``.

    The Model Optimizer folds the FakeQuantize of constant weights into int8 constants, so this is lower than the
    count in ONNX; ``count_int8_weights`` counts those.
    """
    return sum(operation.get_type_name() == FAKE_QUANTIZE for operation in model.get_ops())


def count_quantized(model: Any) -> int:
    """Return what is left in an ``openvino.Model`` of the FakeQuantize operators of its ONNX, folded or not."""
    return count_in_ir(model) + count_int8_weights(model)


def count_int8_weights(model: Any) -> int:
    """Return the number of 8-bit (or narrower) integer constants that an ``openvino.Model`` converts to float."""
    sources = [operation.input_value(0) for operation in model.get_ops()
               if operation.get_type_name() == "Convert" and operation.get_output_element_type(0).is_real()]
    return sum(source.get_node().get_type_name() == "Constant" and source.get_element_type().is_integral_number()
               and source.get_element_type().get_bitwidth() <= 8 for source in sources)


def expect_fake_quantize(expected: int, found: int, where: object, at_least: int | None = None) -> None:
    """Compare FakeQuantize counts of a graph.

    Args:
        at_least: What a graph without repetitions has, where they may be missing.

    Raises:
        UserError: The counts differ; a quantized model without any means its quantization was lost.
    """
    if (expected if at_least is None else at_least) <= found <= expected:
        return
    if found == 0:
        rule = f"A quantized model must keep its {expected} FakeQuantize operators; without them it is an FP32 model."
    else:
        rule = f"{expected} FakeQuantize operators were expected."
    raise UserError("FakeQuantize", f"{found} in {where}", rule,
                    "Export the compressed checkpoint with this version of mmdet-compress; "
                    "a plain torch.onnx export drops them.")


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for subgraph in [attribute.g, *attribute.graphs]:
                yield from _nodes(subgraph)
