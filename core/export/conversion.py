"""A faster ``torch.onnx.export``, with the same operators in the result.

torch 1.8.1 hands each operator's conversion a Python dict of all values so far (torch/csrc/jit/passes/onnx.cpp,
BlockToONNX), so the time grows with the square of the number of nodes: two thirds of them are constants, most of them
equal. And it looks through all modules of conversions at every operator (torch/onnx/symbolic_registry.py,
register_version).
"""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def fast_conversion() -> Iterator[None]:
    """Within the block equal constants are converted once, and the conversions are looked up once."""
    import torch
    from torch.onnx import symbolic_registry

    convert, register = torch._C._jit_pass_onnx, symbolic_registry.register_version

    def share_and_convert(graph: Any, *arguments: Any) -> Any:
        share_constants(graph)
        return convert(graph, *arguments)

    torch._C._jit_pass_onnx = share_and_convert
    symbolic_registry.register_version = functools.lru_cache(maxsize=None)(register)
    try:
        yield
    finally:
        torch._C._jit_pass_onnx, symbolic_registry.register_version = convert, register


def share_constants(graph: Any) -> None:
    """Let equal numbers, texts and Nones of a traced ``torch._C.Graph`` be one node each; arrays stay as they are."""
    first: dict[tuple[str, str], Any] = {}
    for node in list(graph.nodes()):
        key = _key(node)
        if key is None:
            continue
        known = first.setdefault(key, node.output())
        if known is not node.output() and known.debugName() != node.output().debugName():
            node.output().replaceAllUsesWith(known)
            node.destroy()


def _key(node: Any) -> tuple[str, str] | None:
    """Return type and value of a constant that can be shared; the type because True, 1 and 1.0 are equal in Python."""
    if node.kind() != "prim::Constant":
        return None
    kind = node.kindOf("value") if node.hasAttribute("value") else ""
    value = getattr(node, kind)("value") if kind in ("i", "f", "s", "t") else None
    if kind == "t":
        # By then torch has made tensors without dimensions of all numbers (_jit_pass_erase_number_types).
        return None if value.dim() else (str(value.dtype), repr(value.item()))
    return (str(node.output().type()), repr(value)) if kind in ("", "i", "f", "s") else None
