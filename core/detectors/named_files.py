"""The files that a config names, by digest: what a run made of them stands for these contents alone."""

import hashlib
import os
from collections.abc import Mapping
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any, BinaryIO

from core.base.digest import BLOCK_BYTES, sha256_file
from core.base.errors import UserError
from core.base.foreign_file import open_regular
from core.config.data_only import config_files
from core.config.fingerprint import json_digest
from core.config.named_texts import WEIGHTS, named_texts
from core.config.reference import ConfigRef
from core.detectors.pretrained import published_file, weights_location
from core.storage.location import Scheme, parse_location
from core.storage.source import resolve_single
from core.storage.store import ObjectNotFound

# No reader of this project takes more (core.checkpoint.torch_file).
_MOST_BYTES = 8 << 30


def file_digests(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the digest of every file that a config names and that is there, by the name it has in the config.

    They are weights, on this machine, on S3 or among the published ones; any other text that is the path of a file,
    such as a teacher's config; and the modules of ``custom_imports``. What is missing is left out: the checks of
    weights say so where it is needed.
    """
    kept = weights_location(config)
    found = {name: _digest(key, name, kept) for key, name in named_texts(dict(config.items()))}
    imports = config.get("custom_imports") or {}
    modules = imports.get("imports") or () if isinstance(imports, Mapping) else ()
    found.update({name: _module_digest(name) for name in ([modules] if isinstance(modules, str) else modules)})
    return {name: digest for name, digest in sorted(found.items()) if digest}


def require_same_files(ref: ConfigRef, config: Mapping[str, Any]) -> None:
    """Check that the files a config names are those that were resolved.

    Raises:
        UserError: One is another, is gone, or has come.
    """
    found = file_digests(config)
    changed = [name for name in sorted({*found, *ref.files}) if found.get(name) != ref.files.get(name)]
    if changed:
        raise UserError(f"config {ref.path}", f"{', '.join(changed)} changed since the run began",
                        "The files that a config names must not change while a run uses them.",
                        "Restore them, or start a new run.")


def _digest(key: str, name: str, kept: str) -> str:
    """Return the digest of what a text names, "" where that is no file."""
    if key not in WEIGHTS:
        return _file_digest(Path(os.path.expanduser(name)))
    try:
        published = published_file(name)
        location = parse_location(f"{kept.rstrip('/')}/{published}" if published and kept else name)
    except UserError:
        # No location at all: whatever needs it says so.
        return ""
    if location.scheme is not Scheme.S3:
        return _file_digest(Path(location.path))
    try:
        return resolve_single(str(location), f"config, {key}").digest
    except ObjectNotFound:
        return ""


def _file_digest(path: Path) -> str:
    try:
        with open_regular(path, _MOST_BYTES) as file:
            if path.suffix == ".py":
                return json_digest([sha256_file(source) for source in _with_bases(path)])
            return _digest_of(file)
    except OSError:
        return ""


def _digest_of(file: BinaryIO) -> str:
    """Return the SHA-256 of the bytes that a file says it has: some of /proc say none, and go on for ever or wait."""
    digest = hashlib.sha256()
    left = os.fstat(file.fileno()).st_size
    while left and (block := file.read(min(BLOCK_BYTES, left))):
        digest.update(block)
        left -= len(block)
    return digest.hexdigest()


def _with_bases(path: Path) -> list[Path]:
    try:
        return list(dict.fromkeys([path.absolute(), *config_files(path.absolute())]))
    except UserError:
        return [path.absolute()]


def _spec(name: str) -> ModuleSpec | None:
    """Return a module's spec without importing the packages above it, as ``importlib.util.find_spec`` does."""
    spec, places = None, None
    parts = name.split(".")
    for number in range(1, len(parts) + 1):
        spec = PathFinder.find_spec(".".join(parts[:number]), places)
        if spec is None:
            return None
        places = spec.submodule_search_locations or []
    return spec


def _module_digest(name: Any) -> str:
    """Return the digest of a module's source, of a package with all modules in it."""
    spec = _spec(name) if isinstance(name, str) else None
    if spec is None or not spec.origin or not os.path.isfile(spec.origin):
        return ""
    folders = spec.submodule_search_locations or ()
    files = sorted({Path(spec.origin), *(file for folder in folders for file in Path(folder).rglob("*.py"))})
    return json_digest([sha256_file(file) for file in files])
