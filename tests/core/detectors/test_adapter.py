"""What adapters say of all detectors of a family."""

import pytest
from mmcv import Config

from core.base.errors import UserError
from core.detectors.registry import families


def pipeline_of(keep_ratio, scale=(160, 128)):
    """Return a config with a test pipeline that scales, or stretches, images to a size and pads them to 160x128."""
    steps = [dict(type="Resize", keep_ratio=keep_ratio), dict(type="Normalize", mean=[0.0] * 3, std=[1.0] * 3),
             dict(type="Pad", size=(128, 160)), dict(type="ImageToTensor", keys=["img"]),
             dict(type="Collect", keys=["img"])]
    return Config(dict(data=dict(test=dict(pipeline=[
        dict(type="LoadImageFromFile"),
        dict(type="MultiScaleFlipAug", img_scale=scale, flip=False, transforms=steps)]))))


@pytest.mark.parametrize("family", families(), ids=lambda family: family.name)
def test_an_image_is_padded_for_families_that_take_padding_for_image(family):
    family.check_images(pipeline_of(keep_ratio=False))
    if not family.whole_images:
        family.check_images(pipeline_of(keep_ratio=True))
        family.check_images(pipeline_of(keep_ratio=False, scale=(150, 100)))
        return
    with pytest.raises(UserError) as caught:
        family.check_images(pipeline_of(keep_ratio=True))
    assert (caught.value.thing, caught.value.value) == ("config, data.test.pipeline", "keep_ratio=True")
    assert family.name in caught.value.rule and "keep_ratio=False" in caught.value.hint
    with pytest.raises(UserError) as caught:
        family.check_images(pipeline_of(keep_ratio=False, scale=(150, 100)))
    assert caught.value.value == "img_scale=(150, 100) padded to (160, 128)"
    assert "img_scale=(160, 128)" in caught.value.hint
