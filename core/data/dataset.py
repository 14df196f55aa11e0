"""Resolving a data set once and opening it in every stage that works with it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.suggest import listed
from core.base.text import printable
from core.data.digest import FileMemory, FileRow, data_digest
from core.data.examination import choose_format, examine, may_be_annotation
from core.data.image_files import ON_DISK, ListedImages
from core.data.layout import Fractions, Layout, SplitNames
from core.data.place import Place, locate
from core.data.prepared import entry_folder, read_manifest, write_entry
from core.data.reference import DataRef
from core.data.search import FileSearch
from core.data.splits import AUTO, plan

_LOGGER = logging.getLogger(__name__)
MOST_LOGGED = 2000


@dataclass(frozen=True)
class Split:
    """One split, ready for any reader of COCO annotations.

    Attributes:
        annotation_file: Cleaned COCO annotations in the cache: category ids 1..K in the order of the classes, boxes
            [x, y, width, height] in pixels, clipped to the image, with an area above 0. Boxes with ``iscrowd`` 1
            (COCO's crowds and Pascal VOC's difficult objects) are to be ignored. ``segmentation`` is there where the
            data have a sound one.
        image_root: The folder that the annotations' file names are relative to.
        boxes: Number of boxes, without those to be ignored.
        masks: How many of these boxes have a mask.
        parts: Where the split has several annotation files, such as the entries of a config's own data, depth first:
            the cleaned annotations of each, with names relative to the same ``image_root``; else empty.
    """

    name: str
    annotation_file: Path
    image_root: Path
    images: int
    boxes: int
    masks: int = 0
    parts: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """A data set whose files are those that were resolved.

    Attributes:
        classes: The class names, in the order of the model's outputs.
        warnings: What the user should know, one sentence each: boxes dropped, classes left out, overlaps.
    """

    classes: tuple[str, ...]
    train: Split
    val: Split | None
    test: Split
    digest: str
    warnings: tuple[str, ...]


def resolve_data(uri: str, data_format: str = AUTO, classes: Sequence[str] = (), train_split: str = AUTO,
                 val_split: str = AUTO, test_split: str = AUTO, val_fraction: float = 0.1, test_fraction: float = 0.1,
                 split_seed: int = 0, keep_order: bool = True) -> DataRef:
    """Check a data set, log what was found and its warnings, and return the reference that later stages open.

    Of a prefix on S3 only the annotation files are fetched: images must be in the listing and not empty, and
    :func:`open_dataset` looks into them. Anything else is checked whole.

    Args:
        uri: A folder or an archive (path, ``file://`` or ``s3://bucket/prefix``), or ``builtin://digits`` with options.
        data_format: ``coco``, ``voc`` or ``auto``.
        classes: The classes to use; all of the data's where empty.
        train_split: A split's name, the path of its annotation file, or ``auto``: train, else trainval, else the only
            one.
        val_split: A split's name, ``""`` or ``none`` for none, or ``auto``: val, else valid, else none.
        test_split: A split's name, or ``auto``: test, else what ``auto`` takes for validation.
        val_fraction: Part of the images to follow training with where the data have neither split; 0 for none.
        test_fraction: Part of the images to measure on, likewise.
        split_seed: Chooses these images.
        keep_order: Whether the classes are numbered in the order of ``classes``. MMDetection numbers those of a COCO
            file in its own order, whatever the order of a config's ``classes`` (mmdet/datasets/coco.py,
            load_annotations).

    Raises:
        UserError: Anything in the data that training or measuring would fail on.
    """
    fractions = Fractions(val_fraction, test_fraction, int(split_seed))
    place = locate(uri, lambda name: may_be_annotation(name, data_format))
    search = search_of(place)
    data_format, found = choose_format(search, data_format)
    layout = plan(found, (train_split, val_split, test_split), fractions, place.root, data_format == "coco")
    # A warning, so that it is shown where nothing has set up logging.
    _LOGGER.warning("data: %s", printable(layout.describe(data_format, found), MOST_LOGGED))
    return resolve_layout(place, search, data_format, layout, tuple(classes), keep_order)


def search_of(place: Place) -> FileSearch:
    """Return the files of a data set: those of its folder, or those of its listing on S3."""
    return FileSearch(place.root, ListedImages(place.root, place.uri, place.objects) if place.objects else ON_DISK)


def resolve_layout(place: Place, search: FileSearch, data_format: str, layout: Layout,
                   classes: tuple[str, ...], keep_order: bool = True) -> DataRef:
    """Check the splits of a data set whose layout is known; see :func:`resolve_data`."""
    examined = examine(search, data_format, layout, classes, keep_order)
    if classes and examined.classes != classes:
        _LOGGER.warning("data: the config's `classes` are numbered as MMDetection numbers them, in the annotation "
                        "file's order: %s", printable(listed(examined.classes), MOST_LOGGED))
    ref = DataRef(place.uri, data_digest(examined.rows, layout.fractions), data_format, examined.classes,
                  *layout.names, source=place.source, layout=layout.to_text())
    if not place.objects:
        write_entry(entry_folder(ref), place.root, examined)
    for warning in examined.warnings:
        _LOGGER.warning("data: %s", printable(warning, MOST_LOGGED))
    return ref


def open_dataset(ref: DataRef) -> Dataset:
    """Open a resolved data set; its images stay in place, its cleaned annotations lie in the cache.

    The first to open one on S3 fetches it and looks into every image.

    Raises:
        UserError: The data is not there or is not what was resolved, or an image cannot be used.
    """
    place = locate(ref.uri)
    if place.source != ref.source:
        raise _changed(ref, "its archive or an object differs")
    root = place.root
    entry = entry_folder(ref)
    manifest = read_manifest(entry)
    if manifest is not None:
        _verify_files(ref, root, manifest["files"])
    else:
        layout = Layout.from_text(SplitNames(ref.train_split, ref.val_split, ref.test_split), ref.layout)
        examined = examine(FileSearch(root), ref.format, layout, ref.classes)
        rows: Sequence[FileRow] = examined.rows
        if place.objects:
            # The rows that the resolve stage saw are the listing's.
            listing = ListedImages(place.root, place.uri, place.objects)
            rows = [listing.row(root / row[0]) for row in rows]
        found = data_digest(rows, layout.fractions)
        if found != ref.digest:
            raise _changed(ref, f"digest {found[:12]}...")
        manifest = write_entry(entry, root, examined)
    splits = {role: Split(described["name"], entry / f"{role}.json", root / described["image_root"],
                          described["images"], described["boxes"], described["masks"],
                          tuple(entry / name for name in described["parts"]))
              for role, described in manifest["splits"].items()}
    return Dataset(ref.classes, splits["train"], splits.get("val"), splits["test"], ref.digest,
                   tuple(manifest["warnings"]))


def _verify_files(ref: DataRef, root: Path, rows: Sequence[Sequence[Any]]) -> None:
    memory = FileMemory(root)
    changed = []
    for row in rows:
        try:
            if memory.row(root / row[0]) != tuple(row):
                changed.append(row[0])
        except OSError as error:
            changed.append(f"{row[0]} ({error.strerror})")
    memory.save()
    if changed:
        raise _changed(ref, f"{len(changed)} files differ: {listed(changed)}")


def _changed(ref: DataRef, difference: str) -> UserError:
    return UserError("data", f"{ref.uri} changed since it was resolved ({difference})",
                     f"Every stage of a run must see the same data (digest {ref.digest[:12]}...).",
                     "Restore the files, or start the run again so that the data is resolved again.")
