"""Adaptive max pooling by operators that ONNX has: torch exports it to divisors of the input's sides alone."""

from typing import Any


def adaptive_max_pool2d(image: Any, output_size: Any) -> Any:
    """Return what ``torch.nn.functional.adaptive_max_pool2d`` returns, [N, C, h, w] of ``output_size`` (h, w)."""
    import torch
    from torch.nn.functional import max_pool2d

    sides, wanted = [int(side) for side in image.shape[-2:]], [int(side) for side in output_size]
    if not any(side % number for side, number in zip(sides, wanted)):
        kernel = [side // number for side, number in zip(sides, wanted)]
        return max_pool2d(image, kernel, kernel)
    rows = [max_pool2d(image[:, :, first:last], (last - first, 1)) for first, last in _cells(sides[0], wanted[0])]
    image = torch.cat(rows, dim=2)
    columns = [max_pool2d(image[..., first:last], (1, last - first)) for first, last in _cells(sides[1], wanted[1])]
    return torch.cat(columns, dim=3)


def _cells(side: int, number: int) -> list[tuple[int, int]]:
    """Return where each of ``number`` cells of a side begins and ends; neighbours may overlap by one."""
    return [(index * side // number, -(-(index + 1) * side // number)) for index in range(number)]


class _Functional:
    """``torch.nn.functional`` as NNCF has it at the time of the call, with that one function replaced."""

    adaptive_max_pool2d = staticmethod(adaptive_max_pool2d)

    def __getattr__(self, name: str) -> Any:
        import torch

        return getattr(torch.nn.functional, name)


def install_pooling() -> None:
    """Let MMDetection's balanced feature pyramid (mmdet/models/necks/bfp.py) pool by these operators."""
    from mmdet.models.necks import bfp

    bfp.F = _Functional()
