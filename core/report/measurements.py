"""The measurements a report is built from, read from the JSON that evaluate and validate wrote."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.text import bounded_repr

# The version of each kind of measurement that this report reads.
SCHEMAS = {"pytorch": 1, "openvino": 3}
_REMEDY = "Run the stage that measures again; a file of another version cannot be reported."


@dataclass(frozen=True)
class Accuracy:
    """COCO accuracy of one model on the test split; a number that is undefined there is NaN."""

    map: float
    map50: float
    per_class_ap: dict[str, float]
    images: int


@dataclass(frozen=True)
class Evaluation:
    """One PyTorch model's measurement: ``evaluation.json`` of the evaluate stage."""

    accuracy: Accuracy
    checkpoint_sha256: str
    algorithms: tuple[str, ...]
    nncf_config_sha256: str
    versions: dict[str, str]
    data_digest: str
    corrupt_images: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class HintSpeed:
    """Speed under one performance hint: images a second and milliseconds, and what the runtime chose."""

    hint: str
    fps: float
    fps_low: float
    fps_high: float
    median: float
    p90: float
    p99: float
    min: float
    max: float
    compile_ms: float
    first_inference_ms: float
    streams: int
    requests: int
    threads: int
    batch: int


@dataclass(frozen=True)
class NotInt8:
    """A layer that the runtime does not run in int8, with its share of the model's FLOPs."""

    name: str
    precision: str
    share: float


@dataclass(frozen=True)
class IrMeasurement:
    """One OpenVINO IR's measurement; size is xml + bin in units of 1e6 bytes, flops are of one image."""

    accuracy: Accuracy
    fps: float
    latency_ms_p50: float
    size_mb: float
    xml_sha256: str
    bin_sha256: str
    fake_quantize_nodes: int
    speeds: tuple[HintSpeed, ...]
    int8_share: float
    not_int8: tuple[NotInt8, ...]
    parameters: int
    nonzero: int
    flops: int
    channels: int


@dataclass(frozen=True)
class Sample:
    """One picture with detections drawn, ``file`` relative to the validation folder, of the test image ``image``."""

    file: str
    image: str


@dataclass(frozen=True)
class MapDrop:
    """The loss of mAP from ``first`` to the compressed IR and its confidence interval over images."""

    first: str
    value: float
    low: float
    high: float
    level: float
    samples: int


@dataclass(frozen=True)
class StepAccuracy:
    """The accuracy of one form of the model in the waterfall."""

    name: str
    map: float
    map50: float


@dataclass(frozen=True)
class Neighbours:
    """How far two forms of the model agree; ``worst`` are pictures of the images in which they differ most."""

    first: str
    second: str
    map_change: float
    share: float
    matched: int
    only_first: int
    only_second: int
    largest_score_difference: float
    worst: tuple[Sample, ...]


@dataclass(frozen=True)
class Waterfall:
    """The forms of the model that were measured, why others were not, and neighbours compared."""

    steps: tuple[StepAccuracy, ...]
    missing: dict[str, str]
    neighbours: tuple[Neighbours, ...]


@dataclass(frozen=True)
class Confusion:
    """Counts of both IRs: rows of what was there, columns of what was found, the last of each is background."""

    classes: tuple[str, ...]
    fp32: tuple[tuple[int, ...], ...]
    compressed: tuple[tuple[int, ...], ...]
    min_score: float


@dataclass(frozen=True)
class LayerChange:
    """The channels of a layer before and after."""

    name: str
    in_channels: tuple[int, int]
    out_channels: tuple[int, int]


# Class name to precision at recall 0, 0.01, .. 1, None where undefined.
Curves = dict[str, tuple[float, ...] | None]


@dataclass(frozen=True)
class Validation:
    """Both IRs' measurements: ``metrics.json`` of the validate stage, described in docs/metrics.md."""

    fp32: IrMeasurement
    compressed: IrMeasurement
    speedup: float
    speedup_range: tuple[float, float]
    expected_speedup: float
    load_average: float
    other_cores: float
    map_drop: MapDrop
    waterfall: Waterfall
    curves_fp32: Curves
    curves_compressed: Curves
    confusion: Confusion
    layers_changed: tuple[LayerChange, ...]
    samples: tuple[Sample, ...]
    cpu: dict[str, Any]
    versions: dict[str, str]
    data_digest: str
    corrupt_images: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Measurements:
    """All of a run's measurements."""

    fp32: Evaluation
    compressed: Evaluation
    irs: Validation


def read_json(file: Path) -> dict[str, Any]:
    """Return the JSON object in ``file``.

    Raises:
        UserError: The file is missing or is not a JSON object.
    """
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError("measurement", f"{file} does not exist", "The report is built from every measurement.",
                        "Run the stage that writes it first.") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError("measurement", f"{file} is not JSON ({error})", "A measurement is one JSON object.",
                        _REMEDY) from error
    if not isinstance(record, dict):
        raise UserError("measurement", f"{file} holds {type(record).__name__}", "A measurement is one JSON object.",
                        _REMEDY)
    return record


