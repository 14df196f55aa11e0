"""Pascal VOC folders: ``Annotations/*.xml``, ``ImageSets/Main/<split>.txt``, ``JPEGImages/``; or XML files with images.

The format: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html
"""

import math
import os
import re
from pathlib import Path, PurePosixPath
from typing import NoReturn
from xml.etree import ElementTree
from xml.parsers import expat

from core.base.errors import UserError
from core.base.foreign_file import kind_of, not_text, read_foreign
from core.base.suggest import SHOWN, listed
from core.base.text import bounded_repr, shown
from core.data.annotations import AnnotatedImage, AnnotatedSplit, Box, check_relative
from core.data.image_files import ImageFiles
from core.data.layout import UNNAMED, Found, Part, split_of
from core.data.search import IMAGE_SUFFIXES, FileSearch

_ANNOTATIONS, _IMAGES, _SPLITS = "Annotations", "JPEGImages", "ImageSets/Main"
LAYOUTS = f"{_SPLITS}/<split>.txt with {_ANNOTATIONS}/ and {_IMAGES}/, or folders of XML files with their images"
"""What is looked for, for messages."""
# VOC's lists by class (aeroplane_train.txt) hold a second column and are no splits.
_CLASS_LIST = re.compile(r".+_(train|val|trainval|test)$")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_LARGEST = 2 ** 31
_MOST_XML_BYTES, _MOST_LIST_BYTES = 16 << 20, 256 << 20
_SAMPLE_BYTES = 4096
_TRUTH = {"": False, "0": False, "false": False, "no": False, "unspecified": False,
          "1": True, "true": True, "yes": True}
_COORDINATE = re.compile(r"[xy]\d*")


def is_annotation(name: str) -> bool:
    """Return whether a file of this name, relative to the data folder, can be one that :func:`read_part` reads."""
    path = PurePosixPath(name)
    return path.suffix.lower() == ".xml" or path.suffix == ".txt" and path.parent.as_posix().endswith(_SPLITS)


def find_splits(search: FileSearch) -> Found:
    """Return the annotations of a folder by split: those of its split files, else its folders of XML files."""
    files = [PurePosixPath(name) for name in search.files() if is_annotation(name)]
    found: Found = {}
    for path in files:
        if path.suffix == ".txt" and not _CLASS_LIST.match(path.stem):
            top = PurePosixPath(*path.parts[:-3])
            if search.images.has_folder(search.root / top / _ANNOTATIONS):
                images = top / _IMAGES if search.images.has_folder(search.root / top / _IMAGES) else None
                found.setdefault(path.stem, []).append(
                    Part((top / _ANNOTATIONS).as_posix(), images and images.as_posix(), path.as_posix()))
    if found:
        return found
    for folder in dict.fromkeys(path.parent for path in files if path.suffix.lower() == ".xml"):
        sample = next(path for path in files if path.parent == folder)
        if b"<annotation" in search.head(sample.as_posix(), _SAMPLE_BYTES):
            split = split_of(folder / "*")
            found.setdefault(UNNAMED if split == "*" else split, []).append(
                Part("" if folder == PurePosixPath() else folder.as_posix()))
    return found


def read_part(search: FileSearch, part: Part, name: str) -> AnnotatedSplit:
    """Read and check one list of images, or one folder; only faults of structure stop it, boxes are cleaned later.

    Classes are the names found, sorted.

    Args:
        part: The folder of annotations, and the list of images where there is one.

    Raises:
        UserError: A file is missing or is not a sound Pascal VOC annotation; file, value and rule are named, up to ten
            faults.
    """
    if part.names:
        stems = dict.fromkeys(_read_names(search.root / part.names), ".xml")
    else:
        inside = map(PurePosixPath, search.images.names(search.root / part.annotations))
        stems = {path.stem: path.suffix for path in inside if path.suffix.lower() == ".xml"}
    folder = part.images or ""
    own = search.images_of(folder) if part.images is not None else {}
    annotated, files, faults = [], [search.root / part.names] if part.names else [], []
    warnings: list[str] = []
    for stem, suffix in stems.items():
        file = search.root / part.annotations / f"{stem}{suffix}"
        try:
            place = own.get(stem, f"{stem}.jpg") if part.images is not None else search.of_annotation(
                (PurePosixPath(part.annotations) / file.name).as_posix())
            if place is None:
                raise UserError("annotation file", file, "It has no image of its name in the data folder.",
                                "Restore the image, or remove the annotation.")
            annotated.append(_read_image(file, place, search.root / folder, search.images, warnings))
        except UserError as error:
            faults.append(error)
        files.append(file)
    stop_at_faults(faults, f"split {name!r}")
    if part.images is None:
        warnings += _without_annotation(search, part.annotations, {image.file_name for image in annotated})
    if len(warnings) > SHOWN:
        warnings[SHOWN:] = [f"{len(warnings) - SHOWN} more warnings like these"]
    classes = sorted({box.category for image in annotated for box in image.boxes})
    return AnnotatedSplit(name, search.root / folder, tuple(files), tuple(classes), tuple(annotated),
                          tuple(f"split {name!r}: {warning}" for warning in warnings))


def stop_at_faults(faults: list[UserError], what: str) -> None:
    """Raise the one fault there is, or one error that lists the first ten."""
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise UserError(f"annotations of {what}", f"{len(faults)} faults: " + listed(
            (f"{fault.thing}: {fault.value}. {fault.rule}" for fault in faults), " "), "All must be corrected.",
            faults[0].hint)


