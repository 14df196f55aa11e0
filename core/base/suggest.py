"""What messages say of a name that is not there: the names like it, and the names that are there."""

from collections.abc import Iterable
from difflib import get_close_matches

SHOWN = 10
"""So many items of a list are named in a message; the rest is counted."""
LONGEST = 300
"""So many characters of an item are compared and shown: comparing takes quadratic time."""


def nearest(name: str, candidates: Iterable[str], ratio: float = 0.6) -> str | None:
    """Return the candidate most like ``name`` by difflib's ratio, None where none reaches ``ratio``."""
    names = [candidate for candidate in candidates if len(candidate) <= LONGEST]
    matches = get_close_matches(name, names, n=1, cutoff=ratio) if len(name) <= LONGEST else []
    return matches[0] if matches else None


def did_you_mean(name: str, candidates: Iterable[str], otherwise: str) -> str:
    """Return the hint for an unknown ``name``: its nearest candidate, else ``otherwise``."""
    match = nearest(name, candidates)
    return f"Did you mean `{match}`?" if match else otherwise


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x' or 'y'?)"`` of up to three known names like this one, letter case aside, or ""."""
    folded = {candidate.casefold(): candidate for candidate in sorted(known) if len(candidate) <= LONGEST}
    names = [folded[match] for match in get_close_matches(name[:LONGEST].casefold(), folded, cutoff=0.5)]
    return f" (did you mean {' or '.join(map(repr, names))}?)" if names else ""


def listed(items: Iterable[str], separator: str = ", ", most: int = SHOWN) -> str:
    """Join items for a message: the first ``most``, shortened where they are long, and how many more there are."""
    items = [item if len(item) <= LONGEST else f"{item[:LONGEST]}..." for item in items]
    more = f"{separator}and {len(items) - most} more" if len(items) > most else ""
    return separator.join(items[:most]) + more
