import io

import numpy as np
import pytest
from PIL import Image

from core.data.digits import load_glyphs
from core.data.scenes import HEIGHT, MOST_DIGITS, WIDTH, bitmap, compose_scene


@pytest.fixture(scope="module")
def glyphs():
    pytest.importorskip("sklearn")
    return load_glyphs()


@pytest.fixture(scope="module")
def composed(glyphs):
    """Sixty scenes: pixels and objects."""
    return [compose_scene(np.random.RandomState(seed), *glyphs) for seed in range(60)]


def iou(one, other):
    across = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    down = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(across, 0) * max(down, 0)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


def test_scenes_are_pictures_with_one_to_six_digits(composed):
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
    assert max(heights) > 3 * min(heights)


def test_digits_overlap_but_only_a_little(composed):
    pairs = [iou(one, other) for _, objects in composed
             for number, (_, one) in enumerate(objects) for _, other in objects[:number]]
    assert 0 < max(pairs) <= 0.3


def test_a_box_is_tight_around_a_digit_that_stands_out(glyphs):
    # An all-inked glyph fills its box, so its colour must differ from what is outside everywhere along the edge.
    full = np.full((1, 8, 8), 16)
    for seed in range(20):
        pixels, objects = compose_scene(np.random.RandomState(seed), full, np.array([0]))
        _, (x, y, width, height) = objects[-1]
        inside = pixels[y + height // 4:y + 3 * height // 4, x + width // 4:x + 3 * width // 4].reshape(-1, 3)
        luma = inside @ np.array([0.299, 0.587, 0.114])
        assert luma.std() < 8
        around = pixels[max(y - 6, 0):y + height + 6, max(x - 6, 0):x + width + 6] @ np.array([0.299, 0.587, 0.114])
        assert abs(around[0].mean() - luma.mean()) > 25


def test_the_same_seed_gives_the_same_scene(glyphs):
    first, again = (compose_scene(np.random.RandomState((1, 2, 3)), *glyphs) for _ in range(2))
    assert first[1] == again[1]
    assert np.array_equal(first[0], again[0])


def test_a_bitmap_is_read_back_as_it_was():
    pixels = np.random.RandomState(0).randint(0, 256, size=(6, 8, 3)).astype(np.uint8)
    with Image.open(io.BytesIO(bitmap(pixels))) as image:
        assert image.format == "BMP"
        assert np.array_equal(np.asarray(image), pixels)
