import importlib.util
from pathlib import Path

import pytest

from core.base.errors import UserError
from core.config.loading import load_data
from core.config.test_pipeline import Preprocessing, preprocessing_of

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
RESIZE, FLIP, PAD = {"type": "Resize", "keep_ratio": True}, {"type": "RandomFlip"}, {"type": "Pad", "size_divisor": 32}
NORMALIZE = {"type": "Normalize", "mean": list(MEAN), "std": list(STD), "to_rgb": True}
FORMAT = [{"type": "ImageToTensor", "keys": ["img"]}, {"type": "Collect", "keys": ["img"]}]
LOAD = {"type": "LoadImageFromFile"}


def config(*steps, load=LOAD, **augment):
    return {"data": {"test": {"pipeline": [load, {"type": "MultiScaleFlipAug", "img_scale": (1333, 800), "flip": False,
                                                  "transforms": list(steps) + FORMAT, **augment}]}}}


def test_keep_ratio_with_padding_to_a_divisor():
    assert preprocessing_of(config(RESIZE, FLIP, NORMALIZE, PAD)) == Preprocessing(
        input_width=1344, input_height=800, resize_width=1333, resize_height=800, keep_ratio=True, pad_size_divisor=32,
        pad_value=0, pad_after_normalize=True, mean=MEAN, std=STD, to_rgb=True)


def test_stretching_without_padding():
    stretch = {"type": "Resize", "keep_ratio": False}
    assert preprocessing_of(config(stretch, NORMALIZE, img_scale=[(300, 200)])) == Preprocessing(
        input_width=300, input_height=200, resize_width=300, resize_height=200, keep_ratio=False, pad_size_divisor=1,
        pad_value=0, pad_after_normalize=False, mean=MEAN, std=STD, to_rgb=True)


def test_padding_to_a_square_of_raw_pixels():
    pad = {"type": "Pad", "pad_to_square": True, "pad_val": {"img": (114.0, 114.0, 114.0)}}
    found = preprocessing_of(config(RESIZE, FLIP, pad, {"type": "DefaultFormatBundle"}, img_scale=(640, 416)))
    assert found == Preprocessing(
        input_width=640, input_height=640, resize_width=640, resize_height=416, keep_ratio=True, pad_size_divisor=1,
        pad_value=114, pad_after_normalize=False, mean=(0.0,) * 3, std=(1.0,) * 3, to_rgb=False)
    assert found.pad_pixel == (114.0, 114.0, 114.0)


def test_padding_to_a_size_is_height_then_width():
    found = preprocessing_of(config(RESIZE, {"type": "Pad", "size": (900, 1400), "pad_val": 7}))
    assert (found.input_width, found.input_height, found.pad_value) == (1400, 900, 7)


def test_the_pixel_that_equals_normalised_padding():
    assert preprocessing_of(config(RESIZE, NORMALIZE, PAD)).pad_pixel == MEAN[::-1]
    shifted = {"type": "Pad", "size_divisor": 32, "pad_val": {"img": 2}}
    plain = {**NORMALIZE, "to_rgb": False}
    assert preprocessing_of(config(RESIZE, plain, shifted)).pad_pixel == tuple(m + 2 * s for m, s in zip(MEAN, STD))


