"""A dict within an nncf_config, as it was given and as it was read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.compression.config_check.finding import ABSENT, ERROR, WARNING, Finding, child


@dataclass(frozen=True)
class Entry:
    """What the rules read: values of the right type, and places for findings.

    Attributes:
        path: The place of the dict.
        given: The dict as the user wrote it.
        clean: The same with None for every wrong value and without unknown keys.
    """

    path: str
    given: Mapping[str, Any] = field(default_factory=dict)
    clean: Mapping[str, Any] = field(default_factory=dict)

    def has(self, key: str) -> bool:
        """Return whether the user wrote ``key``, valid or not."""
        return key in self.given

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of ``key``, ``default`` where it is absent, None where it is wrong."""
        return self.clean.get(key, default)

    def section(self, key: str) -> "Entry":
        """Return the dict at ``key``, an empty one where there is none."""
        return _entry(child(self.path, key), self.given.get(key), self.clean.get(key))

    def sections(self, key: str) -> list["Entry"]:
        """Return the dicts at ``key``, which holds one or a list of them."""
        given, clean, path = self.given.get(key), self.clean.get(key), child(self.path, key)
        if isinstance(given, (list, tuple)):
            clean = clean or [None] * len(given)
            return [_entry(child(path, index), *pair) for index, pair in enumerate(zip(given, clean))]
        return [_entry(path, given, clean)] if isinstance(given, dict) else []

    def finding(self, key: str, rule: str, replacement: str, severity: str = ERROR) -> Finding:
        """Return a finding at ``key``."""
        return Finding(child(self.path, key), self.given.get(key, ABSENT), rule, replacement, severity)

    def warning(self, key: str, rule: str, replacement: str) -> Finding:
        """Return a warning at ``key``."""
        return self.finding(key, rule, replacement, WARNING)


def _entry(path: str, given: Any, clean: Any) -> Entry:
    as_dict: dict[str, Any] = given if isinstance(given, dict) else {}
    return Entry(path, as_dict, clean if isinstance(clean, dict) else {})
