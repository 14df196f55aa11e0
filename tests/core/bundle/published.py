"""Small bundles for tests of publishing, whose models nobody loads."""

from collections.abc import Mapping
from pathlib import Path

from core.bundle.manifest import SCHEMA, Manifest, content_digest, describe_files

PUBLISHED = ["bundle.json", "fp32/model.bin", "fp32/model.xml", "labels.txt", "model.bin", "model.xml"]


def seal(folder: Path) -> Manifest:
    """Write the manifest of what is in ``folder`` and return it."""
    files = describe_files(folder)
    xml = files["model.xml"].sha256
    manifest = Manifest(SCHEMA, "cells", content_digest(files, xml), xml, {}, {}, {}, files)
    manifest.write(folder)
    return manifest


def write_bundle(folder: Path, contents: Mapping[str, bytes] | None = None) -> Path:
    """Write files, by default one of every kind that has its name as content, and their manifest."""
    for name, content in (contents or {name: name.encode() for name in PUBLISHED[1:]}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    seal(folder)
    return folder