def _without_annotation(search: FileSearch, folder: str, used: set[str]) -> list[str]:
    """Return a warning about images beside used ones that have no annotation file, as LabelImg leaves them."""
    folders = {PurePosixPath(place).parent for place in used}
    others = [name for name in search.files() if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES
              and PurePosixPath(name).parent in folders and name not in used]
    annotated = {path for path in others if search.has(f"{folder}/{PurePosixPath(path).stem}.xml")}
    others = [name for name in others if name not in annotated]
    return [f"{len(others)} images without an annotation file are not used: {listed(others)}"] if others else []


def parse_xml(data: bytes) -> ElementTree.Element:
    """Parse XML without a document type, so that no entity can be declared (billion laughs, file inclusion).

    Raises:
        ValueError: It is not well-formed or declares a document type.
    """
    def refuse(*declaration: object) -> NoReturn:
        raise ValueError("a document type declaration (<!DOCTYPE ...>) is not accepted in annotations")

    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError) as error:
        raise ValueError(str(error)) from error
    return builder.close()


def _read_names(split_file: Path) -> dict[str, int]:
    """Return the stems that a split file lists, each with its line."""
    content = read_foreign(split_file, "split file", _MOST_LIST_BYTES)
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError("split file", f"{split_file} ({shown(error)})", "It must be text in UTF-8, one image name a "
                        "line.", "Save it as UTF-8.") from error
    names: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        stem = line.strip()
        if not stem:
            continue
        check_relative(stem, split_file, f"line {number}")
        if stem in names:
            raise UserError(f"{split_file}, line {number}", repr(stem), f"Line {names[stem]} names the same image.",
                            "Remove one of the lines.")
        names[stem] = number
    return names


def _read_image(file: Path, file_name: str, folder: Path, images: ImageFiles, warnings: list[str]) -> AnnotatedImage:
    if not os.path.exists(file):
        raise UserError("annotation file", file, "It is missing, though a split names it.",
                        "Restore it, or remove its name from the split file.")
    content = read_foreign(file, "annotation file", _MOST_XML_BYTES)
    kind = kind_of(content)
    try:
        root = parse_xml(content)
        if not_text(content) not in ("", "XML"):
            raise ValueError("it is no annotation")
    except ValueError as error:
        problem = f"{shown(error)}; it is {kind}" if kind not in ("", "XML") else shown(error)
        raise UserError("annotation file", f"{file} ({problem})", "It must be well-formed XML without a document type.",
                        "Export the annotation again or correct the place named.") from error
    width = height = 0.0
    if root.find("size") is not None:
        width, height = (_number(root, f"size/{side}", file, "size") for side in ("width", "height"))
    if width < 1 or height < 1:  # as some tools write it where they do not know it
        width, height = images.size(folder / file_name)
    boxes = tuple(_read_object(entry, file, number, warnings)
                  for number, entry in enumerate(root.findall("object"), start=1))
    return AnnotatedImage(file_name, int(width), int(height), boxes)


def _read_object(entry: ElementTree.Element, file: Path, number: int, warnings: list[str]) -> Box:
    """Read one object with MMDetection's convention (2.28, mmdet/datasets/xml_style.py).

    Coordinates are 1-based whole pixels and truncated to integers; 1 is taken off each of the four, and the
    width is xmax - xmin (not one more), so that COCO boxes give the corners that mmdet's XMLDataset gives. Corners in
    the wrong order are swapped, with a warning.
    """
    category = (entry.findtext("name") or "").strip()
    label = f"object {number} ({category})"
    if not category:
        raise UserError(f"{file}, object {number}", "no name", "An object needs the name of its class.",
                        "Correct the annotation.")
    corners = _polygon_bounds(entry) if entry.find("bndbox") is None else None
    if corners is None:
        corners = [int(_number(entry, f"bndbox/{corner}", file, label)) for corner in _CORNERS]
    left, top, right, bottom = corners
    if left > right or top > bottom:
        warnings.append(f"{file.name}: {label} has its corners in the wrong order: they are swapped")
        left, right, top, bottom = min(left, right), max(left, right), min(top, bottom), max(top, bottom)
    text = (entry.findtext("difficult") or "0").strip().lower()
    difficult = _TRUTH.get(text)
    if difficult is None:
        difficult = _number(entry, "difficult", file, label) != 0
    return Box(category, left - 1, top - 1, right - left, bottom - top, difficult, None, label)


def _polygon_bounds(entry: ElementTree.Element) -> list[int] | None:
    """Return the bounds of an object's ``polygon``, of points x1, y1, x2, ... or of pt elements with x and y."""
    polygon = entry.find("polygon")
    if polygon is None:
        return None
    sides: dict[str, list[float]] = {"x": [], "y": []}
    for element in polygon.iter():
        if _COORDINATE.fullmatch(element.tag):
            try:
                sides[element.tag[0]].append(float(element.text or ""))
            except ValueError:
                return None
    if not sides["x"] or len(sides["x"]) != len(sides["y"]) or not all(
            abs(value) < _LARGEST for value in sides["x"] + sides["y"]):
        return None
    return [int(min(sides["x"])), int(min(sides["y"])), int(max(sides["x"])), int(max(sides["y"]))]


def _number(entry: ElementTree.Element, tag: str, file: Path, what: str) -> float:
    text = entry.findtext(tag)
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not abs(value) < _LARGEST:
        raise UserError(f"{file}, {what}, {tag}", bounded_repr(text, 120), f"It must be a number below {_LARGEST}.",
                        "Correct the annotation.")
    return value
