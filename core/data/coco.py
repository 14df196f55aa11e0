"""COCO folders: finding annotation files and reading them strictly.

The format: https://cocodataset.org/#format-data
"""

import math
import os
import re
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.json_file import read_json
from core.base.text import bounded_repr
from core.data.annotations import AnnotatedImage, AnnotatedSplit, Box, check_relative, is_unicode
from core.data.digest import MOST_BYTES
from core.data.image_files import ON_DISK, ImageFiles
from core.data.masks import sound_mask

_ANNOTATION_LAYOUTS = ("annotations/{}.json", "annotations/instances_{}.json", "annotations/instances_{}2017.json",
                       "{}/_annotations.coco.json")
_IMAGE_LAYOUTS = ("{}", "{}2017", "images/{}", "images", "")
# COCO's own companions of the instances files, which hold no boxes to train on.
_OTHER_TASKS = re.compile(r"^(captions|person_keypoints|image_info|panoptic|stuff)_")
_ANNOTATION_NAME = re.compile(r"annotations/([^/]+)\.json|[^/]+/_annotations\.coco\.json")
_ROOT_SAMPLE = 100
_FIX = "Correct the annotation file."


def describe_layouts() -> str:
    """Return the layouts that are looked for, for messages."""
    return ", ".join(layout.format("<split>") for layout in _ANNOTATION_LAYOUTS)


def is_annotation(name: str) -> bool:
    """Tell whether a file of this name, relative to the data folder, can be one that :func:`read_split` reads."""
    match = _ANNOTATION_NAME.fullmatch(name)
    return bool(match) and not _OTHER_TASKS.match(match.group(1) or "")


def list_splits(root: Path, images: ImageFiles = ON_DISK) -> tuple[str, ...]:
    """Return the names of the splits that a folder has in COCO format, sorted; its images are not asked for."""
    names = {path.parent.name for path in root.glob("*/_annotations.coco.json")}
    for path in root.glob("annotations/*.json"):
        if not _OTHER_TASKS.match(path.stem):
            names.add(re.sub(r"^instances_(.+?)(2017)?$", r"\1", path.stem))
    return tuple(sorted(names))


def read_split(root: Path, name: str, images: ImageFiles = ON_DISK) -> AnnotatedSplit:
    """Read and check one split; only faults of structure stop it, boxes are cleaned later.

    Args:
        root: The data folder, which holds the annotation files.
        name: The split's name, one of ``list_splits``.
        images: Which images the data set has.

    Raises:
        UserError: The file is not a sound COCO annotation file; file, value and rule are named.
    """
    # Whatever lies there: the first is read, or refused for what it is.
    files = [path for path in (root / layout.format(name) for layout in _ANNOTATION_LAYOUTS) if os.path.lexists(path)]
    document = _read_document(files[0])
    reader = _Reader(files[0])
    categories = reader.categories(document["categories"])
    entries = reader.images(document["images"])
    boxes = reader.boxes(document["annotations"], entries, categories)
    annotated = tuple(image._replace(boxes=tuple(boxes.get(key, ()))) for key, image in entries.items())
    warnings = tuple(f"split {name!r}: {path} is not used, {files[0].name} is" for path in files[1:])
    return AnnotatedSplit(name, _find_image_root(root, name, annotated, images), (files[0],),
                          tuple(categories[key] for key in sorted(categories)), annotated, warnings)


def _read_document(file: Path) -> dict[str, Any]:
    document = read_json(file, "annotation file", "Export the annotations again or correct the place named.",
                         MOST_BYTES)
    keys = ("images", "annotations", "categories")
    if not isinstance(document, dict) or not all(isinstance(document.get(key), list) for key in keys):
        found = f"keys {bounded_repr(list(document))}" if isinstance(document, dict) else type(document).__name__
        raise UserError("annotation file", f"{file} ({found})",
                        "A COCO file is an object with the lists 'images', 'annotations' and 'categories'.",
                        "Export the annotations as COCO object detection (instances).")
    return document


def _find_image_root(root: Path, name: str, annotated: tuple[AnnotatedImage, ...], images: ImageFiles) -> Path:
    """Return the first customary folder that has all of the first images, else the one that has most of them."""
    sample = annotated[:_ROOT_SAMPLE]
    candidates = [root / layout.format(name) for layout in _IMAGE_LAYOUTS]
    found = [sum(images.has(folder / image.file_name) for image in sample) for folder in candidates]
    return candidates[found.index(max(found))]


