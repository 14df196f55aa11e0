"""Object masks of COCO annotations: polygons and run-length codes, checked before pycocotools' C code reads them.

The formats: https://cocodataset.org/#format-data and, for the text of compressed run lengths, rleToString in
cocoapi's maskApi.c.
"""

from typing import Any

Mask = list[list[float]] | dict[str, Any]
"""Polygons [x, y, x, y, ...] in pixels, or ``{"size": [height, width], "counts": run lengths}``."""

_FEWEST_NUMBERS = 6
_LARGEST = 1e6
_MOST_BITS = 35


def sound_mask(value: Any, width: int, height: int) -> Mask | None:
    """Return an annotation's ``segmentation`` where it can be drawn into an image of that size, else None.

    Polygons of fewer than three points are left out, as tools write them for points and lines; run lengths must fill
    the image exactly.
    """
    if isinstance(value, list):
        # Neither infinity nor nan is at most anything.
        return [polygon for polygon in value if isinstance(polygon, list) and len(polygon) >= _FEWEST_NUMBERS
                and len(polygon) % 2 == 0 and all(type(number) in (int, float) and abs(number) <= _LARGEST
                                                  for number in polygon)] or None
    if isinstance(value, dict) and value.get("size") == [height, width]:
        counts = value.get("counts")
        runs = _decode(counts) if isinstance(counts, str) else counts
        if isinstance(runs, list) and all(type(run) is int and run >= 0 for run in runs) \
                and sum(runs) == width * height:
            return {"size": [height, width], "counts": counts}
    return None


def _decode(text: str) -> list[int] | None:
    """Return the run lengths of a compressed code, None where it is none: five bits a character, little end first."""
    runs: list[int] = []
    number = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > _MOST_BITS:
            return None
        number |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            number -= 1 << shift
        # From the fourth on it is the difference to the run before the last.
        runs.append(number + (runs[-2] if len(runs) > 2 else 0))
        number = shift = 0
    return runs if shift == 0 else None