def parse_measurements(evaluation_fp32: Mapping[str, Any], evaluation_compressed: Mapping[str, Any],
                       validation: Mapping[str, Any]) -> Measurements:
    """Read all of a run's measurements from their JSON.

    Raises:
        UserError: A key is missing, has another type, or a record is of another kind or schema.
    """
    return Measurements(parse_evaluation(evaluation_fp32, "evaluation of the FP32 model"),
                        parse_evaluation(evaluation_compressed, "evaluation of the compressed model"),
                        parse_validation(validation, "validation"))


def parse_evaluation(record: Mapping[str, Any], name: str) -> Evaluation:
    """Read the evaluate stage's JSON; ``name`` says in messages which of the two it is.

    Raises:
        UserError: A key is missing, has another type, or the record is of another kind or schema.
    """
    source = _Record(record, name)
    source.require_kind("pytorch")
    model = source.inner("model")
    return Evaluation(accuracy=_accuracy(source.inner("metrics")),
                      checkpoint_sha256=model.text("checkpoint_sha256"),
                      algorithms=tuple(str(item) for item in model.sequence("algorithms")),
                      nncf_config_sha256=model.text("nncf_config_sha256"),
                      versions=_versions(source.inner("versions"), ("torch", "mmdet")),
                      data_digest=source.text("data_digest"),
                      corrupt_images=_named(source.sequence("corrupt_images")),
                      warnings=_named(source.sequence("warnings", optional=True)))


def parse_validation(record: Mapping[str, Any], name: str) -> Validation:
    """Read the validate stage's JSON.

    Raises:
        UserError: A key is missing, has another type, or the record is of another kind or schema.
    """
    source = _Record(record, name)
    source.require_kind("openvino")
    cpu = source.inner("cpu")
    speed, curves = source.inner("speed"), source.inner("curves")
    ratio, load = speed.inner("speedup"), speed.inner("load")
    return Validation(fp32=_ir(source.inner("fp32")), compressed=_ir(source.inner("compressed")),
                      speedup=source.number("speedup"), speedup_range=(ratio.number("low"), ratio.number("high")),
                      expected_speedup=source.inner("expectation").number("speedup"),
                      load_average=load.number("average"), other_cores=load.number("other_cores"),
                      map_drop=_map_drop(source.inner("map_drop")), waterfall=_waterfall(source.inner("waterfall")),
                      curves_fp32=_curves(curves.inner("fp32")), curves_compressed=_curves(curves.inner("compressed")),
                      confusion=_confusion(source.inner("confusion")),
                      layers_changed=tuple(
                          LayerChange(layer.text("name"), layer.pair("in_channels"), layer.pair("out_channels"))
                          for layer in source.records("layers_changed")),
                      samples=_samples(source.records("samples")),
                      cpu={"name": cpu.text("name"), "instruction_set": cpu.text("instruction_set"),
                           "cores": cpu.integer("cores")},
                      versions=_versions(source.inner("versions"), ("openvino",)),
                      data_digest=source.text("data_digest"),
                      corrupt_images=_named(source.sequence("corrupt_images")),
                      warnings=_named(source.sequence("warnings", optional=True)))


class _Record:
    """A JSON object whose reader says which key of which measurement is wrong."""

    def __init__(self, record: Any, path: str) -> None:
        if not isinstance(record, Mapping):
            raise UserError(path, f"is {type(record).__name__}", "It must be a JSON object.", _REMEDY)
        self._record, self.path = record, path

    def require_kind(self, kind: str) -> None:
        if (self.value("schema"), self.value("kind")) != (SCHEMAS[kind], kind):
            found = ", ".join(f"{key} {bounded_repr(self._record[key])}" for key in ("schema", "kind"))
            raise UserError(self.path, found, f"It must have schema {SCHEMAS[kind]} and kind {kind!r}.", _REMEDY)

    def value(self, key: str) -> Any:
        if key not in self._record:
            raise UserError(self.path, f"has no {key!r}", f"It has {bounded_repr(sorted(map(str, self._record)))}.",
                            _REMEDY)
        return self._record[key]

    def inner(self, key: str) -> "_Record":
        return _Record(self.value(key), f"{self.path}.{key}")

    def items(self) -> list[tuple[str, Any]]:
        return list(self._record.items())

    def number(self, key: str) -> float:
        value = self.value(key)
        if value is None:
            return math.nan
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._wrong(key, "a number or null")
        return float(value)

    def integer(self, key: str) -> int:
        value = self.value(key)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(key, "a whole number")
        return value

    def text(self, key: str) -> str:
        value = self.value(key)
        if not isinstance(value, str):
            raise self._wrong(key, "text")
        return value

    def sequence(self, key: str, optional: bool = False) -> list[Any]:
        if optional and key not in self._record:
            return []
        value = self.value(key)
        if not isinstance(value, (list, tuple)):
            raise self._wrong(key, "a list")
        return list(value)

    def records(self, key: str) -> list["_Record"]:
        """Return a list of objects; null counts as an empty one."""
        items = [] if self.value(key) is None else self.sequence(key)
        return [_Record(item, f"{self.path}.{key}[{index}]") for index, item in enumerate(items)]

    def pair(self, key: str) -> tuple[int, int]:
        values = self.sequence(key)
        if len(values) != 2 or not all(isinstance(value, int) for value in values):
            raise self._wrong(key, "two whole numbers")
        return values[0], values[1]

    def numbers(self, key: str) -> tuple[float, ...]:
        values = self.sequence(key)
        if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
            raise self._wrong(key, "a list of numbers")
        return tuple(values)

    def matrix(self, key: str, size: int) -> tuple[tuple[int, ...], ...]:
        rows = self.sequence(key)
        if len(rows) != size or not all(isinstance(row, (list, tuple)) and len(row) == size for row in rows):
            raise self._wrong(key, f"{size} rows of {size} counts")
        return tuple(tuple(row) for row in rows)

    def _wrong(self, key: str, expected: str) -> UserError:
        return UserError(f"{self.path}.{key}", bounded_repr(self._record[key]), f"It must be {expected}.", _REMEDY)


