"""Where the splits of a data set are: annotation files, the folders of their images, and how one is cut into three."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

from core.base.errors import UserError
from core.base.json_file import json_value
from core.base.suggest import listed
from core.base.text import bounded_repr, shown

# What labelling tools, and people, call the splits, in files and in folders.
SPLIT_WORDS = {"train": "train", "training": "train", "trainval": "trainval", "val": "val", "valid": "valid",
               "validation": "val", "dev": "val", "minival": "val", "test": "test", "testing": "test"}
UNNAMED = "all"
"""The split of annotations whose path names none."""
MAX_DEPTH = 8
MAX_FILES = 2_000_000
_WORD = re.compile(r"[A-Za-z]+")


class Part(NamedTuple):
    """Annotations that belong to one split; paths are relative to the data folder, with forward slashes."""

    annotations: str
    """COCO: a JSON file. Pascal VOC: a folder of XML files."""
    images: str | None = None
    """The folder that names of images are relative to; None where each image is looked for."""
    names: str = ""
    """Pascal VOC: the file that lists the split's images, one a line; empty for every XML file of the folder."""


Found = dict[str, list[Part]]
"""What a folder holds, by split. Of several parts in COCO format one must be chosen; in Pascal VOC they add up."""


class SplitNames(NamedTuple):
    """The names of the splits in use; ``val`` is ``""`` where there is none."""

    train: str
    val: str
    test: str


@dataclass(frozen=True)
class Fractions:
    """How the images of a data set without splits are shared out.

    Attributes:
        val: Part of the images to follow training with, 0 for none.
        test: Part of the images to measure on.
        seed: Chooses the images.
    """

    val: float = 0.1
    test: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("val", "test"):
            value = getattr(self, name)
            if not 0 <= value < 1 or name == "test" and value == 0:
                raise UserError(f"parameter {name}_fraction", value, "It is a part of the images: above 0 (0 for no "
                                "validation) and below 1.", "Set it to a number such as 0.1.")
        if self.val + self.test >= 1:
            raise UserError("parameters val_fraction and test_fraction", f"{self.val} and {self.test}",
                            "Together they are below 1: training needs images.", "Set smaller fractions.")
        if self.seed != int(self.seed) or not 0 <= self.seed < 2 ** 31:
            raise UserError("parameter split_seed", self.seed, "It is a whole number from 0 on.", "Set it to 0.")


@dataclass(frozen=True)
class Layout:
    """The splits in use.

    Attributes:
        parts: The annotations of each name; where ``fractions`` is set, those of ``names.train`` hold all images.
        fractions: How the images are shared out where the data have no splits, else None.
    """

    names: SplitNames
    parts: dict[str, tuple[Part, ...]]
    fractions: Fractions | None = None

    def to_text(self) -> str:
        """Return parts and fractions as JSON text; KFP's struct parameters would turn integers into floats."""
        cut = self.fractions and [self.fractions.val, self.fractions.test, self.fractions.seed]
        return json.dumps({"parts": self.parts, "fractions": cut}, sort_keys=True)

    @classmethod
    def from_text(cls, names: SplitNames, text: str) -> "Layout":
        """Return what :meth:`to_text` wrote; raise UserError where ``text`` is none of that."""
        try:
            value = json_value(text)
            parts = {name: tuple(Part(*part) for part in parts) for name, parts in value["parts"].items()}
            fractions = Fractions(*value["fractions"]) if value["fractions"] else None
            if not set(parts) <= set(names) or not parts.get(names.train):
                raise ValueError("splits without annotations")
            for path in (path for found in parts.values() for part in found for path in part if path is not None):
                if not isinstance(path, str) or PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
                    raise ValueError("a path that leads out of the data folder")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError("data reference, layout", f"{bounded_repr(text)} ({shown(error, 100)})",
                            "It must be what the resolve stage wrote.",
                            "Pass the `data` output of the resolve stage unchanged.") from error
        return cls(names, parts, fractions)

    def describe(self, data_format: str, found: Iterable[str] = ()) -> str:
        """Return one sentence about what was ``found`` and what of it is used, for the log."""
        shown = []
        for role, name in self.names._asdict().items():
            if name and self.parts.get(name):
                paths = (part.names or part.annotations or "the data folder" for part in self.parts[name])
                shown.append(f"{role} from {listed(paths)}")
        text = f"{data_format} annotations: {'; '.join(shown)}"
        if self.fractions:
            cut = self.fractions
            text += (f"; no test split, so by seed {cut.seed} {cut.val:.0%} of the images are kept for validation and "
                     f"{cut.test:.0%} for the test")
        unused = sorted(set(found) - set(self.names)) if not self.fractions else []
        return text + (f"; not used: {listed(unused)}" if unused else "")


def split_of(path: PurePosixPath) -> str:
    """Return the split that a path names: by its file, else by its nearest folder that does; else the file's stem.

    ``instances_`` in front and COCO's year behind are no part of a name.
    """
    for name in (path.stem, *path.parent.parts[::-1]):
        words = {SPLIT_WORDS[word.lower()] for word in _WORD.findall(name) if word.lower() in SPLIT_WORDS}
        if len(words) == 1:
            return words.pop()
    return plain_name(path) or UNNAMED


def plain_name(path: PurePosixPath) -> str:
    """Return an annotation file's stem without ``instances_`` in front and 2017 behind."""
    return re.sub(r"^instances_(.+?)(2017)?$", r"\1", path.stem)
