"""Cleaned annotations in the cache, as COCO files that any reader of that format takes."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.files import cache_folder
from core.base.json_file import read_json
from core.base.outputs import write_text
from core.data.annotations import AnnotatedSplit
from core.data.digest import MOST_BYTES
from core.data.examination import Examined
from core.data.reference import DataRef

_MANIFEST = "manifest.json"


def entry_folder(ref: DataRef) -> Path:
    """Return the cache folder of a data set's cleaned annotations; it does not depend on where the data lies."""
    identity = {**ref.to_json(), "uri": "", "source": ""}
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]
    return cache_folder() / "data" / "sets-4" / key


def write_entry(entry: Path, root: Path, examined: Examined) -> dict[str, Any]:
    """Write the cleaned annotations and, last, the manifest that says they are whole; return the manifest."""
    described = {}
    for role, split in examined.splits.items():
        document = _coco_document(split, examined.classes)
        write_text(entry / f"{role}.json", json.dumps(document))
        parts, start = [], 0
        for number, size in enumerate(split.part_sizes if len(split.part_sizes) > 1 else ()):
            parts.append(f"{role}-{number}.json")
            part = replace(split, images=split.images[start:start + size])
            write_text(entry / parts[-1], json.dumps(_coco_document(part, examined.classes)))
            start += size
        described[role] = {"name": split.name, "image_root": split.image_root.relative_to(root).as_posix(),
                           "images": len(document["images"]), "parts": parts,
                           "boxes": sum(not box["iscrowd"] for box in document["annotations"]),
                           "masks": sum("segmentation" in box for box in document["annotations"] if not box["iscrowd"])}
    manifest = {"splits": described, "files": examined.rows, "warnings": examined.warnings}
    write_text(entry / _MANIFEST, json.dumps(manifest))
    return manifest


def read_manifest(entry: Path) -> dict[str, Any] | None:
    """Return the manifest of an entry whose files are all there, else None."""
    if not (entry / _MANIFEST).is_file():
        return None
    try:
        manifest: dict[str, Any] = read_json(entry / _MANIFEST, "cached annotations", f"Delete {entry}.", MOST_BYTES)
        files = [name for role, split in manifest["splits"].items() for name in (f"{role}.json", *split["parts"])]
    except (UserError, AttributeError, KeyError, TypeError):
        # Damaged entries of the cache are written again.
        return None
    return manifest if all((entry / name).is_file() for name in files) else None


def _coco_document(split: AnnotatedSplit, classes: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Return a cleaned split as COCO annotations, ids counted from 1."""
    ids = {name: number for number, name in enumerate(classes, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image in split.images:
        images.append({"id": len(images) + 1, "file_name": image.file_name, "width": image.width,
                       "height": image.height})
        annotations.extend({"id": number, "image_id": len(images), "category_id": ids[box.category],
                            "bbox": [float(side) for side in (box.x, box.y, box.width, box.height)],
                            "area": float(box.area or box.width * box.height), "iscrowd": int(box.ignored),
                            **({"segmentation": box.mask} if box.mask else {})}
                           for number, box in enumerate(image.boxes, start=len(annotations) + 1))
    return {"images": images, "annotations": annotations,
            "categories": [{"id": number, "name": name} for name, number in ids.items()]}
