import dataclasses

import cv2
import numpy as np
import pytest

from core.openvino.preprocess import Preprocessor

# Height and width: of the input's shape, wider, narrower, portrait, tiny, a line.
SIZES = [(48, 64), (96, 128), (100, 301), (211, 200), (300, 100), (1, 1), (2, 500)]


@pytest.fixture
def image():
    return lambda size: np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)


def normalise(network_input, spec):
    """Apply to the raw BGR input what the converted graph does."""
    channels = network_input[:, ::-1] if spec.to_rgb else network_input
    return (channels - np.float32(spec.mean).reshape(1, 3, 1, 1)) / np.float32(spec.std).reshape(1, 3, 1, 1)


@pytest.mark.parametrize("size", SIZES)
def test_stretches(toy_spec, image, size):
    picture = image(size)
    network_input = Preprocessor(toy_spec)(picture)
    assert (network_input.shape, network_input.dtype) == ((1, 3, 48, 64), np.float32)
    assert np.array_equal(network_input[0], cv2.resize(picture, (64, 48)).transpose(2, 0, 1))


@pytest.mark.parametrize("size, resized", [((48, 64), (48, 64)), ((96, 128), (48, 64)), ((100, 301), (21, 64)),
                                           ((211, 200), (48, 45)), ((300, 100), (48, 16)), ((1, 1), (48, 48)),
                                           ((2, 500), (1, 64))])
def test_fits_and_pads_at_right_and_bottom(letterbox_spec, image, size, resized):
    picture, preprocessor = image(size), Preprocessor(letterbox_spec)
    height, width = preprocessor.resized(size)
    assert (height, width) == resized
    network_input = preprocessor(picture)
    assert np.array_equal(network_input[0, :, :height, :width], cv2.resize(picture, (width, height)).transpose(2, 0, 1))
    padded = normalise(network_input, letterbox_spec)
    assert not padded[:, :, height:].any() and not padded[:, :, :, width:].any()


def test_padding_is_a_value_of_the_normalised_image(letterbox_spec, image):
    spec = dataclasses.replace(letterbox_spec, pad_pixel=(110.0, 140.0, 170.0), to_rgb=False)
    network_input = Preprocessor(spec)(image((48, 32)))
    assert network_input[0, :, 0, 40].tolist() == [2 * 50 + 10, 2 * 60 + 20, 2 * 70 + 30]
    assert normalise(network_input, spec)[:, :, :, 32:].tolist() == np.full((1, 3, 48, 32), 2).tolist()


@pytest.mark.parametrize("spec_name", ["toy_spec", "letterbox_spec"])
@pytest.mark.parametrize("size", SIZES)
def test_boxes_come_back_to_the_original_image(request, spec_name, size):
    preprocessor = Preprocessor(request.getfixturevalue(spec_name))
    height, width = size
    original = np.float32([[0, 0, width, height], [width / 4, height / 5, width / 2, height / 3]])
    resized_height, resized_width = preprocessor.resized(size)
    in_network = original * np.float32([resized_width / width, resized_height / height] * 2)
    assert preprocessor.to_original(in_network, size) == pytest.approx(original, rel=1e-5, abs=1e-5)


def test_boxes_are_clipped_to_the_original_image(letterbox_spec):
    # Half of the width is padding, into which a box may reach.
    found = Preprocessor(letterbox_spec).to_original(np.float32([[-5, -5, 60, 60]]), (96, 64))
    assert found.tolist() == [[0, 0, 64, 96]]


@pytest.mark.parametrize("to_rgb", [True, False])
@pytest.mark.parametrize("spec_name", ["toy_spec", "letterbox_spec"])
@pytest.mark.parametrize("size", [(48, 64), (96, 128), (100, 301), (99, 132)])
def test_equals_mmdetections_pipeline(request, image, spec_name, size, to_rgb):
    """Landscape images only: see Preprocessor.resized."""
    from mmdet.datasets import pipelines
    spec = request.getfixturevalue(spec_name)
    spec = dataclasses.replace(spec, to_rgb=to_rgb, pad_pixel=spec.mean[::-1] if to_rgb else spec.mean)
    picture = image(size)
    results = {"img": picture, "img_fields": ["img"], "scale": (64, 48)}
    results = pipelines.Resize(img_scale=(64, 48), keep_ratio=spec.keep_ratio)(results)
    results = pipelines.Normalize(mean=list(spec.mean), std=list(spec.std), to_rgb=to_rgb)(results)
    expected = pipelines.Pad(size=(48, 64))(results)
    preprocessor = Preprocessor(spec)
    found = normalise(preprocessor(picture), spec)
    assert found[0] == pytest.approx(expected["img"].transpose(2, 0, 1), abs=1e-6)
    boxes = np.float32([[1, 2, 30, 40], [0, 0, 64, 48]])
    clipped = np.clip(boxes / expected["scale_factor"], 0, np.float32([size[1], size[0]] * 2))
    assert np.array_equal(preprocessor.to_original(boxes, size), clipped)


@pytest.mark.parametrize("size, resized, padded", [
    ((48, 64), (48, 64), (64, 64)), ((96, 128), (48, 64), (64, 64)), ((128, 96), (64, 48), (64, 64)),
    ((100, 301), (21, 64), (32, 64)), ((301, 100), (64, 21), (64, 32)), ((50, 50), (48, 48), (64, 64))])
def test_a_dynamic_input_follows_each_image(letterbox_spec, image, size, resized, padded):
    spec = dataclasses.replace(letterbox_spec, dynamic=True, size_divisor=32)
    preprocessor = Preprocessor(spec)
    assert preprocessor.resized(size) == resized
    network_input = preprocessor(image(size))
    assert network_input.shape == (1, 3, *padded)
    assert not normalise(network_input, spec)[:, :, resized[0]:].any()
    fixed = dataclasses.replace(spec, size_divisor=1)
    assert Preprocessor(fixed)(image(size)).shape == (1, 3, 48, 64)


@pytest.mark.parametrize("size", [(48, 64), (96, 128), (128, 96), (100, 301), (301, 100), (77, 80)])
def test_a_dynamic_input_equals_mmdetections_pipeline_in_any_orientation(letterbox_spec, image, size):
    from mmdet.datasets import pipelines
    spec = dataclasses.replace(letterbox_spec, dynamic=True, size_divisor=32)
    results = {"img": image(size), "img_fields": ["img"], "scale": (64, 48)}
    results = pipelines.Resize(img_scale=(64, 48), keep_ratio=True)(results)
    results = pipelines.Normalize(mean=list(spec.mean), std=list(spec.std), to_rgb=True)(results)
    expected = pipelines.Pad(size_divisor=32)(results)["img"].transpose(2, 0, 1)
    found = normalise(Preprocessor(spec)(image(size)), spec)[0]
    assert found.shape == expected.shape
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_box_smaller_than_the_input_is_padded_as_a_size_divisor_does(letterbox_spec, image):
    spec = dataclasses.replace(letterbox_spec, input_height=64, input_width=96)
    assert Preprocessor(spec).resized((96, 128)) == (48, 64)
    network_input = Preprocessor(spec)(image((96, 128)))
    assert network_input.shape == (1, 3, 64, 96)
    assert not normalise(network_input, spec)[:, :, 48:].any()
