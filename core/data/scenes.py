"""Composing scenes of handwritten digits on cluttered backgrounds, in integer arithmetic throughout."""

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import ndarray
    from numpy.random import RandomState

WIDTH, HEIGHT = 256, 192
MOST_DIGITS = 10
_GLYPH_HEIGHTS = (26, 68)
_PLACING_TRIES = 40
_CONTRAST = 96
_VISIBLE = 96

Box = tuple[int, int, int, int]
"""x, y, width, height in pixels."""


def compose_scene(random: "RandomState", glyphs: "ndarray", labels: "ndarray",
                  ) -> tuple["ndarray", list[tuple[int, Box]]]:
    """Compose one scene of 1 to ``MOST_DIGITS`` of the given digits.

    Args:
        glyphs: int64 [N, 8, 8], ink 0 to 16.
        labels: int64 [N].

    Returns:
        uint8 RGB [HEIGHT, WIDTH, 3] and, for each digit, its label and the box that is tight around its ink.
        Of two overlapping digits the smaller box is covered by 30 % at most, so their IoU stays below 0.2.
    """
    import numpy as np

    canvas = _background(random)
    objects: list[tuple[int, Box]] = []
    # The larger of two throws: crowded scenes teach a detector more in the same time.
    for _ in range(random.randint(1, MOST_DIGITS + 1, size=2).max()):
        sample = random.randint(len(glyphs))
        ink = stretch_glyph(random, glyphs[sample])
        place = _find_place(random, ink.shape, [box for _, box in objects])
        if place is not None:
            paint_glyph(random, canvas, ink, place)
            objects.append((int(labels[sample]), place))
    canvas += random.randint(-6, 7, size=(HEIGHT, WIDTH, 1), dtype=np.int8)
    return np.clip(canvas, 0, 255, out=canvas).astype(np.uint8), objects


def _bilinear(grid: "ndarray", y: "ndarray", x: "ndarray") -> "ndarray":
    """Sample an integer grid [h, w] at y [H, 1] and x [1 or H, W], in 1/256 of its cells, centres at whole numbers.

    Returns:
        The values [H, W] times 65536.
    """
    import numpy as np

    y, x = (np.clip(axis, 0, (size - 1) * 256 - 1) for axis, size in zip((y, x), grid.shape))
    row, column, down, right = y[:, 0] >> 8, x >> 8, y & 255, x & 255
    rows = grid[row] * (256 - down) + grid[row + 1] * down
    upper = np.arange(len(rows))[:, None]
    return rows[upper, column] * (256 - right) + rows[upper, column + 1] * right


