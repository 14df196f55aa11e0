"""Overlap of boxes."""

import numpy as np


def intersections_over_unions(first: np.ndarray, second: np.ndarray, extra: float = 0.0) -> np.ndarray:
    """Return float64 ``[N, M]``: the IoU of each box of ``first`` with each of ``second``; 0 for boxes without area.

    Args:
        first: ``[N, 4]``: x1, y1, x2, y2.
        second: ``[M, 4]``.
        extra: Added to every width and height: 1 for Pascal VOC, whose corners are the outermost pixels of a box.
    """
    first, second = first.astype(np.float64)[:, None], second.astype(np.float64)[None]
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2]) + extra
    overlap = np.clip(sides, 0, None).prod(axis=-1)
    areas = [(boxes[..., 2:] - boxes[..., :2] + extra).prod(axis=-1) for boxes in (first, second)]
    union = areas[0] + areas[1] - overlap
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
