"""What all adapters build the graphs of: leaving NNCF's trace, swapping the forward function, meta data of images."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def untraced() -> Iterator[None]:
    """Run a block outside NNCF's graph, and leave tracing as it was even when the block raises.

    NNCF 2.0.0's own ``no_nncf_trace`` has no ``finally``: after an exception nothing is quantized any more.
    """
    # Plain detectors are exported through here too, with NNCF installed or not.
    module = sys.modules.get("nncf.torch.dynamic_graph.context")
    context = module.get_current_context() if module is not None else None
    if context is None or not context.is_tracing:
        yield
        return
    context.disable_tracing()
    try:
        yield
    finally:
        context.enable_tracing()


@contextmanager
def forward_as(detector: Any, forward: Callable[..., Any]) -> Iterator[None]:
    """Let ``detector(...)`` call ``forward`` within the block."""
    object.__setattr__(detector, "forward", forward)
    try:
        yield
    finally:
        object.__delattr__(detector, "forward")


def image_metas(img: Any) -> list[dict[str, Any]]:
    """Return the meta data that MMDetection's heads want for a batch of unscaled images [N, 3, H, W]."""
    import numpy as np

    height, width = (int(side) for side in img.shape[-2:])
    shape: tuple[int, int, int] = (height, width, 3)
    return [{"img_shape": shape, "ori_shape": shape, "pad_shape": shape, "scale_factor": np.ones(4, dtype=np.float32),
             "flip": False, "filename": "", "batch_input_shape": (height, width)} for _ in range(img.shape[0])]


def metas_of_any_size(img: Any) -> list[dict[str, Any]]:
    """Return the meta data of an image [1, 3, H, W] with its size as part of the graph."""
    import torch

    metas = image_metas(img)
    metas[0]["img_shape_for_onnx"] = torch._shape_as_tensor(img)[2:]
    return metas


def tensors(value: Any) -> Iterator[Any]:
    """Yield all tensors in nested lists, tuples and dicts."""
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from tensors(item)
