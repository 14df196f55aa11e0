"""The nearest names, for messages about a name that is not there."""

from collections.abc import Iterable
from difflib import get_close_matches

SHOWN = 10
"""So many items of a list are named in a message; the rest is counted."""
LONGEST = 300
"""So many letters of an item are shown."""


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Return up to ``count`` of the ``known`` names that look like ``name``, best first, letter case aside."""
    # Comparing takes quadratic time in the names' lengths.
    folded = {candidate.casefold(): candidate for candidate in sorted(known) if len(candidate) <= LONGEST}
    return [folded[match] for match in get_close_matches(name[:LONGEST].casefold(), folded, n=count, cutoff=0.5)]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x' or 'y'?)"``, or nothing where no name is near."""
    near = nearest(name, known)
    return f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""


def listed(items: Iterable[str], separator: str = ", ") -> str:
    """Join items for a message: the first ten, shortened where they are long, and how many more there are."""
    items = [item if len(item) <= LONGEST else f"{item[:LONGEST]}..." for item in items]
    more = f"{separator}and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return separator.join(items[:SHOWN]) + more
