"""What all adapters build the graphs of: leaving NNCF's trace, swapping the forward function, meta data of images."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

# Of the way to the nearest other pixel: an IR of FP16 rounds mean, deviation and colour.
_SAME_PIXEL = 0.5
# A colour that is nearer to a pixel than this part of a step of 8 bits is that pixel's.
_OF_A_PIXEL = 0.1
_IMAGE_END: ContextVar[Any] = ContextVar("image_end", default=None)


@dataclass(frozen=True)
class Padding:
    """What images are padded with at the right and at the bottom, as the network sees it.

    Args:
        colours: Of each runtime that pads another one: a value for each channel that is looked at, normalised.
        distances: Of each colour, in how many steps the nearest pixel that is not of it differs.
        steps: What a difference of one in a pixel of 8 bits is in each of these channels.
        first: The first of these channels; more follow it.
    """

    colours: tuple[tuple[float, ...], ...]
    distances: tuple[float, ...]
    steps: tuple[float, ...]
    first: int = 0

    def image_end(self, img: Any) -> Any:
        """Return height and width [2] without padding of an image [1, 3, H, W], as part of the graph.

        Rows at the bottom and columns at the right that are nothing but one of the colours are taken for padding. Where
        that is the colour of a pixel, an image can end in such rows itself; a mean colour with a fraction is none's. An
        image of nothing else is all image.
        """
        import torch

        seen = img[0, self.first:self.first + len(self.steps)]
        # Of rows and of columns the extremes of each channel, which all colours share.
        extremes = [torch.stack([seen.amax(dim=dim), seen.amin(dim=dim)]) for dim in (2, 1)]
        ends = torch.stack([torch.cat([self._last_other(lines, colour, distance) for lines in extremes])
                            for colour, distance in zip(self.colours, self.distances)])
        end = ends.amin(dim=0).to(torch.long)
        return torch.where(end > 0, end, torch._shape_as_tensor(img)[2:])

    def _last_other(self, lines: Any, colour: tuple[float, ...], distance: float) -> Any:
        """Return the number [1], from 1 on, of the last of lines [2, C, N] in which something is of another colour."""
        import torch

        values, steps = (torch.tensor(numbers, dtype=lines.dtype).reshape(1, -1, 1) for numbers in (colour, self.steps))
        differs = ((lines - values) / steps).abs().amax(dim=(0, 1))
        # Counted in the graph, so that it follows the size of the input.
        number = torch.cumsum(torch.ones_like(differs), dim=0)
        return (number * (differs > _SAME_PIXEL * distance).to(differs.dtype)).amax(dim=0, keepdim=True)


def distances_to_pixels(colour: tuple[float, ...]) -> tuple[float, ...]:
    """Return of each channel how far its nearest value of 8 bits is, 0 where that is the channel's own."""
    distances = (abs(value - min(255, max(0, round(value)))) for value in colour)
    return tuple(distance if distance >= _OF_A_PIXEL else 0.0 for distance in distances)


@contextmanager
def padded_with(network: Any, padding: Padding | None) -> Iterator[None]:
    """Let exported graphs of ``network`` see, within the block, where an image ends and ``padding`` begins.

    It is looked for in what the network is called with: within NNCF's graph the image is quantized already.
    """
    if padding is None:
        yield
        return

    def look(module: Any, inputs: tuple[Any, ...]) -> None:
        _IMAGE_END.set(padding.image_end(inputs[0]))

    hook = network.register_forward_pre_hook(look)
    before = _IMAGE_END.get()
    try:
        yield
    finally:
        hook.remove()
        _IMAGE_END.set(before)


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


def image_size(img: Any) -> Any:
    """Return height and width [2] of an image [1, 3, H, W], within ``padded_with`` of what is image, in the graph."""
    import torch

    end = _IMAGE_END.get()
    return torch._shape_as_tensor(img)[2:] if end is None else end


def metas_of_any_size(img: Any) -> list[dict[str, Any]]:
    """Return the meta data of an image [1, 3, H, W] with its size and the input's as part of the graph."""
    import torch

    metas, size, whole = image_metas(img), image_size(img), torch._shape_as_tensor(img)[2:]
    metas[0].update(img_shape=(size[0], size[1], 3), img_shape_for_onnx=size, batch_input_shape=(whole[0], whole[1]))
    return metas


def tensors(value: Any) -> Iterator[Any]:
    """Yield all tensors in nested lists, tuples and dicts."""
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from tensors(item)
