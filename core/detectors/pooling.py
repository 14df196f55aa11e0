"""Pooling to a size that necks take from another map, by operators that ONNX has.

torch exports adaptive max pooling to divisors of the input's sides alone, and sizes that are computed from those of
maps become operators in whose results the exporter cannot pad or pool.
"""

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


def resized(cell: Any, image: Any, size: Any) -> Any:
    """Return what ``_resize`` of mmcv 1.7.2's merging cells does, [N, C, h, w] of ``size`` (h, w) of [N, C, H, W]."""
    from torch.nn import functional

    sides, wanted = tuple(map(int, image.shape[-2:])), tuple(map(int, size))
    if sides == wanted:
        return image
    if sides < wanted:
        return functional.interpolate(image, size=wanted, mode=cell.upsample_mode)
    missing = [-side % number for side, number in zip(sides, wanted)]
    if any(missing):
        before = [number // 2 for number in missing]
        image = functional.pad(image, (before[1], missing[1] - before[1], before[0], missing[0] - before[0]))
    kernel = [(side + more) // number for side, more, number in zip(sides, missing, wanted)]
    return functional.max_pool2d(image, kernel, kernel)


class _Functional:
    """``torch.nn.functional`` as NNCF has it at the time of the call, with that one function replaced."""

    adaptive_max_pool2d = staticmethod(adaptive_max_pool2d)

    def __getattr__(self, name: str) -> Any:
        import torch

        return getattr(torch.nn.functional, name)


def install_pooling() -> None:
    """Let MMDetection's necks pool by these functions: balanced (bfp.py) and searched pyramids (nas_fpn.py)."""
    from mmcv.ops.merge_cells import BaseMergeCell
    from mmdet.models.necks import bfp

    bfp.F = _Functional()
    if BaseMergeCell._resize is not resized:
        resized.__wrapped__ = BaseMergeCell._resize  # type: ignore[attr-defined]
        BaseMergeCell._resize = resized
