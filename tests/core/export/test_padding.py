"""Where an image ends within a padded input is seen by exported graphs: plain, of any size, with 8 bits."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv import Config

from core.compression.tracing import tracing_forward
from core.config.test_pipeline import preprocessing_of
from core.detectors.graph import Padding, distances_to_pixels
from core.dry_run.comparing import images_for, liken
from core.dry_run.dry_run import DryRun
from core.dry_run.waking import wake
from core.export.onnx import ExportOptions, export_checkpoint, export_model, padding_of
from core.export.spec import nearest_gray
from core.openvino.detector import OpenVinoDetector
from core.openvino.ir import convert_to_ir
from core.openvino.preprocess import Preprocessor
from core.openvino.runtime import Hint, compile_model, read_ir
from core.training.model import restore_detector
from scripts.trial_configs import CLASSES, trial_config

END = (100, 120)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a dry run whose IRs pad images to their ratio: folders ``fixed``, ``any_size`` and ``int8``."""
    config, folder = trial_config("retinanet_r18_small", "int8"), tmp_path_factory.mktemp("padding")
    steps = config.data.test.pipeline[-1].transforms
    steps[0].keep_ratio = True
    steps.insert(2, dict(type="Pad", size_divisor=32))
    config.data.test.pipeline[-1].img_scale = (160, 128)
    done = DryRun(config, CLASSES, folder)
    done.build()
    wake(done.detector, tracing_forward(done.detector, False), done.batches[0]["img"].data[0])
    done.save()
    for name, options in (("fixed", ExportOptions()), ("any_size", ExportOptions(dynamic_shape=True))):
        export_checkpoint(done.checkpoint, folder / "onnx" / name, options)
    return done


def ir_of(run, name):
    folder = run.folder / name
    if not folder.exists():
        if name == "int8":
            run.wrap(False)
            run.save()
            export_checkpoint(run.checkpoint, run.folder / "onnx" / name)
        convert_to_ir(run.folder / "onnx" / name, folder)
    return folder


@pytest.mark.parametrize("name", ["fixed", "any_size"])
def test_boxes_are_pytorchs(run, name):
    detector = OpenVinoDetector(ir_of(run, name))
    images = images_for(detector.spec, 4)
    assert {image.shape[1] for image in images} == {160, 120}
    found = liken(run.network, detector, images)
    assert found.boxes >= 100 and found.same > 0.95


@pytest.mark.parametrize(("padding", "seen"), [("runner", True), ("model api", True), ("another gray", False)])
@pytest.mark.parametrize("name", ["fixed", "any_size", "int8"])
def test_boxes_end_with_the_image_whatever_pads_it(run, name, padding, seen):
    _, spec = read_ir(ir_of(run, name))
    colour = {"runner": spec.pad_pixel, "model api": (nearest_gray(spec.pad_pixel),) * 3, "another gray": (90,) * 3}
    right, lower = farthest(ir_of(run, name), colour[padding])
    assert right == END[1] and lower <= END[0] if seen else right > END[1]


def farthest(folder, colour):
    """Return where the boxes of an image that is padded with ``colour`` end, right and lower."""
    model, spec = read_ir(folder)
    image = np.empty((1, 3, spec.input_height, spec.input_width), np.float32)
    image[:] = np.float32(colour).reshape(1, 3, 1, 1)
    picture, = images_for(spec, 1)
    image[..., :END[0], :END[1]] = Preprocessor(spec)(picture)[..., :END[0], :END[1]]
    boxes = compile_model(model, Hint.LATENCY)(image)["boxes"][0]
    return boxes[boxes[:, 4] > 0][:, 2:4].max(axis=0)


def test_padding_is_seen_by_an_ir_of_fp16_that_rounds_its_colour(run, tmp_path):
    restored = restore_detector(run.checkpoint)
    steps = restored.config.data.test.pipeline[-1].transforms
    pad, = (step for step in steps if step["type"] == "Pad")
    steps.remove(pad)
    steps.insert(1, {**pad, "pad_val": dict(img=255)})
    export_model(restored, run.checkpoint, tmp_path / "onnx")
    convert_to_ir(tmp_path / "onnx", tmp_path / "ir", compress_to_fp16=True)
    right, lower = farthest(tmp_path / "ir", (255,) * 3)
    assert right == END[1] and lower <= END[0]


MEANS = {"of no pixel": (123.675, 116.28, 103.53), "of a pixel": (114.0, 114.0, 114.0)}
STD = (58.395, 57.12, 57.375)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 30), size=st.tuples(st.integers(1, 40), st.integers(1, 40)), share=st.floats(0, 1),
       around=st.booleans(), name=st.sampled_from(sorted(MEANS)), channels=st.sampled_from([(0, 3), (0, 1), (2, 1)]))
def test_the_end_of_any_image_is_found(seed, size, share, around, name, channels):
    """Images of pixels beside the mean colour, most of them as near to it as a pixel can be."""
    random, mean = np.random.RandomState(seed), np.float32(MEANS[name])
    end = tuple(random.randint(1, side + 1) for side in size)
    nearest = np.round(mean) + (random.randint(-1, 2, (*end, 3)) if around else 0)
    pixels = np.where(random.rand(*end, 1) < share, nearest, random.randint(0, 256, (*end, 3))).astype(np.float32)
    image = np.zeros((1, 3, *size), np.float32)
    image[0, :, :end[0], :end[1]] = ((pixels - mean) / np.float32(STD)).transpose(2, 0, 1)
    first, number = channels
    kept = slice(first, first + number)
    distance = max(distances_to_pixels(MEANS[name])[kept]) or 1.0
    padding = Padding(((0.0,) * number,), (distance,), tuple(1 / std for std in STD[kept]), first)
    found = padding.image_end(torch.from_numpy(image))
    other = (pixels != mean)[..., kept].any(axis=2)
    expected = [np.flatnonzero(other.any(axis=axis)).max(initial=-1) + 1 for axis in (1, 0)]
    assert found.tolist() == ([side or whole for side, whole in zip(expected, size)])
    if (mean != np.round(mean)).any():
        assert tuple(found.tolist()) == end


@pytest.mark.parametrize(("normalize", "to_rgb", "first", "number"), [
    (dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]), True, 2, 1),
    (dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]), False, 2, 1),
    (dict(mean=[123.4, 116.0, 103.0], std=[1.0] * 3), True, 0, 1),
    (dict(mean=[123.0, 116.0, 103.02], std=[1.0] * 3), True, 0, 3), (dict(mean=[0.0] * 3, std=[255.0] * 3), True, 0, 3),
])
def test_one_channel_tells_where_it_has_a_value_of_no_pixel(normalize, to_rgb, first, number):
    steps = [dict(type="Resize", keep_ratio=True), dict(type="Normalize", to_rgb=to_rgb, **normalize),
             dict(type="Pad", size_divisor=32), dict(type="ImageToTensor", keys=["img"]),
             dict(type="Collect", keys=["img"])]
    padding = padding_of(preprocessing_of(Config(dict(data=dict(test=dict(pipeline=[
        dict(type="LoadImageFromFile"),
        dict(type="MultiScaleFlipAug", img_scale=(160, 128), flip=False, transforms=steps)]))))))
    assert (padding.first, len(padding.steps)) == (first, number)
    assert padding.colours[0] == pytest.approx((0,) * number)
    values = normalize["mean"][first:first + number]
    gray = round(sum(normalize["mean"]) / 3)
    others = [(gray - mean) / std for mean, std in zip(values, normalize["std"][first:first + number])]
    assert list(padding.colours[-1]) == pytest.approx(others)