def _accuracy(source: _Record) -> Accuracy:
    per_class = source.inner("per_class_ap")
    return Accuracy(map=source.number("map"), map50=source.number("map50"), images=source.integer("images"),
                    per_class_ap={str(name): per_class.number(name) for name, _ in per_class.items()})


def _ir(source: _Record) -> IrMeasurement:
    execution, structure = source.inner("execution"), source.inner("structure")
    return IrMeasurement(accuracy=_accuracy(source.inner("metrics")), fps=source.number("fps"),
                         latency_ms_p50=source.number("latency_ms_p50"), size_mb=source.number("size_mb"),
                         xml_sha256=source.text("xml_sha256"), bin_sha256=source.text("bin_sha256"),
                         fake_quantize_nodes=source.integer("fake_quantize_nodes"),
                         speeds=tuple(_hint(source.inner(name)) for name in ("throughput", "latency")),
                         int8_share=execution.number("int8_share"),
                         not_int8=tuple(NotInt8(layer.text("name"), layer.text("precision"), layer.number("share"))
                                        for layer in execution.records("not_int8")),
                         parameters=structure.integer("parameters"), nonzero=structure.integer("nonzero"),
                         flops=structure.integer("flops"), channels=structure.integer("channels"))


def _hint(source: _Record) -> HintSpeed:
    latency, repeats = source.inner("latency_ms"), source.numbers("fps_repeats")
    return HintSpeed(
        hint=source.text("hint"), fps=source.number("fps"), fps_low=min(repeats), fps_high=max(repeats),
        **{name: latency.number(name) for name in ("median", "p90", "p99", "min", "max")},
        **{name: source.number(name) for name in ("compile_ms", "first_inference_ms")},
        **{name: source.integer(name) for name in ("streams", "requests", "threads", "batch")})


def _map_drop(source: _Record) -> MapDrop:
    return MapDrop(source.text("first"), *(source.number(name) for name in ("value", "low", "high", "level")),
                   source.integer("samples"))


def _waterfall(source: _Record) -> Waterfall:
    steps, missing = source.inner("steps"), source.inner("missing")
    return Waterfall(
        tuple(StepAccuracy(name, steps.inner(name).number("map"), steps.inner(name).number("map50"))
              for name, _ in steps.items()),
        {name: missing.text(name) for name, _ in missing.items()},
        tuple(_neighbours(pair) for pair in source.records("neighbours")))


def _neighbours(source: _Record) -> Neighbours:
    return Neighbours(source.text("first"), source.text("second"), source.number("map_change"), source.number("share"),
                      *(source.integer(name) for name in ("matched", "only_first", "only_second")),
                      source.number("largest_score_difference"), _samples(source.records("worst")))


def _curves(source: _Record) -> Curves:
    return {name: None if values is None else source.numbers(name) for name, values in source.items()}


def _confusion(source: _Record) -> Confusion:
    classes = tuple(str(name) for name in source.sequence("classes"))
    return Confusion(classes, source.matrix("fp32", len(classes)), source.matrix("compressed", len(classes)),
                     source.number("min_score"))


def _samples(records: list[_Record]) -> tuple[Sample, ...]:
    return tuple(Sample(item.text("file"), item.text("image")) for item in records)


def _versions(source: _Record, required: tuple[str, ...]) -> dict[str, str]:
    for package in required:
        source.text(package)
    return {str(package): str(version) for package, version in source.items() if version is not None}


def _named(items: list[Any]) -> tuple[str, ...]:
    """Return one text per item; an object, such as a file with its error, is written as its values."""
    return tuple(": ".join(str(part) for part in item.values()) if isinstance(item, Mapping) else str(item)
                 for item in items)
