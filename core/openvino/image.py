"""Reading images exactly as MMDetection reads them."""

from pathlib import Path

import numpy as np

from core.base.errors import UserError


class CorruptImageError(Exception):
    """An image file that cannot be decoded.

    Args:
        path: The file.
        reason: Why it cannot be decoded.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def read_image(path: Path) -> np.ndarray:
    """Return an image as uint8 ``[H, W, 3]`` in BGR order.

    Decodes from memory with the flags of mmcv.imread: EXIF rotation is applied, gray becomes three channels, 16 bits
    become 8. Unlike cv2.imread this also takes any file name and refuses truncated JPEG files.

    Raises:
        CorruptImageError: The file is empty or cannot be decoded.
        UserError: The file cannot be read.
    """
    import cv2

    try:
        content = np.frombuffer(Path(path).read_bytes(), np.uint8)
    except OSError as error:
        raise UserError("image", path, f"It cannot be read ({error.strerror}).",
                        "Check the data set: every image of the annotation file must be there.") from error
    if not content.size:
        raise CorruptImageError(path, "the file is empty")
    try:
        image = cv2.imdecode(content, cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise CorruptImageError(path, f"OpenCV refuses it ({error.err})") from error
    if image is None:
        raise CorruptImageError(path, "OpenCV cannot decode it; it is truncated or not an image")
    return image
