"""Attention within shifted windows, whose mask is a constant of the exported graph."""

from functools import lru_cache
from typing import Any


def shifted_window_attention(layer: Any, query: Any, hw_shape: tuple[int, int]) -> Any:
    """Return what ShiftWindowMSA.forward of mmdet 2.28.2 returns for tokens [N, height * width, C].

    There the mask of the windows that a shift makes of parts of the image is filled in by slices at every call, which
    torch traces as hundreds of operators: exporting a Swin transformer took minutes.
    """
    import torch
    from torch.nn import functional

    (height, width), side, shift = map(int, hw_shape), layer.window_size, layer.shift_size
    count, channels = query.shape[0], int(query.shape[2])
    rows, columns = (-(-length // side) for length in (height, width))
    size = rows * side, columns * side
    image = functional.pad(query.view(count, height, width, channels),
                           (0, 0, 0, size[1] - width, 0, size[0] - height))
    mask = None
    if shift:
        image = torch.roll(image, shifts=(-shift, -shift), dims=(1, 2))
        mask = torch.tensor(_mask(*size, side, shift), device=query.device)
    windows = image.view(count, rows, side, columns, side, channels).permute(0, 1, 3, 2, 4, 5)
    windows = layer.w_msa(windows.reshape(-1, side * side, channels), mask=mask)
    image = windows.view(count, rows, columns, side, side, channels).permute(0, 1, 3, 2, 4, 5)
    image = image.reshape(count, *size, channels)
    if shift:
        image = torch.roll(image, shifts=(shift, shift), dims=(1, 2))
    return layer.drop(image[:, :height, :width, :].reshape(count, height * width, channels))


@lru_cache(maxsize=64)
def _mask(height: int, width: int, side: int, shift: int) -> Any:
    """Return float32 [windows, side * side, side * side]: -100 where two tokens are of different parts of the image."""
    import numpy as np

    # The shift makes three bands of rows and of columns, which were no neighbours: all but the last window, and its two
    # parts.
    bands = [np.searchsorted([length - side, length - shift], np.arange(length), side="right")
             for length in (height, width)]
    parts = 3 * bands[0][:, None] + bands[1][None]
    windows = parts.reshape(height // side, side, width // side, side).transpose(0, 2, 1, 3).reshape(-1, side * side)
    return np.where(windows[:, None] == windows[:, :, None], np.float32(0), np.float32(-100))


def install_windows() -> None:
    """Let MMDetection's Swin transformers attend by it (mmdet/models/backbones/swin.py)."""
    from mmdet.models.backbones.swin import ShiftWindowMSA

    if ShiftWindowMSA.forward is not shifted_window_attention:
        shifted_window_attention.__wrapped__ = ShiftWindowMSA.forward  # type: ignore[attr-defined]
        ShiftWindowMSA.forward = shifted_window_attention
