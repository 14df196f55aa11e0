"""A faster conversion to ONNX: equal constants of the traced graph become one.

torch 1.8.1 hands each operator's conversion a Python dict of all values so far (torch/csrc/jit/passes/onnx.cpp,
BlockToONNX), so the time grows with the square of the number of nodes. Two thirds of them are constants, most of them
equal: strides, axes, flags.
"""

from contextlib import contextmanager
from typing import Any, Dict, Iterator, Tuple

_PLAIN_KINDS = ("i", "f", "s")


@contextmanager
def constants_shared() -> Iterator[None]:
    """Within the block ``torch.onnx.export`` converts graphs whose equal numbers and texts are one node."""
    import torch

    convert = torch._C._jit_pass_onnx

    def share_and_convert(graph: Any, *arguments: Any) -> Any:
        share_constants(graph)
        return convert(graph, *arguments)

    torch._C._jit_pass_onnx = share_and_convert
    try:
        yield
    finally:
        torch._C._jit_pass_onnx = convert


def share_constants(graph: Any) -> None:
    """Let equal numbers, texts and Nones of a traced ``torch._C.Graph`` be one node each; tensors stay as they are."""
    first: Dict[Tuple[str, str], Any] = {}
    for node in list(graph.nodes()):
        if node.kind() != "prim::Constant" or (node.hasAttribute("value")
                                               and node.kindOf("value") not in _PLAIN_KINDS):
            continue
        value = getattr(node, node.kindOf("value"))("value") if node.hasAttribute("value") else None
        # The type as well: True, 1 and 1.0 are equal in Python.
        known = first.setdefault((str(node.output().type()), repr(value)), node.output())
        if known is not node.output() and known.debugName() != node.output().debugName():
            node.output().replaceAllUsesWith(known)
            node.destroy()
