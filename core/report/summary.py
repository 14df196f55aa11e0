"""The summary of a run: the figures by which it is judged and compared, and what exactly was measured."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.base.errors import UserError
from core.base.text import bounded_repr
from core.report.gate import Thresholds, judge
from core.report.measurements import Measurements, parse_measurements, read_json

if TYPE_CHECKING:
    from core.config.reference import ConfigRef
    from core.data.reference import DataRef

SCHEMA = 2


@dataclass(frozen=True)
class Summary:
    """The content of ``summary.json``.

    mAP is COCO's mean over IoU 0.50:0.95 and ``map50`` at IoU 0.50, both 0..1; ``map_fp32`` and ``map_compressed``
    are PyTorch's, ``map_ir_fp32`` and ``map_ir`` OpenVINO's, all on the same images. ``fps`` is images a second,
    latency the median of one image in milliseconds, ``size_mb`` xml + bin in units of 1e6 bytes; without a suffix
    they belong to the compressed IR. ``map_drop`` is FP32 PyTorch to compressed IR, ``map_drop_low`` and
    ``map_drop_high`` its 95 % interval over images. ``worst_class`` lost the most AP on that way. ``speedup_low`` and
    ``speedup_high`` are the smallest and the largest of the repeats, ``int8_share`` the part of the convolution work
    that runs in int8, 0..1; ``corrupt_images`` were not scored. What could not be measured is NaN here and null in
    JSON.
    """

    schema: int
    verdict: str
    map_fp32: float
    map_compressed: float
    map_ir_fp32: float
    map_ir: float
    map50_fp32: float
    map50_compressed: float
    map50_ir_fp32: float
    map50_ir: float
    map_drop: float
    map_drop_low: float
    map_drop_high: float
    worst_class: str
    worst_class_drop: float
    corrupt_images: float
    fps_fp32: float
    fps: float
    speedup: float
    speedup_low: float
    speedup_high: float
    int8_share: float
    latency_ms_p50_fp32: float
    latency_ms_p50: float
    size_mb_fp32: float
    size_mb: float
    provenance: dict[str, Any]

    def figures(self) -> dict[str, float]:
        """Return the numbers that are measured, by key."""
        return {name: getattr(self, name) for name in FIGURES}

    def metrics(self) -> dict[str, float]:
        """Return the stable keys of the KFP Metrics artifact: ``passed`` (1 or 0) and every figure."""
        return {"passed": 1 if self.verdict == "pass" else 0, **self.figures()}

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able dict without NaN: an unmeasured figure is None."""
        record = asdict(self)
        record.update({name: value if math.isfinite(value) else None for name, value in self.figures().items()})
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Summary":
        """Read what ``to_json`` gave.

        Raises:
            UserError: Keys are missing or unknown, a value is of the wrong type, or the schema is another one.
        """
        hint = "Give the summary.json that this version's report stage wrote."
        names = {field.name for field in fields(cls)}
        if set(record) != names or record["schema"] != SCHEMA:
            odd = sorted(map(str, names ^ set(record))) or [f"schema {bounded_repr(record['schema'])}"]
            raise UserError("summary", f"differs in {', '.join(odd)}", f"It must have the keys of schema {SCHEMA}.",
                            hint)
        wrong = [f"{name} is {bounded_repr(record[name])}" for name in FIGURES if not _is_figure(record[name])]
        if record["verdict"] not in ("pass", "fail"):
            wrong.append(f"verdict is {bounded_repr(record['verdict'])}")
        provenance = record["provenance"]
        if not isinstance(record["worst_class"], str):
            wrong.append(f"worst_class is {bounded_repr(record['worst_class'])}")
        if not isinstance(provenance, Mapping) or PROVENANCE - set(provenance):
            wrong.append("provenance lacks some of " + ", ".join(sorted(PROVENANCE)))
        if wrong:
            raise UserError("summary", ", ".join(wrong),
                            "Figures are numbers or null, the verdict is 'pass' or 'fail', provenance is complete.",
                            hint)
        return cls(**{**record, **{name: _figure(record[name]) for name in FIGURES}})


PROVENANCE = frozenset(["sha256", "versions", "cpu", "data", "parent", "configs", "compression", "thresholds"])
FIGURES = tuple(field.name for field in fields(Summary) if field.type is float)


def build_summary(evaluation_fp32: Mapping[str, Any], evaluation_compressed: Mapping[str, Any],
                  validation: Mapping[str, Any], data: "DataRef", model: "ConfigRef", compression: "ConfigRef",
                  parent: Mapping[str, str], thresholds: Thresholds) -> Summary:
    """Put the measurements of a run together and judge them.

    Args:
        evaluation_fp32: ``evaluation.json`` of the FP32 checkpoint.
        evaluation_compressed: ``evaluation.json`` of the compressed checkpoint.
        validation: ``validation.json`` of both IRs.
        parent: ``uri`` and ``digest`` of the checkpoint the run was given, both empty where it trained one.

    Raises:
        UserError: A measurement lacks a key, or the measurements are not of the same data.
    """
    return summarize(parse_measurements(evaluation_fp32, evaluation_compressed, validation), data, model, compression,
                     parent, thresholds)


