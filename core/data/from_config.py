"""The data set that a config's own ``data`` section describes, for a run that is given no other.

Paths mean what they mean in MMDetection 2.28 (mmdet/datasets/custom.py, coco.py, xml_style.py): ``ann_file`` and
``img_prefix`` from ``data_root``, and that from the current folder. Where nothing lies there, they are looked for from
the folder that holds ``configs``, and from the config's own.
"""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.suggest import listed
from core.base.text import bounded_repr, printable
from core.data.dataset import MOST_LOGGED, resolve_layout, search_of
from core.data.layout import Fractions, Part
from core.data.place import Place, locate
from core.data.reference import DataRef
from core.data.splits import AUTO, plan
from core.storage.location import Scheme, parse_location

_LOGGER = logging.getLogger(__name__)
_ROLES = ("train", "val", "test")
_WRAPPED = ("dataset", "datasets")
_STORED = f"{Scheme.S3.value}://"
_VOC_TYPES = ("VOCDataset", "XMLDataset")
_NOT_READ = {
    "CocoPanopticDataset": "panoptic segments", "OpenImagesDataset": "tables of Open Images",
    "OpenImagesChallengeDataset": "tables of Open Images", "WIDERFaceDataset": "WIDER FACE's lists of folders",
    "CustomDataset": "annotations of MMDetection's own form, mostly a pickle"}
_HINT = "Correct the path (absolute paths need no current folder), or give `data` to use another data set."


@dataclass(frozen=True)
class Entry:
    """One data set of a config: its key, and its values as the config has them."""

    where: str
    values: Mapping[str, Any]
    ann_file: str
    img_prefix: str

    @property
    def format(self) -> str:
        """Return the format of its annotations, by the type, else by the ending of ``ann_file``.

        Raises:
            UserError: It is none that is read.
        """
        kind = self.values.get("type")
        if kind in _NOT_READ:
            raise UserError(f"config, {self.where}.type", kind, f"It reads {_NOT_READ[kind]}, which are not read here.",
                            "Convert the annotations to COCO, or give `data` to use another data set.")
        if kind in _VOC_TYPES or self.ann_file.endswith(".txt"):
            return "voc"
        if self.ann_file.endswith(".json"):
            return "coco"
        raise UserError(f"config, {self.where}.ann_file", self.ann_file, "Annotations are a .json in COCO format, or a "
                        ".txt that lists images in Pascal VOC format.", "Convert them, or give `data`.")

    def part(self, base: str) -> Part:
        """Return its annotations and images, as paths from ``base``, a folder or a location on S3."""
        root = self.values.get("data_root")
        root = _joined(base, root) if isinstance(root, str) else base
        annotations, images = _joined(root, self.ann_file), _joined(root, self.img_prefix)
        if self.format == "coco":
            return Part(_normal(annotations), _normal(images))
        folders = [_joined(images, str(self.values.get(key, usual)))
                   for key, usual in (("ann_subdir", "Annotations"), ("img_subdir", "JPEGImages"))]
        return Part(*map(_normal, folders), _normal(annotations))


def resolve_config_data(config: Mapping[str, Any], config_file: Path | None = None, classes: Sequence[str] = (),
                        val_fraction: float = 0.1, test_fraction: float = 0.1, split_seed: int = 0,
                        keep_order: bool = False) -> DataRef:
    """Check the data of ``data.train``, ``data.val`` and ``data.test``, and return the reference that stages open.

    The config stays as it is, wrappers and all: ``Dataset.train.parts`` of the opened data set has an annotation file
    for each entry with an ``ann_file``, depth first, a list of ``ann_file`` counted one by one; it is empty where there
    is one entry.

    Args:
        classes: The classes to use; all of the data's where empty.
        val_fraction: Part of the images to follow training with where the config has neither validation nor test
            data.
        test_fraction: Part of the images to measure on, likewise.
        split_seed: Chooses these images.
        keep_order: As for ``resolve_data``.

    Raises:
        UserError: A file is not there, or anything in the data that training or measuring would fail on.
    """
    section = config.get("data") or {}
    entries = {role: list(entries_of(section.get(role), f"data.{role}")) for role in _ROLES}
    if not entries["train"]:
        raise UserError("config, data.train", "no ann_file", "Without `data`, the config's own data are used.",
                        "Give `data`, or write data.train.ann_file and img_prefix.")
    formats = sorted({entry.format for found in entries.values() for entry in found})
    if len(formats) > 1:
        raise UserError("config, data", f"annotations in the formats {listed(formats)}", "One format is read in a run.",
                        "Convert one of them, or give `data`.")
    located = _located(entries, _bases(config_file))
    root, parts = _from_common_root(located)
    place = Place(root, Path(root))
    if root.startswith(_STORED):
        # From S3 only the annotation files are downloaded.
        every = [part for found in parts.values() for part in found]
        place = locate(root, lambda name: any(
            name in (part.names, part.annotations) or part.names and name.startswith(f"{part.annotations}/")
            for part in every))
    if parts["test"] == parts["val"]:
        del parts["test"]
    layout = plan({role: found for role, found in parts.items() if found}, (AUTO, AUTO, AUTO),
                  Fractions(val_fraction, test_fraction, int(split_seed)), place.root, single=False)
    # A warning, so that it is shown where nothing has set up logging.
    _LOGGER.warning("data: the config's own, %s", printable(layout.describe(formats[0]), MOST_LOGGED))
    return resolve_layout(place, search_of(place), formats[0], layout, tuple(classes), keep_order)


