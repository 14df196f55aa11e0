"""What NNCF may see of a detector: the patches that keep the rest out of its graph."""

import functools
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, Tuple

# Methods that run outside NNCF's graph, by why. NNCF places a quantizer on an operator by its address (scope, name,
# call number), so an operator that runs only in training or only in testing would shift the numbers of those after it.
UNTRACED_METHODS: Dict[str, str] = {
    "loss": "target assignment and losses run in training only and would grow the graph",
    "get_bboxes": "box decoding works on coordinates, which 8 bits cannot hold",
    "onnx_export": "the exported post-processing, for the same reason",
}


@contextmanager
def untraced() -> Iterator[None]:
    """Run a block outside NNCF's graph, and leave tracing as it was even when the block raises.

    NNCF 2.0.0's own ``no_nncf_trace`` has no ``finally``: after an exception nothing is quantized any more.
    """
    from nncf.torch.dynamic_graph.context import get_current_context

    context = get_current_context()
    if context is None or not context.is_tracing:
        yield
        return
    context.disable_tracing()
    try:
        yield
    finally:
        context.enable_tracing()


def keep_out_of_graph(detector: Any) -> None:
    """Patch ``detector``'s heads so that the methods of UNTRACED_METHODS run outside NNCF's graph."""
    for module in detector.modules():
        for name in UNTRACED_METHODS:
            method = getattr(module, name, None)
            if module is not detector and callable(method) and not hasattr(method, "_runs_untraced"):
                # Straight into the instance: nn.Module would look for a parameter or a submodule.
                object.__setattr__(module, name, _untraced_method(method))


def _untraced_method(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def run(*args: Any, **kwargs: Any) -> Any:
        with untraced():
            return method(*_plain(args), **_plain(kwargs))

    run._runs_untraced = True  # type: ignore[attr-defined]
    return run


def _plain(value: Any) -> Any:
    """Return ``value`` with NNCF's traced tensors as ordinary ones: some mmdet operators refuse the subclass."""
    import torch
    from nncf.torch.dynamic_graph.trace_tensor import TracedTensor

    if isinstance(value, TracedTensor):
        return value.as_subclass(torch.Tensor)
    if isinstance(value, dict):
        return type(value)((key, _plain(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return type(value)(_plain(item) for item in value)
    return value


@contextmanager
def forward_as(detector: Any, forward: Callable[..., Any]) -> Iterator[None]:
    """Let ``detector(...)`` call ``forward`` within the block."""
    object.__setattr__(detector, "forward", forward)
    try:
        yield
    finally:
        object.__delattr__(detector, "forward")


def tracing_forward(detector: Any, postprocessing: bool) -> Callable[..., Any]:
    """Return the forward function that NNCF traces: ``forward(img, **ignored)`` with ``img`` [N, 3, H, W].

    Args:
        detector: A single-stage MMDetection detector.
        postprocessing: Go on through box decoding and non-maximum suppression instead of ending at the raw heads.
    """
    def raw_heads(img: Any, **kwargs: Any) -> Any:
        return detector.forward_dummy(img)

    def with_postprocessing(img: Any, **kwargs: Any) -> Any:
        features = detector.extract_feat(img)
        return detector.bbox_head.simple_test(features, image_metas(img), rescale=False)

    return with_postprocessing if postprocessing else raw_heads


def image_metas(img: Any) -> List[Dict[str, Any]]:
    """Return the meta data that MMDetection's heads want for a batch of unscaled images [N, 3, H, W]."""
    height, width = (int(side) for side in img.shape[-2:])
    shape: Tuple[int, int, int] = (height, width, 3)
    return [{"img_shape": shape, "ori_shape": shape, "pad_shape": shape, "scale_factor": (1.0, 1.0, 1.0, 1.0),
             "flip": False, "filename": "", "batch_input_shape": (height, width)} for _ in range(img.shape[0])]
