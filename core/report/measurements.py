"""The measurements a report is built from, read from the JSON that evaluate and validate wrote."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

from core.errors import UserError

SCHEMA = 1
_REMEDY = "Run the stage that measures again; a file of another version cannot be reported."


@dataclass(frozen=True)
class Accuracy:
    """COCO accuracy of one model on the test split; a number that is undefined there is NaN."""

    map: float
    map50: float
    per_class_ap: Dict[str, float]
    images: int


@dataclass(frozen=True)
class Evaluation:
    """One PyTorch model's measurement: ``evaluation.json`` of the evaluate stage."""

    accuracy: Accuracy
    checkpoint_sha256: str
    algorithms: Tuple[str, ...]
    nncf_config_sha256: str
    versions: Dict[str, str]
    data_digest: str
    corrupt_images: Tuple[str, ...]
    warnings: Tuple[str, ...]


@dataclass(frozen=True)
class IrMeasurement:
    """One OpenVINO IR's measurement; size is xml + bin in units of 1e6 bytes."""

    accuracy: Accuracy
    fps: float
    latency_ms_p50: float
    size_mb: float
    xml_sha256: str
    bin_sha256: str
    fake_quantize_nodes: int


@dataclass(frozen=True)
class Sample:
    """One picture with detections drawn, ``file`` relative to the validation folder, of the test image ``image``."""

    file: str
    image: str


@dataclass(frozen=True)
class Validation:
    """Both IRs' measurements: ``validation.json`` of the validate stage."""

    fp32: IrMeasurement
    compressed: IrMeasurement
    speedup: float
    samples: Tuple[Sample, ...]
    cpu: Dict[str, Any]
    versions: Dict[str, str]
    data_digest: str
    corrupt_images: Tuple[str, ...]
    warnings: Tuple[str, ...]


@dataclass(frozen=True)
class Measurements:
    """All of a run's measurements."""

    fp32: Evaluation
    compressed: Evaluation
    irs: Validation


def read_json(file: Path) -> Dict[str, Any]:
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
    samples = [_Record(item, f"{name}.samples") for item in source.sequence("samples")]
    return Validation(fp32=_ir(source.inner("fp32")), compressed=_ir(source.inner("compressed")),
                      speedup=source.number("speedup"),
                      samples=tuple(Sample(item.text("file"), item.text("image")) for item in samples),
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
        if (self.value("schema"), self.value("kind")) != (SCHEMA, kind):
            raise UserError(self.path, f"schema {self._record['schema']!r}, kind {self._record['kind']!r}",
                            f"It must have schema {SCHEMA} and kind {kind!r}.", _REMEDY)

    def value(self, key: str) -> Any:
        if key not in self._record:
            raise UserError(self.path, f"has no {key!r}", f"It has {', '.join(sorted(map(str, self._record)))}.",
                            _REMEDY)
        return self._record[key]

    def inner(self, key: str) -> "_Record":
        return _Record(self.value(key), f"{self.path}.{key}")

    def items(self) -> List[Tuple[str, Any]]:
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

    def sequence(self, key: str, optional: bool = False) -> List[Any]:
        if optional and key not in self._record:
            return []
        value = self.value(key)
        if not isinstance(value, (list, tuple)):
            raise self._wrong(key, "a list")
        return list(value)

    def _wrong(self, key: str, expected: str) -> UserError:
        return UserError(f"{self.path}.{key}", repr(self._record[key]), f"It must be {expected}.", _REMEDY)


def _accuracy(source: _Record) -> Accuracy:
    per_class = source.inner("per_class_ap")
    return Accuracy(map=source.number("map"), map50=source.number("map50"), images=source.integer("images"),
                    per_class_ap={str(name): per_class.number(name) for name, _ in per_class.items()})


def _ir(source: _Record) -> IrMeasurement:
    return IrMeasurement(accuracy=_accuracy(source.inner("metrics")), fps=source.number("fps"),
                         latency_ms_p50=source.number("latency_ms_p50"), size_mb=source.number("size_mb"),
                         xml_sha256=source.text("xml_sha256"), bin_sha256=source.text("bin_sha256"),
                         fake_quantize_nodes=source.integer("fake_quantize_nodes"))


def _versions(source: _Record, required: Tuple[str, ...]) -> Dict[str, str]:
    for package in required:
        source.text(package)
    return {str(package): str(version) for package, version in source.items() if version is not None}


def _named(items: List[Any]) -> Tuple[str, ...]:
    """Return one text per item; an object, such as a file with its error, is written as its values."""
    return tuple(": ".join(str(part) for part in item.values()) if isinstance(item, Mapping) else str(item)
                 for item in items)
