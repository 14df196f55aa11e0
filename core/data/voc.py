"""Pascal VOC folders: ``Annotations/*.xml``, ``ImageSets/Main/<split>.txt``, ``JPEGImages/``.

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
from core.base.text import bounded_repr, shown
from core.data.annotations import AnnotatedImage, AnnotatedSplit, Box, check_relative
from core.data.image_files import ON_DISK, ImageFiles

_ANNOTATIONS, _IMAGES, _SPLITS = "Annotations", "JPEGImages", "ImageSets/Main"
# VOC's lists by class (aeroplane_train.txt) hold a second column and are no splits.
_CLASS_LIST = re.compile(r".+_(train|val|trainval|test)$")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_LARGEST = 2 ** 31
_MOST_XML_BYTES, _MOST_LIST_BYTES = 16 << 20, 256 << 20


def describe_layouts() -> str:
    """Return the layout that is looked for, for messages."""
    return f"{_SPLITS}/<split>.txt with {_ANNOTATIONS}/ and {_IMAGES}/"


def is_annotation(name: str) -> bool:
    """Tell whether a file of this name, relative to the data folder, can be one that :func:`read_split` reads."""
    folder, _, own = name.rpartition("/")
    return (folder == _SPLITS and own.endswith(".txt")
            or name.startswith(f"{_ANNOTATIONS}/") and own.endswith(".xml"))


def list_splits(root: Path, images: ImageFiles = ON_DISK) -> tuple[str, ...]:
    """Return the names of the splits that a folder has in Pascal VOC format, sorted."""
    if not images.has_folder(root / _ANNOTATIONS) or not images.has_folder(root / _IMAGES):
        return ()
    return tuple(sorted(path.stem for path in (root / _SPLITS).glob("*.txt") if not _CLASS_LIST.match(path.stem)))


def read_split(root: Path, name: str, images: ImageFiles = ON_DISK) -> AnnotatedSplit:
    """Read and check one split; only faults of structure stop it, boxes are cleaned later.

    Classes are the names found, sorted.

    Args:
        root: The data folder, which holds the split and annotation files.
        name: The split's name, one of ``list_splits``.
        images: Which images the data set has.

    Raises:
        UserError: A file is missing or is not a sound Pascal VOC annotation; file, value and rule are named.
    """
    split_file = root / _SPLITS / f"{name}.txt"
    names = _by_stem(images.names(root / _IMAGES))
    annotated, files = [], [split_file]
    for stem in _read_names(split_file):
        file = root / _ANNOTATIONS / f"{stem}.xml"
        annotated.append(_read_image(file, names.get(stem, f"{stem}.jpg"), root / _IMAGES, images))
        files.append(file)
    classes = sorted({box.category for image in annotated for box in image.boxes})
    return AnnotatedSplit(name, root / _IMAGES, tuple(files), tuple(classes), tuple(annotated))


def parse_xml(data: bytes) -> ElementTree.Element:
    """Parse XML without a document type, so that no entity can be declared (billion laughs, file inclusion).

    Raises:
        ValueError: It is not well-formed or declares a document type.
    """
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError) as error:
        raise ValueError(str(error)) from error
    return builder.close()


def _refuse_doctype(*declaration: object) -> NoReturn:
    raise ValueError("a document type declaration (<!DOCTYPE ...>) is not accepted in annotations")


def _by_stem(file_names: list[str]) -> dict[str, str]:
    """Return image file names by stem; .jpg, the format's own, wins over other endings."""
    names: dict[str, str] = {}
    for path in map(PurePosixPath, file_names):
        if path.stem not in names or path.suffix == ".jpg":
            names[path.stem] = path.name
    return names


def _read_names(split_file: Path) -> list[str]:
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
                            "Take one of the lines out.")
        names[stem] = number
    return list(names)


def _read_image(file: Path, file_name: str, folder: Path, images: ImageFiles) -> AnnotatedImage:
    if not os.path.exists(file):
        raise UserError("annotation file", file, "It is missing, though a split names it.",
                        "Restore it or take its name out of the split file.")
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
    width, height = _size(root, file) or images.size(folder / file_name)
    boxes = tuple(_read_object(entry, file, number) for number, entry in enumerate(root.findall("object"), start=1))
    return AnnotatedImage(file_name, width, height, boxes)


def _size(root: ElementTree.Element, file: Path) -> tuple[int, int] | None:
    """Return the annotated size, or None where there is none or it is 0, as some tools write it."""
    if root.find("size") is None:
        return None
    width, height = (_number(root, f"size/{side}", file, "size") for side in ("width", "height"))
    return (int(width), int(height)) if width >= 1 and height >= 1 else None


def _read_object(entry: ElementTree.Element, file: Path, number: int) -> Box:
    """Read one object with MMDetection's convention (2.28, mmdet/datasets/xml_style.py).

    Coordinates are 1-based whole pixels and truncated to integers; 1 is taken off each of the four, and the
    width is xmax - xmin (not one more), so that COCO boxes give the corners that mmdet's XMLDataset gives.
    """
    category = (entry.findtext("name") or "").strip()
    label = f"object {number} ({category})"
    if not category:
        raise UserError(f"{file}, object {number}", "no name", "An object needs the name of its class.",
                        "Correct the annotation.")
    left, top, right, bottom = (int(_number(entry, f"bndbox/{corner}", file, label)) for corner in _CORNERS)
    difficult = entry.find("difficult") is not None and _number(entry, "difficult", file, label) != 0
    return Box(category, left - 1, top - 1, right - left, bottom - top, difficult, None, label)


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
