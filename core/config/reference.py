"""A config as it travels between stages: its path, its options and the digest of what they resolve to."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.base.errors import UserError
from core.base.json_file import json_object
from core.base.text import bounded_repr
from core.config.fingerprint import config_digest
from core.config.loading import REPOSITORY, find_config, load_config
from core.config.plain_data import plain_data
from core.config.stored import concrete, is_stored

if TYPE_CHECKING:
    from mmcv import Config

_TUPLE_KEY = "__tuple__"


@dataclass(frozen=True)
class ConfigRef:
    """A resolved config by reference.

    Attributes:
        path: The config file; relative to the repository where it is one of its own, else absolute or on S3.
        digest: sha256 of the resolved config (``core.config.fingerprint.config_digest``).
        options: What ``--cfg-options`` changed, keyed by dotted path.
        files: Digests of the files that it names, such as weights (``core.detectors.named_files``).
    """

    path: str
    digest: str
    options: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, str]:
        """Return the reference as texts only.

        The options travel as JSON text: KFP's struct parameters would turn ints into floats.
        """
        options = json.dumps(_tag_tuples(plain_data(self.options, "config options")), sort_keys=True)
        return {"path": self.path, "digest": self.digest, "options": options,
                "files": json.dumps(self.files, sort_keys=True)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "ConfigRef":
        """Return the reference that :meth:`to_json` wrote; raise UserError where ``value`` is none."""
        try:
            path, digest = str(value["path"]), str(value["digest"])
            options, files = (json_object(str(value[key]), any_number=True) for key in ("options", "files"))
            if not all(isinstance(item, str) for item in files.values()):
                raise TypeError("a digest is text")
        except (KeyError, TypeError, ValueError) as error:
            raise UserError("config reference", bounded_repr(value, 200), "It is what the resolve stage wrote: path, "
                            "digest, options and files.", "Pass resolve's output unchanged.") from error
        return cls(path, digest, _restore_tuples(plain_data(options, "config reference")), files)


def resolve_config(path: str | Path, options: Mapping[str, Any] | None = None,
                   trust: bool = False) -> ConfigRef:
    """Return the reference of the config at ``path`` with ``options``; arguments and errors as ``load_config``."""
    path = concrete(str(path)) if is_stored(path) else path
    cfg = load_config(path, options, trust)
    if is_stored(path):
        return ConfigRef(str(path), config_digest(cfg), dict(options or {}))
    file = find_config(path)
    own = REPOSITORY in file.parents and ".." not in file.parts
    portable = file.relative_to(REPOSITORY).as_posix() if own else str(file)
    return ConfigRef(portable, config_digest(cfg), dict(options or {}))


def open_config(ref: ConfigRef, trust: bool = False) -> "Config":
    """Return the config that ``ref`` names.

    Raises:
        UserError: The file or one of its bases changed since it was resolved, or cannot be loaded.
    """
    cfg = load_config(ref.path, ref.options, trust)
    digest = config_digest(cfg)
    if digest != ref.digest:
        raise UserError(f"config {ref.path}", f"digest {digest[:12]} instead of {ref.digest[:12]}",
                        "A config must not change while a run uses it.",
                        "Start a new run with the changed config, or restore the file.")
    return cfg


def _tag_tuples(value: Any) -> Any:
    """Return ``value`` with tuples as ``{"__tuple__": [...]}``: mmdet tells scales from lists of them by the type."""
    if isinstance(value, dict):
        return {key: _tag_tuples(item) for key, item in value.items()}
    items = [_tag_tuples(item) for item in value] if isinstance(value, (list, tuple)) else value
    return {_TUPLE_KEY: items} if isinstance(value, tuple) else items


def _restore_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        restored = {key: _restore_tuples(item) for key, item in value.items()}
        is_tuple = list(restored) == [_TUPLE_KEY] and isinstance(restored[_TUPLE_KEY], list)
        return tuple(restored[_TUPLE_KEY]) if is_tuple else restored
    return [_restore_tuples(item) for item in value] if isinstance(value, list) else value
