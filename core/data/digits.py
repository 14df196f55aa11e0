"""The built-in sample: scenes composed of real handwritten digits, the same on every machine.

The digits are the 1,797 images of 8x8 pixels that scikit-learn ships, the test part of UCI's "Optical Recognition
of Handwritten Digits" (E. Alpaydin, C. Kaynak, 1998, https://doi.org/10.24432/C50P49). Randomness comes from
``numpy.random.RandomState``, whose stream is frozen, pixels are computed in integers only, and images are written
as plain bitmaps: the bytes depend on no version of numpy, OpenCV or a compressor.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.base.errors import UserError
from core.base.files import cache_folder, new_folder
from core.base.progress import progress
from core.base.suggest import suggestion
from core.data.scenes import HEIGHT, WIDTH, bitmap, compose_scene

if TYPE_CHECKING:
    from numpy import ndarray

CLASSES = tuple("0123456789")
# The file goes writer by writer (a sample's nearest neighbour is mostly within one writer's 140 samples), so blocks
# in its order keep the writers of the splits apart, but for the one at each border.
SAMPLES = {"train": (0, 1257), "val": (1257, 1437), "test": (1437, 1797)}
LARGEST_SPLIT = 20_000
_VERSION = 3
"""Part of the cache's folder name: raise it when pixels change."""

@dataclass(frozen=True)
class DigitsOptions:
    """The options of ``builtin://digits``: the seed and how many scenes each split has (``val=0`` for none)."""

    seed: int = 0
    train: int = 600
    val: int = 80
    test: int = 160

    @classmethod
    def from_query(cls, query: dict[str, str]) -> "DigitsOptions":
        """Read options from a location's query.

        Raises:
            UserError: An option is not known or not a number in its range.
        """
        limits = {"seed": (0, 2 ** 32 - 1), "train": (1, LARGEST_SPLIT), "val": (0, LARGEST_SPLIT),
                  "test": (1, LARGEST_SPLIT)}
        numbers = {}
        for name, text in query.items():
            if name not in limits:
                raise UserError("builtin://digits", f"option {name!r}{suggestion(name, limits)}",
                                f"The options are {', '.join(limits)}.", "Correct or remove it.")
            low, high = limits[name]
            if not (text.isascii() and text.isdigit() and len(text) < 12 and low <= int(text) <= high):
                raise UserError("builtin://digits", f"{name}={text}", f"It must be a whole number, {low} to {high}.",
                                "Correct it or remove it.")
            numbers[name] = int(text)
        return cls(**numbers)

    @property
    def uri(self) -> str:
        """The location with every option spelled out."""
        return f"builtin://digits?seed={self.seed}&train={self.train}&val={self.val}&test={self.test}"


def materialise(options: DigitsOptions) -> Path:
    """Return the folder of the sample in COCO layout, made in the cache where absent."""
    name = f"digits-{_VERSION}-seed{options.seed}-{options.train}-{options.val}-{options.test}"
    folder = cache_folder() / "builtin" / name
    if not folder.is_dir():
        with new_folder(folder) as unfinished:
            write_sample(options, unfinished)
    return folder


def write_sample(options: DigitsOptions, folder: Path) -> None:
    """Write ``annotations/<split>.json`` and ``images/<split>/*.bmp`` into an empty folder."""
    import numpy as np

    glyphs, labels = load_glyphs()
    counts = {"train": options.train, "val": options.val, "test": options.test}
    (folder / "annotations").mkdir()
    with progress(sum(counts.values()), "making digit scenes", "images") as bar:
        for number, (split, count) in enumerate(counts.items()):
            if not count:
                continue
            images = folder / "images" / split
            images.mkdir(parents=True)
            samples = slice(*SAMPLES[split])
            records: list[dict[str, Any]] = []
            annotations: list[dict[str, Any]] = []
            for index in range(count):
                # A stream of its own for each scene: a larger sample begins with the smaller one.
                random = np.random.RandomState((options.seed, number, index))
                pixels, objects = compose_scene(random, glyphs[samples], labels[samples])
                records.append({"id": index + 1, "file_name": f"{index + 1:06d}.bmp", "width": WIDTH, "height": HEIGHT})
                annotations += ({"id": key, "image_id": index + 1, "category_id": label + 1, "bbox": list(box),
                                 "area": box[2] * box[3], "iscrowd": 0}
                                for key, (label, box) in enumerate(objects, start=len(annotations) + 1))
                (images / records[-1]["file_name"]).write_bytes(bitmap(pixels))
                bar.update()
            (folder / "annotations" / f"{split}.json").write_text(json.dumps({
                "info": {"description": "Scenes of handwritten digits, made by mmdet-compress"},
                "images": records, "annotations": annotations,
                "categories": [{"id": key, "name": name} for key, name in enumerate(CLASSES, start=1)]}))


def load_glyphs() -> tuple["ndarray", "ndarray"]:
    """Return the digits as int64 [1797, 8, 8] with ink 0 to 16, and their labels as int64 [1797]."""
    import numpy as np
    from sklearn.datasets import load_digits

    data = load_digits()
    return data.images.astype(np.int64), data.target.astype(np.int64)
