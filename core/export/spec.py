"""What an exported detector needs to be run without MMDetection."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.json_file import json_value, read_json
from core.base.outputs import write_text
from core.base.text import bounded_repr, shown
from core.detectors.outputs import BOX_OUTPUTS, MASK_OUTPUT

SPEC_FILE = "spec.json"
RESIZE_STRETCH = "standard"
RESIZE_FIT = "fit_to_window"

_MOST_BYTES = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_EXPORT_AGAIN = "Export the model again with this version of mmdet-compress."


@dataclass(frozen=True)
class ModelSpec:
    """The input, output and origin of an exported detector.

    Args:
        input_height: Height of the network input in pixels; the input is ``[1, 3, input_height, input_width]``.
        input_width: Width of the network input in pixels.
        resize_height: Height of the box that an image is resized to, or with keep_ratio into; the rest of the input
            is padding at the bottom.
        resize_width: Width of that box; the rest is padding at the right.
        resize_type: ``standard`` (stretched to the input) or ``fit_to_window`` (scaled to fit, padded at the right
            and the bottom); the names are OpenVINO Model API's.
        keep_ratio: True exactly for ``fit_to_window``, as in MMDetection's Resize.
        pad_pixel: Blue, green and red of the padding before normalisation, the pixel that becomes MMDetection's
            ``Pad.pad_val``; seldom whole numbers where the config pads after normalisation.
        mean: Subtracted from each channel, in the order the network sees the channels (after ``to_rgb``).
        std: Divides each channel after that, in the same order.
        to_rgb: Whether the BGR image's channels are reversed before mean and std.
        dynamic: Whether the network takes other sides than ``input_height`` and ``input_width``, too.
        size_divisor: Where the input is dynamic and the ratio kept, each image is padded to multiples of it, as in
            MMDetection; 1 where all images are padded to one size.
        outputs: Names of the network's outputs: ``boxes`` and ``labels`` (and ``masks``), else raw heads.
        classes: Class names in the order of the labels.
        score_threshold: Detections must score above it; next to 0 where the graph has applied score_thr itself.
        iou_threshold: Overlap above which the lower-scored box of a class is dropped.
        max_detections: Detections kept per image.
        algorithms: NNCF algorithms applied, empty for FP32.
        fake_quantize_nodes: FakeQuantize operators in the ONNX graph, 0 where nothing is quantized.
        nncf_config_sha256: SHA-256 of the NNCF configuration, empty for FP32.
        checkpoint_sha256: SHA-256 of the checkpoint file.

    Raises:
        UserError: A field has a wrong type or value.
    """

    input_height: int
    input_width: int
    resize_height: int
    resize_width: int
    resize_type: str
    keep_ratio: bool
    pad_pixel: tuple[float, float, float]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    to_rgb: bool
    dynamic: bool
    size_divisor: int
    outputs: tuple[str, ...]
    classes: tuple[str, ...]
    score_threshold: float
    iou_threshold: float
    max_detections: int
    algorithms: tuple[str, ...]
    fake_quantize_nodes: int
    nncf_config_sha256: str
    checkpoint_sha256: str

    def __post_init__(self) -> None:
        for name in ("input_height", "input_width", "resize_height", "resize_width", "size_divisor", "max_detections"):
            self._require(name, _is_int(getattr(self, name)) and getattr(self, name) > 0, "a whole number above 0")
        self._require("resize_height", self.resize_height <= self.input_height, "at most input_height")
        self._require("resize_width", self.resize_width <= self.input_width, "at most input_width")
        self._require("fake_quantize_nodes", _is_int(self.fake_quantize_nodes) and self.fake_quantize_nodes >= 0,
                      "a whole number from 0")
        for name in ("keep_ratio", "to_rgb", "dynamic"):
            self._require(name, isinstance(getattr(self, name), bool), "true or false")
        for name in ("score_threshold", "iou_threshold"):
            self._require(name, _is_number(getattr(self, name)) and 0 <= getattr(self, name) <= 1,
                          "a number from 0 to 1")
        self._require("resize_type", self.resize_type == (RESIZE_FIT if self.keep_ratio else RESIZE_STRETCH),
                      f"{RESIZE_FIT!r} where keep_ratio is true, else {RESIZE_STRETCH!r}")
        self._require("pad_pixel", _is_triple(self.pad_pixel), "three numbers")
        self._require("mean", _is_triple(self.mean), "three numbers")
        self._require("std", _is_triple(self.std) and all(value > 0 for value in self.std), "three numbers above 0")
        self._require("outputs", _are_names(self.outputs) and len(self.outputs) > 0, "one or more different names")
        self._require("classes", _are_names(self.classes) and len(self.classes) > 0, "one or more different names")
        self._require("algorithms", _are_names(self.algorithms), "different names")
        self._require("checkpoint_sha256", _is_sha256(self.checkpoint_sha256), "64 hexadecimal digits")
        self._require("nncf_config_sha256", _is_sha256(self.nncf_config_sha256) if self.algorithms
                      else self.nncf_config_sha256 == "", "64 hexadecimal digits for a compressed model, else empty")
        self._require("fake_quantize_nodes", self.fake_quantize_nodes > 0 or "quantization" not in self.algorithms,
                      "above 0 in a quantized model")

    def _require(self, name: str, true: bool, rule: str) -> None:
        if not true:
            raise UserError(f"model spec, {name}", bounded_repr(getattr(self, name)), f"It must be {rule}.",
                            _EXPORT_AGAIN)

    @property
    def finds_boxes(self) -> bool:
        """Whether post-processing is in the network; without it the outputs are raw heads."""
        return set(BOX_OUTPUTS) <= set(self.outputs)

    @property
    def has_masks(self) -> bool:
        """Whether each box has a mask."""
        return MASK_OUTPUT in self.outputs

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def to_text(self) -> str:
        """Return the spec as one line of JSON, equal for equal specs."""
        return json.dumps(self.to_json(), sort_keys=True)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ModelSpec":
        """Return what ``to_json`` wrote.

        Raises:
            UserError: A key is missing or unknown, or a value is wrong.
        """
        known = {field.name for field in fields(cls)}
        different = known.symmetric_difference(values) if isinstance(values, Mapping) else {"everything"}
        if different:
            raise UserError("model spec", f"{', '.join(sorted(different))} missing or unknown",
                            f"A spec is an object with the keys {', '.join(sorted(known))}.", _EXPORT_AGAIN)
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})

    @classmethod
    def from_text(cls, text: str, where: object) -> "ModelSpec":
        """Return the spec in a JSON text found at ``where``.

        Raises:
            UserError: The text is not JSON or not a spec.
        """
        try:
            values = json_value(text)
        except ValueError as error:
            raise UserError("model spec", where, f"It is not JSON ({shown(error)}).", _EXPORT_AGAIN) from error
        return cls.from_json(values)

    def write(self, directory: Path) -> None:
        """Write ``spec.json`` into a directory, whole or not at all."""
        write_text(Path(directory) / SPEC_FILE, json.dumps(self.to_json(), indent=1, sort_keys=True) + "\n")

    @classmethod
    def read(cls, directory: Path) -> "ModelSpec":
        """Read ``spec.json`` from a directory.

        Raises:
            UserError: The file is missing or is not a spec.
        """
        path = Path(directory) / SPEC_FILE
        return cls.from_json(read_json(path, "model spec", _EXPORT_AGAIN, _MOST_BYTES))


def nearest_gray(pixel: tuple[float, float, float]) -> int:
    """Return the padding ``pixel`` as the one raw value that OpenVINO Model API pads all channels with."""
    return min(255, max(0, round(sum(pixel) / len(pixel))))


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_triple(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 3 and all(_is_number(item) for item in value)


def _are_names(value: Any) -> bool:
    return (isinstance(value, tuple) and all(isinstance(item, str) and item.strip() for item in value)
            and len(set(value)) == len(value))


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None
