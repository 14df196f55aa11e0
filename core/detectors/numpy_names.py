"""Names that MMDetection 2.28.2 takes from numpy and numpy 1.24 has no more."""

import importlib
from typing import Any

import numpy

# mmdet/core/bbox/samplers/iou_balanced_neg_sampler.py:76, of Libra R-CNN, fails in the first training step;
# mmdet/datasets/custom.py:167, where images of rare classes are repeated.
_READERS = ("mmdet.core.bbox.samplers.iou_balanced_neg_sampler", "mmdet.datasets.custom", "mmdet.datasets.openimages")


class _Numpy:
    """``numpy`` with the name that was removed."""

    int = int

    def __getattr__(self, name: str) -> Any:
        return getattr(numpy, name)


def restore_numpy_names() -> None:
    """Let the modules that use ``np.int`` find it, and no other."""
    for reader in _READERS:
        importlib.import_module(reader).np = _Numpy()
