"""Checking image files: there, whole, readable by the training, and of the annotated size. One read a file."""

import contextlib
import io
import struct
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from core.base.errors import UserError
from core.base.foreign_file import kind_of
from core.base.progress import progress
from core.base.suggest import listed
from core.base.text import bounded_repr, shown
from core.data.digest import FileFacts, FileMemory, read_with_facts

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "PPM")
"""What OpenCV, which reads the images for training and inference, is sure to decode."""
_THREADS = 4
# Decoded it takes three bytes a pixel; of larger images one is decoded at a time.
_LARGE_PIXELS = 1 << 25
_LARGE = threading.Lock()
_ORIENTATION_TAG = 0x0112
_UPRIGHT = 1
# OpenCV 4.11 leaves a WebP as it is and 5.0 turns it; Pillow's versions differ on TIFF.
_TURNED_BY_SOME = ("TIFF", "WEBP")


class ImageFault(Exception):
    """Why one image file cannot be used; becomes a line of a ``UserError``."""


def examine_images(files: Iterable[Path], memory: FileMemory) -> dict[Path, FileFacts | str]:
    """Read every file once that ``memory`` does not know, in a few threads and with progress.

    Returns:
        For each file its facts, or in words what is wrong with it.
    """
    results: dict[Path, FileFacts | str] = {}
    unknown = []
    for file in dict.fromkeys(files):
        if (facts := memory.recall(file)) is not None and facts.width:
            results[file] = facts
        else:
            unknown.append(file)
    if not unknown:
        return results
    with ThreadPoolExecutor(_THREADS) as pool, progress(len(unknown), "checking images", "images") as bar:
        for file, found in zip(unknown, pool.map(_facts_or_fault, unknown)):
            results[file] = found
            if isinstance(found, FileFacts):
                memory.remember(file, found)
            bar.update()
    return results


def check_sizes(expected: Iterable[tuple[Path, int, int]], results: dict[Path, FileFacts | str],
                root: Path) -> None:
    """Compare what was found with what the annotations say: (file, width, height) for each image.

    Raises:
        UserError: Any image is missing, corrupt or of another size; up to ten are named, all are counted.
    """
    faults: dict[Path, str] = {}
    for file, width, height in expected:
        found = results[file]
        if isinstance(found, str):
            faults[file] = found
        elif (found.width, found.height) != (width, height):
            faults[file] = f"decodes to {found.width}x{found.height} pixels, annotated as {width}x{height}"
    if faults:
        lines = [f"{file.relative_to(root)} ({fault})" for file, fault in sorted(faults.items())]
        raise UserError("images", f"{len(faults)} of {len(results)} in {root} cannot be used: {listed(lines, '; ')}",
                        "Every image that the annotations name must be there, whole and of the annotated size.",
                        "Restore these files, or remove them from the annotations.")


def check_image(data: bytes) -> tuple[int, int]:
    """Check the bytes of an image file and return the (width, height) that OpenCV decodes them to.

    The image is decoded as training decodes it: mmcv's ``imfrombytes`` with the flag ``color``, which is OpenCV's
    ``IMREAD_COLOR`` (mmcv/image/io.py) and turns it by its EXIF orientation.

    Raises:
        ImageFault: They are not a whole image in one of ``FORMATS``.
    """
    import PIL.Image

    if not data:
        raise ImageFault("empty file")
    try:
        with PIL.Image.open(io.BytesIO(data)) as image:
            # Pillow calls a JPEG with further pictures behind the first (many cameras) MPO; OpenCV reads the first.
            if image.format not in FORMATS + ("MPO",):
                raise ImageFault(f"{image.format} is not one of {', '.join(FORMATS)}")
            width, height = image.size
            _check_whole(image, data)
        # Opened again: Pillow cannot use an image that it has verified.
        with PIL.Image.open(io.BytesIO(data)) as image:
            if image.format in _TURNED_BY_SOME and (
                    orientation := image.getexif().get(_ORIENTATION_TAG, _UPRIGHT)) != _UPRIGHT:
                raise ImageFault(f"{image.format} with EXIF orientation {bounded_repr(orientation)}, which not every "
                                 "reader applies")
    except PIL.UnidentifiedImageError as error:
        raise ImageFault(f"not an image{_instead(data)}") from error
    except PIL.Image.DecompressionBombError as error:
        raise ImageFault(f"too large: {shown(error)}") from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error) as error:
        raise ImageFault(f"corrupt: {shown(error)}{_instead(data)}") from error
    with _LARGE if width * height > _LARGE_PIXELS else contextlib.nullcontext():
        return _decoded_size(data)


def image_size(file: Path) -> tuple[int, int]:
    """Return (width, height) as decoded, for annotations that do not say it; raise UserError where it is no image."""
    found = _facts_or_fault(file)
    if isinstance(found, str):
        raise UserError("image", f"{file} ({found})", "Every image that the annotations name must be there and whole.",
                        "Restore the file, or remove it from the annotations.")
    return found.width, found.height


def _facts_or_fault(file: Path) -> FileFacts | str:
    try:
        data, facts = read_with_facts(file)
        width, height = check_image(data)
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return error.strerror or shown(error)
    except ImageFault as fault:
        return str(fault)
    return facts._replace(width=width, height=height)


def _instead(data: bytes) -> str:
    """Return what bytes are that Pillow cannot read, where that is known and no image, to follow the fault."""
    kind = kind_of(data)
    return f" but {kind}" if kind and "image" not in kind else ""


def _decoded_size(data: bytes) -> tuple[int, int]:
    import cv2
    import numpy as np

    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ImageFault(f"corrupt: {shown(error)}") from error
    if decoded is None:
        raise ImageFault("corrupt: OpenCV cannot decode its pixels")
    height, width = decoded.shape[:2]
    return width, height


def _check_whole(image: "Image", data: bytes) -> None:
    """Make sure that the file was neither cut short nor damaged, which OpenCV can pass over with grey pixels."""
    if image.format == "PNG":
        # The checksum of every chunk that is there; OpenCV does not compare all of them.
        image.verify()
        if b"IEND" not in data[-64:]:
            raise ImageFault("truncated: no IEND chunk at the end")
        return
    # A JPEG is decoded at an eighth of its size: all of its data is read, few pixels are computed.
    image.draft("RGB", (1, 1))
    image.load()
