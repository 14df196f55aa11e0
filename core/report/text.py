"""How names and numbers are written in every report."""

import math
from collections.abc import Iterable

NOT_MEASURED = "n/a"
_JOINERS = "\u200c\u200d"


def displayable(name: str, limit: int = 120) -> str:
    """Return ``name`` without control characters and lone surrogates, cut to ``limit`` characters.

    What cannot be printed becomes U+FFFD, because XML and UTF-8 refuse it. Joiners stay: some scripts need them.
    """
    kept = "".join(" " if char.isspace() else char if char.isprintable() or char in _JOINERS else "\ufffd"
                   for char in name)
    return kept if len(kept) <= limit else kept[:limit - 1] + "\u2026"


def fraction(value: float | None) -> str:
    """Write a quantity of 0..1, such as mAP, with four decimals."""
    return NOT_MEASURED if _absent(value) else f"{value:.4f}"


def difference(value: float | None) -> str:
    """Write a signed difference of two fractions with four decimals."""
    if _absent(value):
        return NOT_MEASURED
    return f"{value:+.4f}" if abs(value) >= 5e-5 else "0.0000"


def quantity(value: float | None) -> str:
    """Write a positive quantity with three significant digits or all digits before the point."""
    if _absent(value):
        return NOT_MEASURED
    size = abs(value)
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def ratio(value: float | None) -> str:
    """Write a ratio, such as a speed-up, as ``2.34x``."""
    return NOT_MEASURED if _absent(value) else f"{value:.2f}x"


def metric_prefix(value: float | None) -> str:
    """Write a large count with three significant digits: ``3.59 M``, ``1.20 G``."""
    if _absent(value):
        return NOT_MEASURED
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{quantity(value / size)} {letter}"
    return f"{value:.0f}"


def listed(names: Iterable[str], limit: int = 20) -> str:
    """Join names with commas; beyond ``limit`` the rest is counted."""
    shown: list[str] = [displayable(name) for name in names]
    rest = len(shown) - limit
    return ", ".join(shown) if rest <= 0 else ", ".join(shown[:limit]) + f" and {rest:,} more"


def _absent(value: float | None) -> bool:
    return value is None or not math.isfinite(value)
