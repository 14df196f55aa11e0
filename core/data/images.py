"""Checking image files: there, whole, readable by the training, and of the annotated size. One read a file."""

import io
import struct
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from core.base.errors import UserError
from core.base.progress import progress
from core.data.digest import FileFacts, FileMemory, read_with_facts
from core.data.suggest import listed

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "PPM")
"""What OpenCV, which reads the images for training and inference, is sure to decode."""
_THREADS = 4
_ORIENTATION_TAG = 0x0112
_UPRIGHT = 1
_SWAPPING_ORIENTATIONS = (5, 6, 7, 8)


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
        facts = memory.recall(file)
        if facts is not None and facts.width:
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
                        "Restore these files, or take them out of the annotations.")


def check_image(data: bytes) -> tuple[int, int]:
    """Check the bytes of an image file and return the (width, height) that OpenCV decodes them to.

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
            _check_whole(image, data)
        # Opened anew, as Pillow cannot go on with an image that it has verified.
        with PIL.Image.open(io.BytesIO(data)) as image:
            return _decoded_size(image, data)
    except PIL.UnidentifiedImageError as error:
        raise ImageFault("not an image") from error
    except PIL.Image.DecompressionBombError as error:
        raise ImageFault(f"too large: {error}") from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error) as error:
        raise ImageFault(f"corrupt: {error}") from error


def image_size(file: Path) -> tuple[int, int]:
    """Return (width, height) as decoded, for annotations that do not say it.

    Raises:
        UserError: The file is no whole image.
    """
    found = _facts_or_fault(file)
    if isinstance(found, str):
        raise UserError("image", f"{file} ({found})", "Every image that the annotations name must be there and whole.",
                        "Restore the file, or take it out of the annotations.")
    return found.width, found.height


def _facts_or_fault(file: Path) -> FileFacts | str:
    try:
        data, facts = read_with_facts(file)
        width, height = check_image(data)
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return error.strerror or str(error)
    except ImageFault as fault:
        return str(fault)
    return facts._replace(width=width, height=height)


def _decoded_size(image: "Image", data: bytes) -> tuple[int, int]:
    """Return the size with the EXIF orientation applied, as OpenCV's and so mmcv's imread does."""
    width, height = image.size
    # Pillow decodes a whole PNG to look for EXIF data behind the pixels.
    if image.format == "PNG" and b"eXIf" not in data:
        return width, height
    orientation = image.getexif().get(_ORIENTATION_TAG, _UPRIGHT)
    # OpenCV 4.11 leaves a WebP as it is and 5.0 turns it; Pillow's versions differ on TIFF.
    if image.format in ("TIFF", "WEBP") and orientation != _UPRIGHT:
        raise ImageFault(f"{image.format} with EXIF orientation {orientation}, which not every reader applies")
    return (height, width) if orientation in _SWAPPING_ORIENTATIONS else (width, height)


def _check_whole(image: "Image", data: bytes) -> None:
    """Make sure that the file was neither cut short nor damaged so that it cannot be decoded."""
    if image.format == "PNG":
        # verify() compares the checksum of every chunk that is there, which is cheaper than decoding.
        image.verify()
        if b"IEND" not in data[-64:]:
            raise ImageFault("truncated: no IEND chunk at the end")
        return
    # A JPEG is decoded at an eighth of its size: all of its data is read, few pixels are computed.
    image.draft("RGB", (1, 1))
    image.load()