def summarize(measured: Measurements, data: "DataRef", model: "ConfigRef", compression: "ConfigRef",
              parent: Mapping[str, str], thresholds: Thresholds) -> Summary:
    """Do what ``build_summary`` does with measurements that are already read."""
    _require_same_data(measured, data)
    figures = _figures(measured)
    worst_class, figures["worst_class_drop"] = _worst_class(measured)
    verdict = "pass" if judge(figures, thresholds, worst_class).passed else "fail"
    provenance = {**_provenance(measured, data), "parent": {key: parent.get(key, "") for key in ("uri", "digest")},
                  "configs": {"model": model.path, "model_digest": model.digest,
                              "compression": compression.path, "compression_digest": compression.digest},
                  "thresholds": asdict(thresholds)}
    return Summary(schema=SCHEMA, verdict=verdict, provenance=provenance, worst_class=worst_class, **figures)


def write_summary(summary: Summary, file: Path) -> None:
    """Write ``summary.json``; its folder is made where it is missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(summary.to_json(), indent=2, allow_nan=False, ensure_ascii=False) + "\n",
                    encoding="utf-8")


def read_summary(file: Path) -> Summary:
    """Read ``summary.json``.

    Raises:
        UserError: The file is missing, is not JSON or is not a summary of this version.
    """
    return Summary.from_json(read_json(file))


def _figures(measured: Measurements) -> dict[str, float]:
    irs = measured.irs
    accuracies = {"fp32": measured.fp32.accuracy, "compressed": measured.compressed.accuracy,
                  "ir_fp32": irs.fp32.accuracy, "ir": irs.compressed.accuracy}
    figures = {f"map_{name}": accuracy.map for name, accuracy in accuracies.items()}
    figures.update({f"map50_{name}": accuracy.map50 for name, accuracy in accuracies.items()})
    figures["map_drop"] = figures["map_fp32"] - figures["map_ir"]
    figures["map_drop_low"], figures["map_drop_high"] = irs.map_drop.low, irs.map_drop.high
    figures["corrupt_images"] = float(len(irs.corrupt_images))
    figures["speedup"], figures["int8_share"] = irs.speedup, irs.compressed.int8_share
    figures["speedup_low"], figures["speedup_high"] = irs.speedup_range
    for name in ("fps", "latency_ms_p50", "size_mb"):
        figures[f"{name}_fp32"], figures[name] = getattr(irs.fp32, name), getattr(irs.compressed, name)
    return figures


def _worst_class(measured: Measurements) -> tuple[str, float]:
    """Return the class that lost the most AP, FP32 PyTorch to compressed IR, and how much; empty and NaN where none
    can be compared."""
    before, after = measured.fp32.accuracy.per_class_ap, measured.irs.compressed.accuracy.per_class_ap
    drops = {name: ap - after.get(name, math.nan) for name, ap in before.items()}
    known = {name: drop for name, drop in drops.items() if math.isfinite(drop)}
    if not known:
        return "", math.nan
    name = max(known, key=lambda item: known[item])
    return name, known[name]


def _provenance(measured: Measurements, data: "DataRef") -> dict[str, Any]:
    fp32, compressed, irs = measured.fp32, measured.compressed, measured.irs
    return {
        "sha256": {
            "data": data.digest,
            "parent_checkpoint": fp32.checkpoint_sha256,
            "compressed_checkpoint": compressed.checkpoint_sha256,
            "ir_fp32_xml": irs.fp32.xml_sha256,
            "ir_fp32_bin": irs.fp32.bin_sha256,
            "ir_xml": irs.compressed.xml_sha256,
            "ir_bin": irs.compressed.bin_sha256,
            "nncf_config": compressed.nncf_config_sha256,
        },
        "versions": {"nncf": "", **fp32.versions, **compressed.versions, **irs.versions},
        "cpu": dict(irs.cpu),
        "data": {"uri": data.uri, "format": data.format, "classes": len(data.classes), "test_split": data.test_split,
                 "test_images": irs.compressed.accuracy.images},
        "compression": {"algorithms": list(compressed.algorithms),
                        "fake_quantize_nodes": irs.compressed.fake_quantize_nodes},
    }


def _require_same_data(measured: Measurements, data: "DataRef") -> None:
    fp32, compressed, irs = measured.fp32, measured.compressed, measured.irs
    digests = {"the data parameter": data.digest, "evaluation of the FP32 model": fp32.data_digest,
               "evaluation of the compressed model": compressed.data_digest, "validation": irs.data_digest}
    if len(set(digests.values())) > 1:
        found = ", ".join(f"{name} {digest[:12] or 'none'}" for name, digest in digests.items())
        raise UserError("data digest", found, "All measurements of a report must be of the same data.",
                        "Run evaluate and validate again on one data set.")
    accuracies = {"evaluation of the FP32 model": fp32.accuracy,
                  "evaluation of the compressed model": compressed.accuracy,
                  "validation of the FP32 IR": irs.fp32.accuracy,
                  "validation of the compressed IR": irs.compressed.accuracy}
    for name, accuracy in accuracies.items():
        unknown = sorted(set(accuracy.per_class_ap) - set(data.classes))
        if unknown:
            raise UserError(name, f"has classes {', '.join(unknown[:5])}",
                            f"The data set's classes are {', '.join(data.classes[:10])}.",
                            "Run the stage again with the classes of this data set.")


def _is_figure(value: Any) -> bool:
    return value is None or isinstance(value, (int, float)) and not isinstance(value, bool)


def _figure(value: Any) -> float:
    return math.nan if value is None else float(value)
