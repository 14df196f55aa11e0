"""The sample pictures of a report: read, and made small enough for one page."""

import base64
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.base.foreign_file import open_regular
from core.results.accuracy import Picture

if TYPE_CHECKING:
    import numpy as np

# widest side in pixels and JPEG quality, from best to smallest
_STEPS = ((1440, 88), (1440, 75), (1100, 75), (1100, 60), (800, 60), (640, 55), (480, 50))
_MOST_BYTES = 256 << 20


@dataclass(frozen=True)
class Image:
    """A picture's file content and what to write below it: the name of its test image, and what is compared."""

    content: bytes
    caption: str


def read_samples(folder: Path, samples: Sequence[Picture], what: str = ""
                 ) -> tuple[tuple[Image, ...], tuple[str, ...]]:
    """Return the pictures of ``folder`` and the names of those that are missing, outside of it or no pictures.

    Args:
        what: Written before each image's name.
    """
    pictures, missing = [], []
    for sample in samples:
        content = b""
        with contextlib.suppress(OSError, ValueError):
            path = (folder / sample.file).resolve()
            if folder.resolve() in path.parents:
                with open_regular(path, _MOST_BYTES) as file:
                    content = file.read()
        if _pixels(content) is None:
            missing.append(sample.file)
        else:
            pictures.append(Image(content, f"{what}{sample.image}"))
    return tuple(pictures), tuple(missing)


def embed(pictures: Sequence[Image], budget: int) -> list[tuple[str, str]]:
    """Return pairs of ``data:`` URI and caption of the pictures that fit into ``budget`` characters together.

    Every picture gets an equal share of what is left and the best size and quality that fits in it.
    """
    import cv2

    embedded: list[tuple[str, str]] = []
    for index, picture in enumerate(pictures):
        share, pixels = max(budget, 0) // (len(pictures) - index), _pixels(picture.content)
        for side, quality in _STEPS:
            scale = min(1.0, side / max(pixels.shape[:2]))
            size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
            resized = pixels if scale == 1.0 else cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
            encoded = cv2.imencode(".jpg", resized, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
            uri = "data:image/jpeg;base64," + base64.b64encode(encoded).decode("ascii")
            if len(uri) <= share:
                embedded.append((uri, picture.caption))
                budget -= len(uri)
                break
    return embedded


def _pixels(content: bytes) -> "np.ndarray | None":
    import cv2
    import numpy as np

    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    except cv2.error:
        # More pixels than OpenCV takes.
        return None
