"""What MMDetection would end with at its first image is refused before anything is trained."""

import contextlib

import pytest

from core.base.errors import UserError
from core.config.loading import load_config
from core.config.test_pipeline import preprocessing_of
from core.detectors import first_image
from core.detectors.building import build_detector
from core.detectors.first_image import require_first_image
from core.detectors.graph import image_metas
from core.detectors.registry import require_supported
from tests.core.detectors.tiny import build, single_stage, sparse, two_stage

CONFIG = "configs/detectors/retinanet_r18_small_digits.py"
NORMALIZE, FORMAT = "Normalize", "ImageToTensor"


def config_with(steps=lambda transforms: None, **model):
    config = load_config(CONFIG)
    steps(config.data.test.pipeline[-1]["transforms"])
    if model:
        config.model = model
    return config


def place(transforms, kind):
    return next(place for place, step in enumerate(transforms) if step["type"] == kind)


def without(kind):
    return lambda transforms: transforms.pop(place(transforms, kind))


def with_last(step):
    return lambda transforms: transforms.__setitem__(-1, step)


def test_stock_pipelines_and_networks_pass():
    config = config_with()
    require_first_image(config, build_detector(config))
    for model in (single_stage("FCOSHead"), two_stage(masks=True), sparse(masks=True)):
        config = config_with(**model)
        require_first_image(config, build_detector(config))


def test_a_network_for_larger_images_alone_is_shown_one_of_its_own_size():
    model = single_stage("RetinaHead")
    # At a small size its neck has nothing left to halve.
    model["neck"] = dict(type="NASFPN", in_channels=[16, 32, 64, 128], out_channels=32, num_outs=5, stack_times=1,
                         start_level=1)
    config = config_with(**model)
    config.data.test.pipeline[-1]["img_scale"] = (256, 256)
    require_first_image(config, build_detector(config))


@pytest.mark.parametrize(("size", "fits"), [((1344, 800), True), ((1340, 800), False), ((300, 192), False)])
def test_sides_that_levels_cannot_be_joined_at_are_refused_at_any_size(size, fits, monkeypatch):
    seen = []
    monkeypatch.setattr(first_image, "image_metas", lambda img: seen.append(img.shape) or image_metas(img))
    model = single_stage("RetinaHead")
    model["neck"] = dict(type="HRFPN", in_channels=[16, 32, 64, 128], out_channels=32, num_outs=5)
    config = config_with(**model)
    config.data.test.pipeline[-1]["img_scale"] = size
    with contextlib.nullcontext() if fits else pytest.raises(UserError, match="Sizes of tensors must match"):
        require_first_image(config, build_detector(config))
    assert [max(shape) for shape in seen] == ([192] if fits else [188, 1340] if size[0] == 1340 else [192, 300])


@pytest.mark.parametrize("change", [
    without("Collect"), with_last({"type": "Collect", "keys": []}),
    lambda transforms: transforms.insert(0, transforms.pop(place(transforms, FORMAT))),
    lambda transforms: transforms.append({"type": "RandomFlip", "flip_ratio": 0, "direction": "nowhere"}),
    lambda transforms: transforms[0].update(multiscale_mode="x"),
], ids=["no Collect", "nothing collected", "formatted first", "flip behind", "multiscale_mode"])
def test_a_pipeline_that_fails_is_refused(change):
    config = config_with(change)
    with pytest.raises(UserError) as caught:
        preprocessing_of(config)
        require_first_image(config, build_detector(config))
    assert caught.value.thing.startswith("config, data.test.pipeline")


def without_classes(model):
    model["roi_head"]["bbox_head"]["with_cls"] = False
    return model


def with_coder(model, **coder):
    model["bbox_head"]["bbox_coder"] = coder
    return model


def with_strides(model, strides):
    model["bbox_head"]["anchor_generator"]["strides"] = strides
    return model


@pytest.mark.parametrize("model", [
    without_classes(two_stage()), with_coder(single_stage("FSAFHead"), type="TBLRBBoxCoder", normalizer=4),
    with_strides(single_stage("GFLHead"), [(4, 8), (8, 16)]),
], ids=["no classes", "a normalizer that is no float", "strides of two lengths"])
def test_a_network_that_fails_is_refused(model):
    detector = build(model)
    require_supported(detector)
    with pytest.raises(UserError, match="when it tests the first image"):
        require_first_image(config_with(**model), detector)


def test_a_deviation_below_0_is_refused_before_training():
    config = config_with(lambda transforms: transforms[place(transforms, NORMALIZE)].update(std=[-1.0, 1.0, 1.0]))
    with pytest.raises(UserError, match="a positive number"):
        preprocessing_of(config)
