"""A checkpoint's nncf_config against the one that is given now, key by key."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from core.base.errors import UserError
from core.base.text import bounded_repr
from core.compression.config_check.finding import ABSENT, child, shown

logger = logging.getLogger(__name__)

# They say where NNCF writes and how much data it looks at once, before training: nothing of either is in a model.
HARMLESS_KEYS = ("log_dir", "num_init_samples", "num_bn_adaptation_samples")
_SCOPE_KEYS = ("ignored_scopes", "target_scopes")


@dataclass(frozen=True)
class Difference:
    """A key that is not the same in both.

    Attributes:
        path: The key; algorithms stand by name, as in ``compression[quantization].weights.bits``.
        saved: Its value in the checkpoint, or ABSENT.
        given: Its value now, or ABSENT.
        harmless: Whether a restored model is the same all the same.
    """

    path: str
    saved: Any
    given: Any
    harmless: bool

    def __str__(self) -> str:
        return f"{self.path}: the checkpoint has {shown(self.saved)}, now it is {shown(self.given)}"


def compare_nncf_configs(saved: Mapping[str, Any], given: Mapping[str, Any]) -> list[Difference]:
    """Return the keys that differ, in the order of the checkpoint's nncf_config.

    Ways of writing that mean the same to NNCF are no difference: tuples and lists, one algorithm and a list of one,
    the order of algorithms and of scopes, an empty dict and none.
    """
    before, after = dict(_leaves(saved, "")), dict(_leaves(given, ""))
    return [Difference(path, before.get(path, (ABSENT,))[0], after.get(path, (ABSENT,))[0],
                       (before.get(path) or after[path])[1])
            for path in {**before, **after} if before.get(path) != after.get(path)]


def require_same(saved: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Stop where a checkpoint cannot be continued with ``given``; harmless differences are logged.

    NNCF would not notice: the restored state beats the config in silence.

    Raises:
        UserError: Lists every key that differs, with both values.
    """
    differences = compare_nncf_configs(saved, given)
    for difference in differences:
        if difference.harmless:
            logger.info("nncf_config, %s (harmless)", difference)
    serious = [difference for difference in differences if not difference.harmless]
    if serious:
        keys = "key differs" if len(serious) == 1 else "keys differ"
        listed = "".join(f"\n  {difference}" for difference in serious)
        raise UserError("nncf_config", f"{len(serious)} {keys} from the compressed checkpoint's",
                        f"A compressed model is restored with the nncf_config it was made with.{listed}\n",
                        "Restore these values, or compress the plain checkpoint again.")


def _leaves(value: Any, path: str) -> Iterator[tuple[str, tuple[Any, bool]]]:
    """Yield path, value and whether it is harmless, for everything in ``value`` that is not a dict."""
    if not isinstance(value, Mapping):
        yield path, (_plain(value), False)
        return
    for key, item in value.items():
        place = child(path, key)
        if place == "compression":
            entries = {str(entry.get("algorithm")) if isinstance(entry, Mapping) else bounded_repr(entry): entry
                       for entry in (item if isinstance(item, (list, tuple)) else [item])}
            yield place, (sorted(entries), False)
            for name, entry in entries.items():
                if isinstance(entry, Mapping):
                    yield from _leaves({key: value for key, value in entry.items() if key != "algorithm"},
                                       f"compression[{name}]")
        elif key in HARMLESS_KEYS:
            yield place, (_plain(item), True)
        elif key in _SCOPE_KEYS and isinstance(item, (str, list, tuple)):
            yield place, (sorted([item] if isinstance(item, str) else item, key=str), False)
        elif key == "range" and isinstance(item, (list, tuple)):
            for index, part in enumerate(item):
                yield from _leaves(part, child(place, index))
        else:
            yield from _leaves(item, place)


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
