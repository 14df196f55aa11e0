"""What deployment must do to an image, read from a config's test pipeline."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.base.errors import UserError
from core.base.suggest import did_you_mean
from core.base.text import bounded_repr
from core.config.loading import pipelines
from core.config.plain_data import is_plain_number

if TYPE_CHECKING:
    from mmcv import Config

THING = "config, data.test.pipeline"
# The transforms that can be represented and their parameters; those that say nothing about pixels are allowed too.
_PARAMETERS = {
    "LoadImageFromFile": ("to_float32", "color_type", "channel_order", "file_client_args"),
    "MultiScaleFlipAug": ("transforms", "img_scale", "scale_factor", "flip", "flip_direction"),
    "Resize": ("img_scale", "multiscale_mode", "ratio_range", "keep_ratio", "bbox_clip_border", "backend",
               "interpolation", "override"),
    "Normalize": ("mean", "std", "to_rgb"),
    "Pad": ("size", "size_divisor", "pad_to_square", "pad_val"),
    "RandomFlip": ("flip_ratio", "direction"),
    "ImageToTensor": ("keys",), "DefaultFormatBundle": ("img_to_float", "pad_val"),
    "Collect": ("keys", "meta_keys")}
_PIXEL_STEPS = ("Resize", "Normalize", "Pad")


@dataclass(frozen=True)
class Preprocessing:
    """How a BGR image of any size becomes the network's input.

    The image is resized to ``resize_width`` x ``resize_height`` (``keep_ratio``: to the largest size that fits
    within, rounded as mmcv's ``imrescale`` does), then padded at the right and bottom to the input size, and
    normalised, ``(pixel - mean) / std`` per channel after the swap to RGB where ``to_rgb`` is set.

    With ``keep_ratio`` mmdet turns the box with the image (a portrait gets at most 800 x 1333 from (1333, 800));
    a deployed input cannot turn, so such an image becomes smaller here. Square scales have no such difference.

    Attributes:
        input_width, input_height: The network's input in pixels.
        resize_width, resize_height: The box that the image is resized to, in pixels.
        pad_size_divisor: The input's sides are multiples of it; 1 where no divisor is given.
        pad_value: The value of the padding, the same in all channels.
        pad_after_normalize: Whether ``pad_value`` is a normalised value rather than a pixel's.
        mean: Per channel, in the order after ``to_rgb``.
        std: Per channel, likewise.
        to_rgb: Whether the channels are swapped before normalising.
    """

    input_width: int
    input_height: int
    resize_width: int
    resize_height: int
    keep_ratio: bool
    pad_size_divisor: int
    pad_value: int
    pad_after_normalize: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    to_rgb: bool

    @property
    def pad_pixel(self) -> tuple[float, float, float]:
        """The BGR pixel, before normalisation, that equals the padding."""
        if not self.pad_after_normalize:
            return (float(self.pad_value),) * 3
        pixel = tuple(self.pad_value * std + mean for mean, std in zip(self.mean, self.std))
        return pixel[::-1] if self.to_rgb else pixel

    @property
    def pads(self) -> bool:
        """Whether an image's size says how much of the input is padding, or all images get some."""
        return self.keep_ratio or (self.resize_width, self.resize_height) != (self.input_width, self.input_height)

    def normalised(self, pixel: tuple[float, float, float]) -> tuple[float, float, float]:
        """Return a BGR pixel as each channel of the network's input has it."""
        channels = pixel[::-1] if self.to_rgb else pixel
        return tuple((value - mean) / std for value, mean, std in zip(channels, self.mean, self.std))


def preprocessing_of(cfg: "Config") -> Preprocessing:
    """Return what the test pipeline of a resolved config does to an image.

    Understood is mmdet's stock form, LoadImageFromFile and MultiScaleFlipAug with Resize, RandomFlip, Normalize, Pad
    and formatting. With ``keep_ratio`` the input has the padded size of ``img_scale``, (width, height).

    Raises:
        UserError: Several scales, flips, an unknown transform or parameter, another order; names the transform.
    """
    test = cfg["data"]["test"]
    found = list(pipelines(test))
    if not found or any(other != found[0] for other in found):
        raise UserError("config, data.test", f"{len(found)} different pipelines", "Deployment takes one pipeline.",
                        "Keep one test data set with a pipeline.")
    outer = _checked(found[0])
    kinds = [step["type"] for step in outer]
    if kinds != ["LoadImageFromFile", "MultiScaleFlipAug"]:
        raise UserError(THING, ", ".join(kinds), "It must be LoadImageFromFile, then MultiScaleFlipAug.",
                        "Use the form of mmdet's stock configs.")
    load, augment = outer
    if load.get("color_type", "color") != "color" or load.get("channel_order", "bgr") != "bgr":
        raise _refusal("LoadImageFromFile", load, "Images are read as 8-bit BGR.", "Drop color_type, channel_order.")
    if augment.get("flip", False):
        raise _refusal("MultiScaleFlipAug", augment, "A deployed model sees an image once.", "Set flip=False.")
    if augment.get("scale_factor") is not None:
        raise _refusal("MultiScaleFlipAug", augment, "A deployed model has one input size.", "Give img_scale alone.")
    width, height = _scale(augment)
    steps = _pixel_steps(augment["transforms"])
    keep_ratio = bool(steps["Resize"].get("keep_ratio", True))
    normalize = steps.get("Normalize", {"mean": (0.0,) * 3, "std": (1.0,) * 3, "to_rgb": False})
    mean, std = _channels(normalize, "mean"), _channels(normalize, "std")
    if min(std) <= 0:
        raise _refusal("Normalize", {"std": std}, "Pixels are divided by std, a positive number.",
                       "Use 1.0 for no scaling.")
    pad = steps.get("Pad")
    if pad is None and keep_ratio:
        raise _refusal("Resize", steps["Resize"], "With keep_ratio the input has a fixed size only through Pad.",
                       "Add dict(type='Pad', size_divisor=32) after Normalize, or set keep_ratio=False.")
    input_width, input_height, divisor = _padded(width, height, pad)
    order = list(steps)
    after = "Normalize" in order and "Pad" in order and order.index("Pad") > order.index("Normalize")
    return Preprocessing(input_width, input_height, width, height, keep_ratio, divisor, _pad_value(pad), after,
                         mean, std, bool(normalize.get("to_rgb", True)))


def _checked(steps: Any) -> list[Mapping[str, Any]]:
    """Return ``steps``, a list of known transforms with known parameters."""
    if not isinstance(steps, (list, tuple)) or not all(
            isinstance(step, dict) and isinstance(step.get("type"), str) for step in steps):
        raise UserError(THING, bounded_repr(steps, 80), "A pipeline is a list of dicts with a type.",
                        "Use the form of mmdet's stock configs.")
    for step in steps:
        kind = step["type"]
        if kind not in _PARAMETERS:
            raise UserError(THING, f"the transform {kind}", "A deployed model cannot repeat it.",
                            did_you_mean(kind, _PARAMETERS, "Remove it from the test pipeline."))
        for key in step:
            if key != "type" and key not in _PARAMETERS[kind]:
                raise _refusal(kind, {key: step[key]}, "mmdet's transform has no such parameter.",
                               did_you_mean(key, _PARAMETERS[kind], "Remove it."))
    return list(steps)


def _pixel_steps(transforms: Any) -> dict[str, Mapping[str, Any]]:
    steps: dict[str, Mapping[str, Any]] = {}
    for step in _checked(transforms):
        kind = step["type"]
        if kind in ("LoadImageFromFile", "MultiScaleFlipAug") or kind in steps:
            raise _refusal(kind, step, "It occurs once, in its place.", "Use the form of mmdet's stock configs.")
        if kind in _PIXEL_STEPS:
            steps[kind] = step
    if list(steps)[:1] != ["Resize"]:
        raise UserError(THING, ", ".join(steps) or "no Resize", "Resize comes first of Resize, Normalize and Pad.",
                        "Use the order of mmdet's stock configs.")
    resize = steps["Resize"]
    if resize.get("override") or resize.get("ratio_range") is not None:
        raise _refusal("Resize", resize, "The size must come from img_scale alone.", "Drop override and ratio_range.")
    if resize.get("interpolation", "bilinear") != "bilinear" or resize.get("backend", "cv2") != "cv2":
        raise _refusal("Resize", resize, "Deployment resizes bilinearly as OpenCV does.",
                       "Drop interpolation and backend.")
    return steps


def _scale(augment: Mapping[str, Any]) -> tuple[int, int]:
    scale = augment.get("img_scale")
    if isinstance(scale, list) and len(scale) == 1:
        scale = scale[0]
    if not _is_size(scale):
        raise _refusal("MultiScaleFlipAug", {"img_scale": scale}, "A deployed model has one input size.",
                       "Set img_scale=(width, height), a tuple of two positive integers.")
    return scale[0], scale[1]


def _is_size(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(type(side) is int and side > 0 for side in value)


def _channels(step: Mapping[str, Any], key: str) -> tuple[float, ...]:
    values = step.get(key)
    if not isinstance(values, (list, tuple)) or len(values) != 3 or not all(is_plain_number(item) for item in values):
        raise _refusal("Normalize", {key: values}, "It has three numbers, one a channel.", "Write three numbers.")
    return tuple(float(item) for item in values)


def _padded(width: int, height: int, pad: Mapping[str, Any] | None) -> tuple[int, int, int]:
    """Return the padded width and height, and the divisor."""
    if pad is None:
        return width, height, 1
    size, divisor, square = pad.get("size"), pad.get("size_divisor"), bool(pad.get("pad_to_square", False))
    if (size is not None) + (divisor is not None) + square != 1:
        raise _refusal("Pad", pad, "It takes one of size, size_divisor and pad_to_square.", "Keep one of them.")
    if square:
        return max(width, height), max(width, height), 1
    if divisor is not None:
        if type(divisor) is not int or divisor < 1:
            raise _refusal("Pad", pad, "size_divisor is a positive integer.", "Use 32 for an FPN.")
        return math.ceil(width / divisor) * divisor, math.ceil(height / divisor) * divisor, divisor
    # mmcv's impad takes (height, width), unlike img_scale.
    if not isinstance(size, (list, tuple)) or not _is_size(tuple(size)) or size[0] < height or size[1] < width:
        raise _refusal("Pad", pad, f"size is (height, width), at least ({height}, {width}) as resized.",
                       "Enlarge size, or use size_divisor.")
    return size[1], size[0], 1


def _pad_value(pad: Mapping[str, Any] | None) -> int:
    given = 0 if pad is None else pad.get("pad_val", 0)
    value = given.get("img", 0) if isinstance(given, dict) else given
    values: Sequence[Any] = value if isinstance(value, (list, tuple)) else [value]
    numbers = {item if is_plain_number(item) else None for item in values}
    number = numbers.pop() if len(numbers) == 1 else None
    if number is None or number != int(number) or not 0 <= number <= 255:
        raise _refusal("Pad", {"pad_val": given}, "It is one integer from 0 to 255 for all channels.",
                       "Use the same value for each channel.")
    return int(number)


def _refusal(transform: str, found: Mapping[str, Any], rule: str, hint: str) -> UserError:
    shown = ", ".join(f"{key}={bounded_repr(value, 60)}" for key, value in found.items() if key != "type")
    return UserError(f"{THING}, {transform}", shown or "no parameters", rule, hint)