@pytest.mark.parametrize("changed, problem", [
    (config(RESIZE, NORMALIZE, PAD, flip=True), "MultiScaleFlipAug: .*flip=True.* sees an image once"),
    (config(RESIZE, PAD, img_scale=[(1333, 800), (666, 400)]), "MultiScaleFlipAug: img_scale=.* one input size"),
    (config(RESIZE, PAD, img_scale=None, scale_factor=1.0), "MultiScaleFlipAug: img_scale=None"),
    (config(RESIZE, PAD, scale_factor=2.0), "MultiScaleFlipAug: .*scale_factor=2.0.* one input size"),
    (config(RESIZE, PAD, img_scale=[320, 320]), "a tuple of two positive integers"),
    (config(RESIZE, PAD, img_scale=(320, 0)), "two positive integers"),
    (config(RESIZE, PAD, img_scale=(320.0, 320)), "two positive integers"),
    (config(RESIZE, {"type": "CLAHE"}), "the transform CLAHE. A deployed model cannot repeat it"),
    (config(RESIZE, {"type": "Normalise"}), "the transform Normalise.*Did you mean `Normalize`"),
    (config(RESIZE, {"type": "LoadProposals"}), "the transform LoadProposals"),
    (config(RESIZE, {**NORMALIZE, "means": 1}), "Normalize: means=1. .*no such parameter. Did you mean `mean`"),
    (config(RESIZE, RESIZE), "Resize: keep_ratio=True. It occurs once"),
    (config(RESIZE, LOAD), "LoadImageFromFile: .*once"),
    (config(NORMALIZE, RESIZE, PAD), "Normalize, Resize, Pad. Resize comes first"), (config(), "no Resize"),
    (config(RESIZE, NORMALIZE), "Resize: keep_ratio=True. With keep_ratio .* through Pad"),
    (config({"type": "Resize"}, NORMALIZE), "Resize: no parameters. With keep_ratio"),
    (config({**RESIZE, "override": True}, PAD), "Resize: .*override=True.*from img_scale alone"),
    (config({**RESIZE, "ratio_range": (1, 2)}, PAD), "Resize: .*ratio_range"),
    (config({**RESIZE, "interpolation": "nearest"}, PAD), "Resize: .*nearest.*bilinearly"),
    (config({**RESIZE, "backend": "pillow"}, PAD), "Resize: .*pillow.*as OpenCV does"),
    (config(RESIZE, {**NORMALIZE, "mean": 0}, PAD), "Normalize: mean=0. It has three numbers"),
    (config(RESIZE, {**NORMALIZE, "mean": [1, 2]}, PAD), "Normalize: mean=.*three numbers"),
    (config(RESIZE, {**NORMALIZE, "std": [1, 0, 1]}, PAD), "Normalize: std=.*divided by std"),
    (config(RESIZE, {"type": "Pad"}), "Pad: no parameters. It takes one of"),
    (config(RESIZE, {**PAD, "size": (1, 2)}), "Pad: .*It takes one of"),
    (config(RESIZE, {"type": "Pad", "size_divisor": 0}), "Pad: size_divisor=0. size_divisor is a positive integer"),
    (config(RESIZE, {"type": "Pad", "size": (800, 1000)}), r"Pad: size=.*at least \(800, 1333\)"),
    (config(RESIZE, {"type": "Pad", "size": 800}), "Pad: size=800"),
    (config(RESIZE, {**PAD, "pad_val": {"img": (1, 2, 3)}}), "Pad: pad_val=.*one integer from 0 to 255"),
    (config(RESIZE, {**PAD, "pad_val": 0.5}), "one integer"), (config(RESIZE, {**PAD, "pad_val": 256}), "one integer"),
    (config(RESIZE, {**PAD, "pad_val": "black"}), "one integer"),
    (config(RESIZE, PAD, load={**LOAD, "color_type": "grayscale"}), "LoadImageFromFile: color_type='grayscale'.*BGR"),
    (config(RESIZE, PAD, load={**LOAD, "channel_order": "rgb"}), "LoadImageFromFile: channel_order='rgb'"),
    (config(RESIZE, PAD, load={"type": "LoadImageFromWebcam"}), "the transform LoadImageFromWebcam"),
    ({"data": {"test": {"pipeline": [LOAD, RESIZE, PAD]}}}, "LoadImageFromFile, Resize, Pad. It must be"),
    ({"data": {"test": {"pipeline": "x"}}}, "A pipeline is a list"), ({"data": {"test": {}}}, "0 different pipelines"),
    ({"data": {"test": [{"pipeline": [1]}, {"pipeline": [2]}]}}, "2 different pipelines"),
    (config({"type": ["Resize"]}), "A pipeline is a list of dicts with a type"),
    (config(RESIZE, PAD, transforms=[1]), "A pipeline is a list"),
])
def test_what_deployment_cannot_repeat_is_refused(changed, problem):
    with pytest.raises(UserError, match=problem):
        preprocessing_of(changed)


@pytest.mark.parametrize("name, size, keep_ratio", [
    ("ssd/ssd300_coco.py", (300, 300), False), ("retinanet/retinanet_r50_fpn_1x_coco.py", (1344, 800), True),
    ("yolo/yolov3_d53_mstrain-608_273e_coco.py", (608, 608), True),
    ("yolox/yolox_tiny_8x8_300e_coco.py", (416, 416), True),
    ("faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py", (1344, 800), True),
    ("ssd/ssdlite_mobilenetv2_scratch_600e_coco.py", (320, 320), False),
])
def test_stock_configs(name, size, keep_ratio):
    found = importlib.util.find_spec("mmdet")
    if found is None:
        pytest.skip("mmdet is not in this environment")
    path = Path(found.origin).parent / ".mim" / "configs" / name
    if not path.is_file():
        pytest.skip("this mmdet does not ship its configs")
    preprocessing = preprocessing_of(load_data(path))
    assert (preprocessing.input_width, preprocessing.input_height) == size
    assert preprocessing.keep_ratio is keep_ratio


def test_the_values_are_those_that_mmdet_applies(tmp_path):
    """mmdet's own pipeline on a landscape image gives what the description says."""
    import mmcv
    import numpy as np
    from mmdet.datasets.pipelines import Compose

    image = np.random.RandomState(0).randint(0, 256, (40, 64, 3)).astype(np.uint8)
    mmcv.imwrite(image, str(tmp_path / "a.png"))
    described = config(RESIZE, FLIP, NORMALIZE, PAD, img_scale=(100, 60))
    found = preprocessing_of(described)
    pipeline = Compose(described["data"]["test"]["pipeline"])
    result = pipeline({"img_info": {"filename": "a.png"}, "img_prefix": str(tmp_path)})["img"][0].numpy()
    raw = np.empty((found.input_height, found.input_width, 3), np.float32)
    raw[:] = found.pad_pixel
    resized = mmcv.imrescale(image, (found.resize_width, found.resize_height))
    raw[:resized.shape[0], :resized.shape[1]] = resized
    normalised = ((raw[..., ::-1] - np.array(found.mean)) / np.array(found.std)).transpose(2, 0, 1)
    # mmdet pads no further than this image's own next multiple of the divisor; the rest is padding as well.
    assert result.shape == (3, 64, 96)
    np.testing.assert_allclose(result, normalised[:, :64, :96], atol=1e-4)
    np.testing.assert_allclose(normalised[:, :, 96:], found.pad_value, atol=1e-4)
