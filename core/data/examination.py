"""Examining a data set: read, checked, cleaned and hashed, in whichever format it is. On S3 first by its listing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.suggest import listed, suggestion
from core.data import coco, voc
from core.data.annotations import AnnotatedSplit, clean_split
from core.data.classes import choose_classes, class_warnings
from core.data.digest import FileFacts, FileMemory, FileRow
from core.data.image_files import ListedImages
from core.data.images import check_sizes, examine_images
from core.data.layout import Found, Layout, SplitNames
from core.data.search import FileSearch
from core.data.splits import AUTO, joined, make_splits, split_warnings
from core.data.voc import stop_at_faults

FORMATS = {"coco": coco, "voc": voc}
"""The reader of each format: is_annotation, find_splits, read_part, LAYOUTS."""


@dataclass(frozen=True)
class Examined:
    """A data set as found, cleaned and hashed.

    Attributes:
        splits: The cleaned splits by role: ``train``, ``val`` (where there is one) and ``test``.
        rows: A row for each file that matters, sorted; what the digest is made of.
        warnings: What the user should know, one sentence each.
    """

    classes: tuple[str, ...]
    splits: dict[str, AnnotatedSplit]
    rows: tuple[FileRow, ...]
    warnings: tuple[str, ...]


def may_be_annotation(name: str, asked: str) -> bool:
    """Return whether a file of this name is needed to read annotations of the format asked for."""
    return any(reader.is_annotation(name) for reader in _readers(asked).values())


def choose_format(search: FileSearch, asked: str) -> tuple[str, Found]:
    """Return the format of a folder, the one asked for or the only one that it has, and its splits.

    Raises:
        UserError: It has neither the format asked for nor, for ``auto``, exactly one.
    """
    if asked not in (AUTO, *FORMATS):
        raise UserError("parameter data_format", repr(asked) + suggestion(asked, FORMATS),
                        "It must be auto, coco or voc.", "Leave it at auto to have it detected.")
    found = {name: splits for name, reader in _readers(asked).items() if (splits := reader.find_splits(search))}
    if len(found) == 1:
        return next(iter(found.items()))
    if found:
        raise UserError("parameter data_format", f"auto, and {search.root} has annotations in both formats",
                        "Only one of them can be used.", "Set data_format to coco or voc.")
    layouts = "; or ".join(f"{name}: {reader.LAYOUTS}" for name, reader in _readers(asked).items())
    entries = listed(search.images.names(search.root)) or "nothing"
    raise UserError("data folder", f"{search.root} has no annotations (it holds {entries})", f"Looked for {layouts}.",
                    "Pass the folder that holds these, or arrange the data so.")


def examine(search: FileSearch, data_format: str, layout: Layout, asked: tuple[str, ...],
            keep_order: bool = True) -> Examined:
    """Read and check the annotations and every image of the splits in use, and hash them.

    Of a listing on S3 only the annotations are read, and images must be in it. What only pixels tell - a corrupt image,
    one of another size - is found by the stage that fetches the images. Its rows have ETags for hashes.

    Args:
        data_format: A key of ``FORMATS``.
        asked: The classes to use; all where empty.
        keep_order: Whether they are numbered in this order, rather than in the order of a COCO file's categories.

    Raises:
        UserError: Anything in the data that training or measuring would fail on.
    """
    by_name = _read(search, data_format, layout)
    annotations = [file for split in by_name.values() for file in split.files]
    expected = [(file, image.width, image.height) for split in by_name.values()
                for file, image in zip(_image_paths(split), split.images)]
    contents: dict[Path, Any]
    if isinstance(search.images, ListedImages):
        search.images.check([file for file, _, _ in expected])
        contents = {file: search.images.row(file)[1:] for file, _, _ in expected}
        rows = {search.images.row(file) for file in (*annotations, *contents)}
    else:
        memory = FileMemory(search.root)
        found = examine_images((file for file, _, _ in expected), memory)
        memory.save()
        check_sizes(expected, found, search.root)
        facts = {file: checked for file, checked in found.items() if isinstance(checked, FileFacts)}
        contents = {file: checked.sha256 for file, checked in facts.items()}
        rows = {memory.row(file) for file in annotations}
        rows.update((memory.relative(file), checked.size, checked.sha256) for file, checked in facts.items())
        memory.save()
    known = dict.fromkeys(name for split in by_name.values() for name in split.classes)
    # Pascal VOC has no list of its own; sorted, the order does not depend on which split comes first.
    unlisted = data_format == "voc"
    classes = choose_classes(asked, sorted(known) if unlisted else tuple(known), keep_order or unlisted)
    cleaned = {name: clean_split(split, classes) for name, split in by_name.items()}
    names = layout.names
    warnings = (split_warnings(names) + class_warnings(classes, tuple(by_name.values()))
                + tuple(warning for split in cleaned.values() for warning in split.warnings)
                + _overlap_warnings(cleaned, names, contents))
    splits = {role: cleaned[name] for role, name in names._asdict().items() if name}
    return Examined(classes, splits, tuple(sorted(rows)), warnings)


def _readers(asked: str) -> dict[str, Any]:
    return {name: reader for name, reader in FORMATS.items() if asked in (AUTO, name)}


def _read(search: FileSearch, data_format: str, layout: Layout) -> dict[str, AnnotatedSplit]:
    reader = FORMATS[data_format]
    read, faults = {}, []
    for name, parts in layout.parts.items():
        try:
            read[name] = joined(name, [reader.read_part(search, part, name) for part in parts], search.root)
        except UserError as error:
            faults.append(error)
    stop_at_faults(faults, f"{len(faults)} splits")
    if layout.fractions:
        return make_splits(read[layout.names.train], layout.fractions, layout.names)
    return read


def _image_paths(split: AnnotatedSplit) -> list[Path]:
    return [split.image_root / image.file_name for image in split.images]


def _overlap_warnings(splits: dict[str, AnnotatedSplit], names: SplitNames,
                      contents: dict[Path, Any]) -> tuple[str, ...]:
    """Return warnings about images, identified by content, that are trained on and measured with."""
    seen = {name: {contents[file] for file in _image_paths(split)} for name, split in splits.items()}
    warnings = []
    for name in dict.fromkeys((names.val, names.test)):
        shared = len(seen[names.train] & seen[name]) if name else 0
        if shared:
            warnings.append(f"{shared} images of split {name!r} are also in {names.train!r}: "
                            "figures measured on them flatter the model")
    return tuple(warnings)
