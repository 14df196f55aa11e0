"""COCO annotations: finding their files in the layouts that tools write, and reading them.

The format: https://cocodataset.org/#format-data. What labelling tools write otherwise is read where it has one meaning
(ids as text, numbers in quotes, boxes without an id); what MMDetection 2.28 skips (boxes of images or categories that
the file does not list) is left out with a warning.
"""

import math
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from core.base.errors import UserError
from core.base.json_file import read_json
from core.base.suggest import SHOWN, listed
from core.base.text import bounded_repr
from core.data.annotations import AnnotatedImage, AnnotatedSplit, Box, check_relative, is_unicode
from core.data.digest import MOST_BYTES
from core.data.layout import Found, Part, plain_name, split_of
from core.data.masks import sound_mask
from core.data.search import FileSearch, portable

LAYOUTS = "annotations/<split>.json, <split>.json, <split>/<any>.json, or any JSON of images, annotations, categories"
"""What is looked for, for messages."""
_IMAGE_LAYOUTS = ("{}", "{}2017", "images/{}", "images", "")
# COCO's own companions of the instances files, which hold no boxes to train on.
_OTHER_TASKS = re.compile(r"^(captions|person_keypoints|image_info|panoptic|stuff)_")
_ROBOFLOW = "_annotations.coco"
_KEYS = ("images", "annotations", "categories")
_ROOT_SAMPLE = 100
_BOX_NUMBERS = 4
_COCO_SERVER = "http://images.cocodataset.org/"
_LONGEST_ID = 18
_FIX = "Correct the annotation file."


def is_annotation(name: str) -> bool:
    """Return whether a file of this name, relative to the data folder, can be one that :func:`read_part` reads."""
    path = PurePosixPath(name)
    return path.suffix.lower() == ".json" and not _OTHER_TASKS.match(path.stem)


def find_splits(search: FileSearch) -> Found:
    """Return the annotation files of a folder by split; its images are not asked for."""
    found: Found = {}
    for name in search.files():
        path = PurePosixPath(name)
        # Where only annotations stand, a file is read, and refused by name where it is none.
        customary = path.stem == _ROBOFLOW or len(path.parts) == 2 and path.parts[0] == "annotations"
        if not is_annotation(name):
            continue
        content = b"" if customary else search.head(name)
        if customary or all(f'"{key}"'.encode() in content for key in _KEYS):
            split = split_of(path.parent / path.parent.name if path.stem == _ROBOFLOW else path)
            found.setdefault(split, []).append(Part(name))
    return found


def read_part(search: FileSearch, part: Part, name: str) -> AnnotatedSplit:
    """Read and check one annotation file; only faults of structure stop it, boxes are cleaned later.

    Classes are in the file's order, as MMDetection numbers them. Two categories of one name are one class.

    Args:
        part: The annotation file, and the folder of its images where that is known.

    Raises:
        UserError: The file is not a sound COCO annotation file; file, value and rule are named, up to ten faults.
    """
    reader = _Reader(search.root / part.annotations)
    categories = reader.categories()
    names = reader.file_names()
    image_root, places, warnings = _located(search, part, name, list(dict.fromkeys(names.values())))
    entries = reader.images({key: places[own] for key, own in names.items()},
                            lambda place: search.images.size(image_root / place))
    boxes = reader.boxes(entries, categories)
    reader.stop_at_faults()
    annotated = tuple(image._replace(boxes=tuple(boxes.get(key, ()))) for key, image in entries.items())
    return AnnotatedSplit(name, image_root, (reader.file,), tuple(dict.fromkeys(categories.values())), annotated,
                          tuple(f"split {name!r}: {warning}" for warning in (*reader.warnings, *warnings)))


def _located(search: FileSearch, part: Part, split: str,
             wanted: list[str]) -> tuple[Path, dict[str, str], tuple[str, ...]]:
    """Return where the images of one annotation file are.

    A name is a path in the folder that has most of the first images; else the image whose path ends like it, in
    whatever case and with whatever slashes: within that folder, or anywhere where it has none of the images. One
    that is not found stays, for the check of images.

    Returns:
        The folder that places are relative to, the place of each of the names ``wanted``, and a warning where names
        were found by less than their whole.

    Raises:
        UserError: Several files fit a name, or one that is not found leads out of the folder.
    """
    file = search.root / part.annotations
    folders = [part.images] if part.images is not None else _folders(part.annotations, split)
    folder = max(folders, key=lambda folder: sum(bool(_direct(search, name, folder)) for name in wanted[:_ROOT_SAMPLE]))
    direct = {name: own for name in wanted if (own := _direct(search, name, folder))}
    within = folder if direct else part.images
    searched = {name: search.named(name, part.annotations, str(file), within) for name in wanted if name not in direct}
    found = {name: place for name, place in searched.items() if place}
    for name in searched.keys() - found.keys():
        check_relative(name, file, f"file name {name[:200]!r}")
    if not found:
        return search.root / folder, {name: direct.get(name, name) for name in wanted}, ()
    loose = [f"{name[:200]!r} as {place}" for name, place in found.items()
             if portable(name).parts != PurePosixPath(place).parts[-len(portable(name).parts):]
             or PurePosixPath(name).is_absolute()]
    warnings = (f"{len(loose)} images of {file.name} were found by the end of their path: {listed(loose[:SHOWN])}",)
    inside = f"{folder}/" if folder else ""
    return (search.root, {name: found.get(name, inside + direct.get(name, name)) for name in wanted},
            warnings if loose else ())


