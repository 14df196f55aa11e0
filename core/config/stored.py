"""Configs on S3: downloaded into the cache with what they may inherit, and then read as data like any other."""

from pathlib import Path, PurePosixPath

from core.base.errors import UserError
from core.config.class_lists import SUFFIX as CLASS_LIST_SUFFIX
from core.config.data_only import SUFFIXES
from core.storage.location import Scheme, parse_location

_THING = "config"
_LARGEST_BYTES, _MOST_FILES = 1 << 20, 5000


def is_stored(path: str | Path) -> bool:
    """Return whether a config's path is a location on S3."""
    return str(path).startswith(f"{Scheme.S3.value}://")


def concrete(location: str) -> str:
    """Return a config's location with what ``?latest`` stands for; errors as ``resolve_latest``."""
    from core.storage.source import resolve_latest

    return str(resolve_latest(parse_location(location, _THING), _THING))


def fetch_config(location: str) -> tuple[Path, Path]:
    """Return a local copy of the config at ``location``, and the folder that it must not read outside of.

    Beside it are the configs that it may inherit and the lists of classes that it may name: those below the outermost
    folder named ``configs`` in its key, else those of its own folder and below.

    Raises:
        UserError: It is not there, or is no config file.
    """
    from core.storage.fetch import fetch
    from core.storage.source import listing_source
    from core.storage.store import store_at

    config = parse_location(concrete(location), _THING)
    key = PurePosixPath(config.key)
    folders = key.parent.parts
    above = folders[:folders.index("configs")] if "configs" in folders else folders
    base = parse_location("/".join([f"s3://{config.bucket}", *above]))
    name = "/".join(key.parts[len(above):])
    below = "configs/" if "configs" in folders else ""
    found = [info for info in store_at(base).list(below)
             if info.name == name or (info.name.endswith((*SUFFIXES, CLASS_LIST_SUFFIX))
                                      and info.size <= _LARGEST_BYTES)]
    if not any(info.name == name for info in found):
        raise UserError(_THING, config, "There is no such object.", "Check bucket and key.")
    if len(found) > _MOST_FILES:
        raise UserError(_THING, config, f"{len(found):,} configs lie beside it, of at most {_MOST_FILES:,}.",
                        "Keep configs below a folder named configs.")
    root = fetch(listing_source(str(base), found))
    return root / name, root
