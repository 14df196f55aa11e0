import io

import numpy as np
import pytest
from PIL import Image

from core.data.digits import load_glyphs
from core.data.scenes import HEIGHT, MOST_DIGITS, WIDTH, bitmap, compose_scene, paint_glyph, stretch_glyph


@pytest.fixture(scope="module")
def glyphs():
    return load_glyphs()


@pytest.fixture(scope="module")
def composed(glyphs):
    """A hundred and fifty scenes: pixels and objects."""
    return [compose_scene(np.random.RandomState(seed), *glyphs) for seed in range(150)]


def iou(one, other):
    across = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    down = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(across, 0) * max(down, 0)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


def test_scenes_are_pictures_with_one_to_ten_digits(composed):
    for pixels, objects in composed:
        assert (pixels.dtype, pixels.shape) == (np.uint8, (HEIGHT, WIDTH, 3))
        assert 1 <= len(objects) <= MOST_DIGITS
    assert {len(objects) for _, objects in composed} == set(range(1, MOST_DIGITS + 1))
    assert {label for _, objects in composed for label, _ in objects} == set(range(10))


def test_boxes_lie_inside_and_vary_in_size(composed):
    boxes = [box for _, objects in composed for _, box in objects]
    for x, y, width, height in boxes:
        assert x >= 0 and y >= 0 and x + width <= WIDTH and y + height <= HEIGHT
    heights = [box[3] for box in boxes]
    assert min(heights) >= 16 and max(heights) <= 80
    assert max(heights) > 2 * min(heights)


def test_digits_overlap_but_only_a_little(composed):
    pairs = [iou(one, other) for _, objects in composed
             for number, (_, one) in enumerate(objects) for _, other in objects[:number]]
    assert 0 < max(pairs) <= 0.3


def test_a_stretched_glyph_is_tight_around_its_ink(glyphs):
    for seed in range(100):
        ink = stretch_glyph(np.random.RandomState(seed), glyphs[0][seed])
        assert ink.min() >= 0 and ink.max() == 255
        assert min(edge.max() for edge in (ink[0], ink[-1], ink[:, 0], ink[:, -1])) >= 96


@pytest.mark.parametrize("brightness", [0, 60, 127, 150])
def test_a_glyph_is_lighter_than_what_is_below(brightness):
    luma = np.array([0.299, 0.587, 0.114])
    for seed in range(20):
        canvas = np.full((10, 12, 3), brightness, np.int32)
        paint_glyph(np.random.RandomState(seed), canvas, np.full((4, 5), 255), (3, 2, 5, 4))
        painted = (canvas != brightness).any(axis=2)
        assert painted.sum() == 20 and painted[2:6, 3:8].all()
        assert canvas[2, 3] @ luma - brightness > 90


def test_the_same_seed_gives_the_same_scene(glyphs):
    first, again = (compose_scene(np.random.RandomState((1, 2, 3)), *glyphs) for _ in range(2))
    assert first[1] == again[1]
    assert np.array_equal(first[0], again[0])


def test_a_bitmap_is_read_back_as_it_was():
    pixels = np.random.RandomState(0).randint(0, 256, size=(6, 8, 3)).astype(np.uint8)
    with Image.open(io.BytesIO(bitmap(pixels))) as image:
        assert image.format == "BMP"
        assert np.array_equal(np.asarray(image), pixels)