def stretch_glyph(random: "RandomState", glyph: "ndarray") -> "ndarray":
    """Return a glyph enlarged, slanted and cropped to its visible ink.

    Args:
        glyph: int64 [8, 8], ink 0 to 16.

    Returns:
        int64 [h, w], opacity 0 to 255; each edge holds a pixel of 96 or more.
    """
    import numpy as np

    height = random.randint(_GLYPH_HEIGHTS[0], _GLYPH_HEIGHTS[1] + 1)
    width = height * random.randint(85, 116) // 100
    slant = random.randint(-64, 65)
    # Two empty cells on every side leave room for the slant.
    padded = np.pad(glyph, 2, mode="constant")
    rows, columns = height * 12 // 8, width * 12 // 8
    y = (np.arange(rows)[:, None] * 2 + 1) * 12 * 128 // rows - 128
    x = (np.arange(columns)[None, :] * 2 + 1) * 12 * 128 // columns - 128 + ((y - 11 * 128) * slant >> 8)
    ink = _bilinear(padded, y, x)
    # Steep enough for crisp edges at a large size, flat enough to leave the hole of a heavily inked digit lighter.
    opacity = np.clip(128 + (ink - 8 * 65536) * 255 // (7 * 65536), 0, 255)
    visible = opacity >= _VISIBLE
    down, right = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
    return opacity[down[0]:down[-1] + 1, right[0]:right[-1] + 1]


def _find_place(random: "RandomState", shape: tuple[int, ...], taken: list[Box]) -> Box | None:
    """Return a box of a shape (h, w) that no taken box covers too much of, or None where none is found."""
    height, width = shape
    for _ in range(_PLACING_TRIES):
        place = (random.randint(WIDTH - width + 1), random.randint(HEIGHT - height + 1), width, height)
        for box in taken:
            across = min(place[0] + width, box[0] + box[2]) - max(place[0], box[0])
            down = min(place[1] + height, box[1] + box[3]) - max(place[1], box[1])
            if max(across, 0) * max(down, 0) * 10 > 3 * min(width * height, box[2] * box[3]):
                break
        else:
            return place
    return None


def paint_glyph(random: "RandomState", canvas: "ndarray", ink: "ndarray", place: Box) -> None:
    """Lay ink over the canvas in a colour that is lighter than what is below.

    One polarity, as of chalk on a board: a small detector learns it in a few minutes on a CPU.

    Args:
        canvas: int32 [H, W, 3], changed in place.
        ink: int64 [h, w], opacity 0 to 255.
        place: Where to, of the ink's size.
    """
    import numpy as np

    x, y, width, height = place
    area = canvas[y:y + height, x:x + width]
    below = _luma(area.reshape(-1, 3).sum(axis=0) // (width * height))
    colours = (colour for colour in random.randint(0, 256, size=(20, 3)) if _luma(colour) - below >= _CONTRAST)
    colour = next(colours, np.full(3, 255))
    area += (colour - area) * ink[:, :, None] // 255


def _luma(colour: "ndarray") -> int:
    """Return the brightness of an RGB colour, 0 to 255, with the weights of ITU-R BT.601."""
    return int(colour[0] * 77 + colour[1] * 150 + colour[2] * 29) >> 8


def _background(random: "RandomState") -> "ndarray":
    """Return a cluttered background, int32 [HEIGHT, WIDTH, 3]: a gradient, clouds, blotches and strokes."""
    import numpy as np

    y, x = np.arange(HEIGHT, dtype=np.int32)[:, None], np.arange(WIDTH, dtype=np.int32)[None, :]
    base, end = random.randint(20, 150, size=(2, 3)).astype(np.int32)
    across, down = random.randint(-256, 257, size=2)
    ramp = (x * across + y * down) // (WIDTH + HEIGHT)
    sky = random.randint(-22, 23, size=(6, 8)).astype(np.int32)
    clouds = _bilinear(sky, y * 5 * 256 // HEIGHT, x * 7 * 256 // WIDTH)
    canvas = base + (ramp[:, :, None] * (end - base) * 2 // 5 >> 8) + (clouds >> 16)[:, :, None]
    for _ in range(random.randint(3, 8)):
        _blotch(random, canvas)
    for _ in range(random.randint(2, 7)):
        _stroke(random, canvas)
    return np.clip(canvas, 0, 255, out=canvas)


def _blotch(random: "RandomState", canvas: "ndarray") -> None:
    """Brighten, darken or tint a soft-edged ellipse."""
    import numpy as np

    centre_x, centre_y = random.randint(WIDTH), random.randint(HEIGHT)
    radius_x, radius_y = random.randint(8, 48, size=2)
    tint = random.randint(-30, 31) + random.randint(-14, 15, size=3)
    left, top = max(centre_x - radius_x, 0), max(centre_y - radius_y, 0)
    area = canvas[top:centre_y + radius_y, left:centre_x + radius_x]
    y = np.arange(top, top + area.shape[0])[:, None] - centre_y
    x = np.arange(left, left + area.shape[1])[None, :] - centre_x
    inside = 256 - y * y * 256 // radius_y ** 2 - x * x * 256 // radius_x ** 2
    area += np.clip(inside * 3, 0, 256)[:, :, None] * tint >> 8


def _stroke(random: "RandomState", canvas: "ndarray") -> None:
    """Draw a straight line, 1 to 4 pixels thick, a little brighter or darker than what is below."""
    import numpy as np

    ends = random.randint(0, [WIDTH, HEIGHT, WIDTH, HEIGHT])
    run, rise = ends[2:] - ends[:2]
    reach = max(run * run + rise * rise, 1)
    thickness = random.randint(1, 5)
    tint = (random.randint(2) * 2 - 1) * random.randint(14, 42) + random.randint(-10, 11, size=3)
    left, right = sorted(ends[::2])
    top, bottom = sorted(ends[1::2])
    area = canvas[max(top - 2, 0):bottom + 3, max(left - 2, 0):right + 3]
    y = np.arange(max(top - 2, 0), max(top - 2, 0) + area.shape[0])[:, None] - ends[1]
    x = np.arange(max(left - 2, 0), max(left - 2, 0) + area.shape[1])[None, :] - ends[0]
    # Squared distance from the line is the squared cross product over the squared length.
    aside, along = (x * rise - y * run) ** 2 * 4, x * run + y * rise
    area[(aside <= thickness ** 2 * reach) & (along >= 0) & (along <= reach)] += tint


def bitmap(pixels: "ndarray") -> bytes:
    """Return uint8 RGB [H, W, 3] as a 24-bit Windows bitmap; W is a multiple of 4, so that rows need no padding."""
    height, width, _ = pixels.shape
    rows = pixels[::-1, :, ::-1].tobytes()
    information = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, len(rows), 2835, 2835, 0, 0)
    return struct.pack("<2sIHHI", b"BM", 54 + len(rows), 0, 0, 54) + information + rows
