"""MMDetection's data sets, without what pycocotools prints while it reads annotations."""

import contextlib
import io
from typing import Any


def build_quietly(settings: dict[str, Any], defaults: dict[str, Any] | None = None) -> Any:
    """Return ``mmdet.datasets.build_dataset(settings, defaults)``."""
    from mmdet.datasets import build_dataset

    with contextlib.redirect_stdout(io.StringIO()):
        return build_dataset(settings, defaults)
