"""Detections of a whole split in one file, so that another stage can compare its own with them."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from core.base.errors import UserError
from core.base.files import new_file
from core.evaluation.detections import Detections

_ARRAYS = ("images", "counts", "boxes", "scores", "labels")


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
        UserError: The file is missing, truncated or not such an archive.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            images, counts, boxes, scores, labels = (archive[name] for name in _ARRAYS)
        ends = np.cumsum(counts)
        return {int(image): Detections(boxes[end - count:end], scores[end - count:end], labels[end - count:end])
                for image, count, end in zip(images, counts, ends)}
    # numpy raises what zipfile, zlib and its own reader do, among them EOFError and NotImplementedError.
    except (OSError, ValueError, KeyError, EOFError, TypeError, NotImplementedError, zipfile.BadZipFile,
            zlib.error) as error:
        raise UserError("detections", path, f"It cannot be read ({error}).",
                        "Run the evaluate stage again.") from error