def _direct(search: FileSearch, name: str, folder: str) -> str | None:
    """Return a name that is a path within ``folder``, as it is or with the slashes of this machine."""
    for own in dict.fromkeys((name, name.replace("\\", "/"))):
        path = PurePosixPath(own)
        if path.parts and not path.is_absolute() and ".." not in path.parts and search.has(
                f"{folder}/{own}" if folder else own):
            return own
    return None


def _folders(annotations: str, split: str) -> list[str]:
    """Return the customary folders of a split's images, relative to the data folder, those of COCO's own first."""
    own = PurePosixPath(annotations).parent
    names = dict.fromkeys((plain_name(PurePosixPath(annotations)), split))
    found = [PurePosixPath(base, layout.format(name)) for base in (PurePosixPath(""), own, own.parent)
             for name in names for layout in _IMAGE_LAYOUTS]
    return list(dict.fromkeys("" if str(path) == "." else str(path) for path in found))


class _Reader:
    """Checks the three lists of one annotation file; faults are collected, so that one run reports them all."""

    def __init__(self, file: Path) -> None:
        document = read_json(file, "annotation file", "Export the annotations again or correct the place named.",
                             MOST_BYTES, any_number=True)
        if not isinstance(document, dict) or not all(isinstance(document.get(key), list) for key in _KEYS):
            found = f"keys {bounded_repr(list(document))}" if isinstance(document, dict) else type(document).__name__
            raise UserError("annotation file", f"{file} ({found})",
                            "A COCO file is an object with the lists 'images', 'annotations' and 'categories'.",
                            "Export the annotations as COCO object detection (instances).")
        self.file, self._document = file, document
        self._faults: list[tuple[str, Any, str]] = []
        self._doubles: list[str] = []
        self._entries: dict[Any, tuple[int, dict[str, Any]]] = {}
        self._skipped: Counter[str] = Counter()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what was odd but could be read, one sentence each."""
        return (*self._doubles, *(f"{count} annotations of {self.file.name} {why}"
                                  for why, count in self._skipped.items()))

    def stop_at_faults(self) -> None:
        """Raise UserError where anything was found: the fault, or a list of the first ten."""
        if len(self._faults) == 1:
            what, value, rule = self._faults[0]
            raise UserError(f"{self.file}, {what}", bounded_repr(value), rule, _FIX)
        if self._faults:
            lines = [f"{what} is {bounded_repr(value)}: {rule}" for what, value, rule in self._faults]
            raise UserError(str(self.file), f"{len(lines)} faults: {listed(lines, ' ')}", "All must be corrected.",
                            _FIX)

    def categories(self) -> dict[Any, str]:
        """Return category names by id, in the file's order; of two of one name the one without annotations goes."""
        names: dict[Any, str] = {}
        for index, entry in enumerate(self._document["categories"]):
            what = f"categories[{index}]"
            key = self._unique_id(entry, what, names)
            if key is None:
                continue
            name = entry.get("name")
            name = str(name) if type(name) is int else name
            if not isinstance(name, str) or not name.strip() or not is_unicode(name):
                self._fault(f"{what}.name", name, "A category needs a name.")
            else:
                names[key] = name
        if not self._document["categories"]:
            self._fault("categories", [], "There must be at least one category.")
        used = {_key(entry.get("category_id")) for entry in self._document["annotations"] if isinstance(entry, dict)}
        for name, count in Counter(names.values()).items():
            if count > 1:
                self._resolve_double(names, name, used)
        return names

    def _resolve_double(self, names: dict[Any, str], name: str, used: set[Any]) -> None:
        keys = [key for key, own in names.items() if own == name]
        boxed = [key for key in keys if key in used] or keys[:1]
        for key in keys:
            if key not in boxed:
                del names[key]
                self._doubles.append(f"category {key} {name!r} has no box and the name of category {boxed[0]}: "
                                     "it is left out")
        if len(boxed) > 1:
            self._doubles.append(f"categories {listed(map(str, boxed))} are all named {name!r}: they are one class")

    def file_names(self) -> dict[Any, str]:
        """Return the names of image files by image id, in the file's order."""
        names: dict[Any, str] = {}
        seen: dict[str, str] = {}
        for index, entry in enumerate(self._document["images"]):
            what = f"images[{index}]"
            key = self._unique_id(entry, what, names)
            if key is None:
                continue
            # LVIS 1.0 has the place on COCO's server alone (mmdet/datasets/lvis.py).
            name = entry.get("file_name", str(entry.get("coco_url", "")).removeprefix(_COCO_SERVER) or None)
            if not isinstance(name, str) or "\0" in name or not is_unicode(name) or not portable(name).parts:
                self._fault(f"{what}.file_name", name, "An image needs the name of its file.")
            elif name in seen:
                self._fault(f"{what}.file_name", name, f"{seen[name]} names the same file.")
            else:
                names[key] = name
                self._entries[key] = (index, entry)
                seen[name] = what
        return names

    def images(self, places: dict[Any, str],
               measure: Callable[[str], tuple[int, int]]) -> dict[Any, AnnotatedImage]:
        """Return images by id from their places; a size that the file does not say, or says as 0, is measured."""
        images: dict[Any, AnnotatedImage] = {}
        seen: dict[str, Any] = {}
        for key, place in places.items():
            index, entry = self._entries[key]
            if place in seen:
                self._fault(f"images[{index}].file_name", entry.get("file_name"),
                            f"Image {seen[place]} is the same file.")
            seen[place] = key
            given = [entry.get(side) for side in ("width", "height")]
            if any(side is None or _number(side) == 0 for side in given):
                width, height = measure(place)
            else:
                sides = [_number(side) for side in given]
                for name, side, value in zip(("width", "height"), given, sides):
                    if value is None or value < 1 or value != int(value):
                        self._fault(f"images[{index}].{name}", side, "It must be a whole number of pixels, 1 or more.")
                width, height = (int(value or 1) for value in sides)
            images[key] = AnnotatedImage(place, width, height, ())
        return images

    def boxes(self, images: dict[Any, AnnotatedImage], categories: dict[Any, str]) -> dict[Any, list[Box]]:
        """Return boxes by image id; those of images or categories not listed are skipped, as in MMDetection."""
        boxes: dict[Any, list[Box]] = {}
        for index, entry in enumerate(self._document["annotations"]):
            what = f"annotations[{index}]"
            if not isinstance(entry, dict):
                self._fault(what, entry, "It must be an object.")
                continue
            image, category = _key(entry.get("image_id")), _key(entry.get("category_id"))
            if image is None:
                self._fault(f"{what}.image_id", entry.get("image_id"), "It must be the id of an entry of 'images'.")
            elif category is None:
                self._fault(f"{what}.category_id", entry.get("category_id"),
                            "It must be the id of an entry of 'categories'.")
            elif image not in images:
                self._skipped["are of images that it does not list: left out"] += 1
            elif category not in categories:
                self._skipped["are of categories that it does not list: left out"] += 1
            elif box := self._box(entry, images[image], categories[category], what, index):
                boxes.setdefault(image, []).append(box)
        return boxes

    def _box(self, entry: dict[str, Any], image: AnnotatedImage, category: str, what: str, index: int) -> Box | None:
        mask = sound_mask(entry.get("segmentation"), image.width, image.height)
        given = entry.get("bbox")
        numbers = [_number(number) for number in given] if isinstance(given, list) else []
        sides = numbers if len(numbers) == _BOX_NUMBERS and None not in numbers else None
        if not given and isinstance(mask, list):
            columns, rows = ([number for polygon in mask for number in polygon[axis::2]] for axis in (0, 1))
            sides = [min(columns), min(rows), max(columns) - min(columns), max(rows) - min(rows)]
        crowd, area = _flag(entry.get("iscrowd", 0)), _number(entry.get("area"))
        if sides is None:
            self._fault(f"{what}.bbox", given, "It must be [x, y, width, height], four finite numbers of pixels.")
        elif crowd is None:
            self._fault(f"{what}.iscrowd", entry["iscrowd"], "It must be 0 or 1.")
        elif entry.get("area") is not None and (area is None or area < 0):
            self._fault(f"{what}.area", entry["area"], "It must be a finite number, 0 or more.")
        else:
            own = entry.get("id")
            label = f"annotation {own}" if isinstance(own, (int, str)) else f"annotations[{index}]"
            # `ignore` is what MMDetection's CocoDataset leaves out of training.
            return Box(category, *sides, crowd or bool(_flag(entry.get("ignore", 0))), area or None, label[:80], mask)
        return None

    def _unique_id(self, entry: Any, what: str, seen: dict[Any, Any]) -> Any:
        if not isinstance(entry, dict):
            self._fault(what, entry, "It must be an object.")
            return None
        key = _key(entry.get("id"))
        if key is None:
            self._fault(f"{what}.id", entry.get("id"), "It must be a whole number or a text.")
        elif key in seen:
            self._fault(f"{what}.id", entry["id"], "Ids must be unique in their list.")
            return None
        return key

    def _fault(self, what: str, value: Any, rule: str) -> None:
        self._faults.append((what, value, rule))


def _key(value: Any) -> Any:
    """Return an id in the one form that JSON's ways of writing it share: 7, 7.0 and "7" are one; None where none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str):
        short = value.isascii() and value.isdigit() and len(value) <= _LONGEST_ID
        return int(value) if short and str(int(value)) == value else value or None
    return value


def _number(value: Any) -> float | None:
    """Return a JSON number, or one in quotes, as float; None where it is none or not finite."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _flag(value: Any) -> bool | None:
    """Return a truth value written as 0, 1, "0", "1", true, false or null; None where it is none of these."""
    if value is None or isinstance(value, bool):
        return bool(value)
    number = _number(value)
    return bool(number) if number in (0, 1) else None
