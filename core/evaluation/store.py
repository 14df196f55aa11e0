"""Detections of a whole split in one file, so that another stage can compare its own with them."""

import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from core.base.errors import UserError
from core.base.files import new_file
from core.base.foreign_file import open_foreign
from core.base.text import shown
from core.evaluation.detections import Detections
from core.storage.zip_index import open_zip

# A hundred boxes in each of 5 million images have 14 GB; a split that is measured has some thousand.
MOST_BYTES = 2 << 30
_ARRAYS = {"images": (np.int64, 1), "counts": (np.int64, 1), "boxes": (np.float32, 2), "scores": (np.float32, 1),
           "labels": (np.int64, 1)}
"""Each array's type and number of dimensions."""
_RUN_AGAIN = "Run the evaluate stage again."
_MOST_INDEX_BYTES, _HEADER_BYTES, _PIECE = 1 << 16, 1 << 14, 1 << 15


def write_detections(path: Path, detections: Mapping[int, Detections]) -> None:
    """Write image ids and what was found there to ``path``, a numpy archive without pickled objects."""
    found = list(detections.values())
    empty = Detections.empty()
    with new_file(Path(path)) as partial, open(partial, "wb") as file:
        np.savez_compressed(
            file, images=np.array(list(detections), np.int64), counts=np.array([len(item) for item in found], np.int64),
            boxes=np.concatenate([empty.boxes, *(item.boxes for item in found)]).astype(np.float32),
            scores=np.concatenate([empty.scores, *(item.scores for item in found)]).astype(np.float32),
            labels=np.concatenate([empty.labels, *(item.labels for item in found)]).astype(np.int64))


def read_detections(path: Path) -> dict[int, Detections]:
    """Return what ``write_detections`` wrote.

    Raises:
        UserError: The file is missing, truncated or not such an archive, or claims more than it may hold.
    """
    try:
        with open_foreign(Path(path), "detections", MOST_BYTES, _RUN_AGAIN) as file:
            # Not by np.load, which allocates whatever a header claims.
            packed, entries = open_zip(file, _MOST_INDEX_BYTES, len(_ARRAYS))
            if sum(entry.info.file_size for entry in entries) > MOST_BYTES:
                raise ValueError(f"it unpacks to more than {MOST_BYTES:,} bytes")
            images, counts, boxes, scores, labels = (
                _array(packed, name, *expected) for name, expected in _ARRAYS.items())
        ends = np.cumsum(counts)
        if len(images) != len(counts) or (counts < 0).any() or int(counts.sum()) != len(boxes):
            raise ValueError("its counts are not those of its boxes")
        return {int(image): Detections(boxes[end - count:end], scores[end - count:end], labels[end - count:end])
                for image, count, end in zip(images, counts, ends)}
    # What zipfile, zlib and numpy raise for damaged data.
    except (OSError, ValueError, KeyError, EOFError, TypeError, NotImplementedError, zipfile.BadZipFile,
            zlib.error) as error:
        raise UserError("detections", path, f"It cannot be read ({shown(error)}).",
                        _RUN_AGAIN) from error


def _array(packed: zipfile.ZipFile, name: str, kind: type, dimensions: int) -> np.ndarray:
    info = packed.getinfo(f"{name}.npy")
    with packed.open(info) as entry:
        version = npy.read_magic(entry)
        if version != (1, 0):
            raise ValueError(f"{name} is of another version of numpy's format")
        shape, fortran, dtype = npy.read_array_header_1_0(entry, max_header_size=_HEADER_BYTES)
        if dtype != np.dtype(kind) or fortran and dimensions > 1 or len(shape) != dimensions:
            raise ValueError(f"{name} is of type {dtype} and has {len(shape)} dimensions")
        content = bytearray()
        # The whole in one piece is more than open_zip lets anyone read.
        while piece := entry.read(_PIECE):
            content += piece
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(content):
        raise ValueError(f"{name} has another size than it says")
    return np.frombuffer(content, dtype).reshape(shape)
