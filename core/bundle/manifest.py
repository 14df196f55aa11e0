"""``bundle.json``: every file of a bundle with its digest, where the model comes from and what was measured of it."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any

from core.base.digest import sha256_file
from core.base.errors import UserError
from core.base.json_file import read_json
from core.base.text import bounded_repr, shown
from core.bundle.labels import COPY_AGAIN

MANIFEST = "bundle.json"
SCHEMA = 3
MOST_BYTES = 16 << 20
MODEL_XML = "model.xml"
_CACHES = "__pycache__"


@dataclass(frozen=True)
class FileRecord:
    """A file's SHA-256 and its size in bytes."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """The content of ``bundle.json``.

    Args:
        schema: Version of this format.
        model_name: Name under which the model is published.
        content_sha256: Equal for bundles with the same content, whichever run made them; see ``content_digest``.
        validated_xml_sha256: SHA-256 of model.xml as it was validated, before ``core.bundle.model_info`` added to it.
        model_info: Entries added to model.xml: source run, digests, measured mAP.
        model_api: How OpenVINO Model API takes the model: ``model_type``, the wrapper that finds its boxes, empty where
            Model API does not know its outputs; ``model_api_note``, in what it must differ, empty where in nothing.
        versions: Versions of the packages the model was made with.
        files: Every other file of the bundle, by its path with ``/``.
    """

    schema: int
    model_name: str
    content_sha256: str
    validated_xml_sha256: str
    model_info: dict[str, str]
    model_api: dict[str, str]
    versions: dict[str, str]
    files: dict[str, FileRecord]

    def write(self, folder: Path) -> None:
        """Write ``bundle.json`` into a folder, whole or not at all."""
        path = Path(folder) / MANIFEST
        beside = path.with_name(f".{MANIFEST}.{os.getpid()}")
        beside.write_text(json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False) + "\n",
                          encoding="utf-8")
        os.replace(beside, path)

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Read a bundle's ``bundle.json``; raise UserError where it is missing or not one of this version."""
        path = Path(folder) / MANIFEST
        try:
            there = path.exists()
        except OSError:
            there = False
        if not there:
            raise UserError("bundle", folder, f"{MANIFEST} is missing.", COPY_AGAIN)
        return cls._from_json(read_json(path, "bundle file", COPY_AGAIN, MOST_BYTES), path)

    @classmethod
    def _from_json(cls, values: Any, path: Path) -> "Manifest":
        known = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or set(values) != known or values["schema"] != SCHEMA:
            raise UserError("bundle file", path, f"It must be an object of schema {SCHEMA} with the keys "
                            f"{', '.join(sorted(known))}.", "Use the runner of this bundle, or publish it again.")
        try:
            files = {}
            for name, record in values["files"].items():
                place = PurePosixPath(name)
                if place.is_absolute() or ".." in place.parts or not place.parts:
                    raise ValueError(f"{bounded_repr(name)} leads out of the bundle")
                files[name] = FileRecord(str(record["sha256"]), int(record["bytes"]))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError("bundle file", path, f"Its files are not described as they must be ({shown(error)}).",
                            COPY_AGAIN) from error
        texts = [values["model_name"], values["content_sha256"], values["validated_xml_sha256"]]
        for key in ("model_info", "model_api", "versions"):
            texts += values[key].values() if isinstance(values[key], dict) else [None]
        if not all(isinstance(text, str) for text in texts):
            raise UserError("bundle file", path, "Names, digests, model_info, model_api and versions must be "
                            "texts.", COPY_AGAIN)
        return cls(**{**values, "files": files})


def describe_files(folder: Path) -> dict[str, FileRecord]:
    """Return what a manifest says of the files in ``folder``; bundle.json itself and Python's caches are left out."""
    records = {}
    for path in sorted(Path(folder).rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != MANIFEST and _CACHES not in path.parts:
            records[name] = FileRecord(sha256_file(path), path.stat().st_size)
    return records


def content_digest(files: Mapping[str, FileRecord], validated_xml_sha256: str) -> str:
    """Return the SHA-256 over paths and digests; model.xml counts as it was validated, before the run was noted."""
    digests = {**{name: record.sha256 for name, record in files.items()}, MODEL_XML: validated_xml_sha256}
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode("utf-8")).hexdigest()


def damage(folder: Path, manifest: Manifest) -> list[str]:
    """Return a sentence for each file that is missing or is not the one the manifest describes; empty when sound."""
    found = []
    for name, record in manifest.files.items():
        path = Path(folder) / name
        if not path.is_file():
            found.append(f"{name} is missing")
        elif path.stat().st_size != record.bytes:
            found.append(f"{name} has {path.stat().st_size} bytes instead of {record.bytes}")
        elif sha256_file(path) != record.sha256:
            found.append(f"{name} has other content (SHA-256)")
    return found