def config_data_folders(config: Mapping[str, Any], config_file: Path, folder: Path) -> dict[str, bool]:
    """Return the folders of this machine that a config's own data lie in, each with whether its path is relative.

    Args:
        folder: The folder that relative paths start from, before those that :func:`resolve_config_data` tries next.

    Raises:
        UserError: As :func:`resolve_config_data`, where a file is not there.
    """
    section = config.get("data") or {}
    found: dict[str, bool] = {}
    for role in _ROLES:
        for entry in entries_of(section.get(role), f"data.{role}"):
            part, = _located({role: [entry]}, _bases(config_file, folder))[role]
            if not part.annotations.startswith(_STORED):
                relative = not os.path.isabs(os.path.join(str(entry.values.get("data_root") or ""), entry.ann_file))
                folders = [part.annotations, os.path.dirname(part.names)] if part.names else [
                    os.path.dirname(part.annotations)]
                found.update(dict.fromkeys(filter(None, [*folders, part.images]), relative))
    return found


def entries_of(node: Any, where: str) -> Iterator[Entry]:
    """Yield the data sets of a ``data`` section's entry, through lists and wrappers, one for each ``ann_file``."""
    if isinstance(node, (list, tuple)):
        for index, item in enumerate(node):
            yield from entries_of(item, f"{where}[{index}]")
    elif isinstance(node, Mapping):
        inner = [key for key in _WRAPPED if node.get(key)]
        for key in inner:
            yield from entries_of(node[key], f"{where}.{key}")
        files, prefixes = node.get("ann_file"), node.get("img_prefix") or ""
        if inner or not files:
            return
        files = list(files) if isinstance(files, (list, tuple)) else [files]
        prefixes = list(prefixes) if isinstance(prefixes, (list, tuple)) else [prefixes] * len(files)
        if len(prefixes) != len(files):
            raise UserError(f"config, {where}", f"{len(files)} ann_file and {len(prefixes)} img_prefix",
                            "A list of img_prefix has one for each ann_file.", "Write one for each, or one for all.")
        for file, prefix in zip(files, prefixes):
            if not isinstance(file, str) or not isinstance(prefix or "", str) or "\0" in f"{file}{prefix}":
                raise UserError(f"config, {where}", bounded_repr((file, prefix), 120),
                                "ann_file and img_prefix are paths.", "Write each as a text.")
            yield Entry(where, node, file, prefix or "")


def _bases(config_file: Path | None, first: Path | None = None) -> list[str]:
    """Return the folders that relative paths may start from, ``first`` or the current one before all others."""
    folders = [first or Path.cwd()]
    if config_file is not None:
        file = Path(os.path.abspath(config_file))
        folders += [folder.parent for folder in reversed(file.parents) if folder.name == "configs"][:1] + [file.parent]
    return [str(folder) for folder in dict.fromkeys(folders)]


def _located(entries: Mapping[str, list[Entry]], bases: list[str]) -> dict[str, list[Part]]:
    """Return the parts of each role with absolute paths, from the first base where their files are.

    Raises:
        UserError: Files are not there; all are named.
    """
    missing = []
    located: dict[str, list[Part]] = {role: [] for role in entries}
    for role, found in entries.items():
        for entry in found:
            candidates = [entry.part(base) for base in bases]
            first = candidates[0]
            stored = first.annotations.startswith(_STORED)
            part = first if stored else next((part for part in candidates if os.path.isfile(
                part.names or part.annotations) and os.path.isdir(part.images or "")), None)
            if part is None:
                missing += [f"{entry.where}: {path}" for path in (first.names or first.annotations, first.images)
                            if path and not os.path.exists(path)]
            else:
                located[role].append(part)
    if missing:
        raise UserError("config, data", f"{listed(dict.fromkeys(missing), '; ')}",
                        "Without `data`, the config's own data are used, and these are not on this machine.", _HINT)
    return located


def _from_common_root(located: Mapping[str, list[Part]]) -> tuple[str, dict[str, list[Part]]]:
    """Return the folder above everything that is named, and the parts relative to it."""
    parts = [part for found in located.values() for part in found]
    stored = {path.startswith(_STORED) for part in parts for path in part if path}
    if len(stored) > 1:
        raise UserError("config, data", "paths of this machine and on S3", "A data set lies in one place.",
                        "Write data_root as the one place, or give `data`.")
    files = [part.names or part.annotations for part in parts]
    folders = [path for part in parts for path in (part.annotations if part.names else None, part.images) if path]
    root = os.path.commonpath([*map(os.path.dirname, files), *folders])
    if stored == {True}:
        root = str(parse_location(root.replace(":/", "://", 1), "config, data"))

    def relative(path: str | None) -> str | None:
        return path and path.replace("://", ":/", 1)[len(root.replace("://", ":/", 1)):].strip("/")

    return root, {role: [Part(*map(relative, part)) for part in found] for role, found in located.items()}


def _joined(folder: str, path: str) -> str:
    return path if path.startswith(_STORED) else os.path.join(folder, path)


def _normal(path: str) -> str:
    """Return a path without steps that lead nowhere; a location on S3 keeps its two slashes."""
    scheme, stored, rest = path.rpartition("://")
    return f"{scheme}{stored}{os.path.normpath(rest)}"
