"""One thing that a check of an nncf_config has to say."""

from dataclasses import dataclass
from typing import Any

from core.base.text import bounded_repr

ERROR = "error"
WARNING = "warning"
_SHOWN = 120


class Absent:
    """Stands for a value that is not there."""

    def __repr__(self) -> str:
        return "absent"


ABSENT = Absent()


@dataclass(frozen=True)
class Finding:
    """A place in an nncf_config that is not as it should be.

    Attributes:
        path: The place as one writes it, such as ``compression[1].params.pruning_target``.
        value: What stands there, or ABSENT.
        rule: What must be true of it, one or more sentences.
        replacement: What to write instead, or to do.
        severity: ``error`` where NNCF would fail, or would silently do something else; ``warning`` otherwise.
    """

    path: str
    value: Any
    rule: str
    replacement: str
    severity: str = ERROR

    def __str__(self) -> str:
        return f"{self.path} = {shown(self.value)}: {self.rule} {self.replacement}"


def child(path: str, key: Any) -> str:
    """Return the path of ``key`` below ``path``: a list index, a name, or any other key in quotes."""
    if isinstance(key, int) and not isinstance(key, bool):
        return f"{path}[{key}]"
    if isinstance(key, str) and key.isidentifier():
        return f"{path}.{key}" if path else key
    return f"{path}[{bounded_repr(key)}]"


def shown(value: Any) -> str:
    """Return ``value`` for a message, on one line and of bounded length."""
    return repr(value) if value is ABSENT else bounded_repr(value, _SHOWN)