class _Reader:
    """Checks the three lists of one annotation file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def categories(self, entries: list[Any]) -> dict[int, str]:
        """Return category names by id."""
        names: dict[int, str] = {}
        for index, entry in enumerate(entries):
            what = f"categories[{index}]"
            key = self._unique_id(entry, what, names)
            name = entry.get("name")
            if not isinstance(name, str) or not name.strip() or not is_unicode(name):
                raise self._fault(f"{what}.name", name, "A category needs a name.")
            if name in names.values():
                raise self._fault(f"{what}.name", name, "Category names must be unique.")
            names[key] = name
        if not names:
            raise self._fault("categories", "[]", "There must be at least one category.")
        return names

    def images(self, entries: list[Any]) -> dict[Any, AnnotatedImage]:
        """Return images by id, in the file's order."""
        images: dict[Any, AnnotatedImage] = {}
        names: dict[str, str] = {}
        for index, entry in enumerate(entries):
            what = f"images[{index}]"
            key = self._unique_id(entry, what, images, (int, str))
            name = entry.get("file_name")
            if not isinstance(name, str):
                raise self._fault(f"{what}.file_name", name, "An image needs the name of its file.")
            check_relative(name, self._file, f"{what}.file_name")
            if name in names:
                raise self._fault(f"{what}.file_name", name, f"{names[name]} names the same file.")
            names[name] = what
            width, height = (self._pixels(entry, side, what) for side in ("width", "height"))
            images[key] = AnnotatedImage(name, width, height, ())
        return images

    def boxes(self, entries: list[Any], images: dict[Any, AnnotatedImage],
              categories: dict[int, str]) -> dict[Any, list[Box]]:
        """Return boxes by image id."""
        boxes: dict[Any, list[Box]] = {}
        seen: dict[Any, bool] = {}
        for index, entry in enumerate(entries):
            what = f"annotations[{index}]"
            key = self._unique_id(entry, what, seen, (int, str))
            seen[key] = True
            image, category = entry.get("image_id"), entry.get("category_id")
            if not isinstance(image, (int, str)) or image not in images:
                raise self._fault(f"{what}.image_id", image, "It must be the id of an entry of 'images'.")
            if not isinstance(category, int) or category not in categories:
                raise self._fault(f"{what}.category_id", category, "It must be the id of an entry of 'categories'.")
            x, y, width, height = self._bbox(entry.get("bbox"), what)
            crowd = entry.get("iscrowd", 0)
            if crowd not in (0, 1):
                raise self._fault(f"{what}.iscrowd", crowd, "It must be 0 or 1.")
            mask = sound_mask(entry.get("segmentation"), images[image].width, images[image].height)
            boxes.setdefault(image, []).append(Box(categories[category], x, y, width, height, bool(crowd),
                                                   self._area(entry.get("area"), what), f"annotation {key}", mask))
        return boxes

    def _unique_id(self, entry: Any, what: str, seen: dict[Any, Any], types: tuple[type, ...] = (int,)) -> Any:
        if not isinstance(entry, dict):
            raise self._fault(what, entry, "It must be an object.")
        key = entry.get("id")
        if not isinstance(key, types) or isinstance(key, bool):
            raise self._fault(f"{what}.id", key, "It must be a whole number.")
        if key in seen:
            raise self._fault(f"{what}.id", key, "Ids must be unique in their list.")
        return key

    def _pixels(self, entry: dict[str, Any], side: str, what: str) -> int:
        value = _finite(entry.get(side))
        if value is None or value < 1 or value != int(value):
            raise self._fault(f"{what}.{side}", entry.get(side), "It must be a whole number of pixels, 1 or more.")
        return int(value)

    def _bbox(self, bbox: Any, what: str) -> list[float]:
        numbers = [_finite(number) for number in bbox] if isinstance(bbox, list) else []
        if len(numbers) != 4 or any(number is None for number in numbers):
            raise self._fault(f"{what}.bbox", bbox, "It must be [x, y, width, height], four finite numbers of pixels.")
        return [number for number in numbers if number is not None]

    def _area(self, area: Any, what: str) -> float | None:
        if area is None:
            return None
        value = _finite(area)
        if value is None or value < 0:
            raise self._fault(f"{what}.area", area, "It must be a finite number, 0 or more.")
        return value or None

    def _fault(self, what: str, value: Any, rule: str) -> UserError:
        return UserError(f"{self._file}, {what}", bounded_repr(value), rule, _FIX)


def _finite(value: Any) -> float | None:
    """Return a JSON number as float, or None where it is none or not finite."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
