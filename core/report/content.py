"""Everything a report shows, in one place for both its HTML and its Markdown form."""

import math
from dataclasses import dataclass

from core.report.gate import Verdict
from core.report.measurements import Measurements
from core.report.samples import Picture
from core.report.summary import Summary
from core.report.text import counted, displayable, listed
from core.report.training_log import TrainingLog

LOW_MAP = 0.05
EXPORT_TOLERANCE = 0.002


@dataclass(frozen=True)
class ClassAp:
    """One class's AP for the FP32 and the compressed PyTorch model and for the compressed IR; NaN where undefined."""

    name: str
    fp32: float
    compressed: float
    ir: float

    @property
    def drop(self) -> float:
        return self.fp32 - self.ir


@dataclass(frozen=True)
class ReportContent:
    """What a report shows; ``missing_samples`` are the files of pictures that could not be read."""

    summary: Summary
    verdict: Verdict
    measured: Measurements
    training_log: TrainingLog
    compression_log: TrainingLog
    classes: tuple[ClassAp, ...]
    samples: tuple[Picture, ...]
    worst: tuple[Picture, ...]
    missing_samples: tuple[str, ...]
    created: str


def class_aps(names: tuple[str, ...], measured: Measurements) -> tuple[ClassAp, ...]:
    """Return every class's AP in the data set's order; a class that a measurement lacks is NaN."""
    models = (measured.fp32.accuracy, measured.compressed.accuracy, measured.irs.compressed.accuracy)
    return tuple(ClassAp(name, *(accuracy.per_class_ap.get(name, math.nan) for accuracy in models)) for name in names)


def worst_first(classes: tuple[ClassAp, ...]) -> list[ClassAp]:
    """Return the classes by falling drop; those without a drop come last."""
    return sorted(classes, key=lambda item: math.inf if math.isnan(item.drop) else -item.drop)


def remarks(content: ReportContent) -> list[str]:
    """Return what a reader must know beside the figures: images left out, oddities, what was not done."""
    return [*_left_out(content), *_doubts(content), *_logs(content)]


def _left_out(content: ReportContent) -> list[str]:
    found = []
    sources = {"FP32 evaluation": content.measured.fp32, "compressed evaluation": content.measured.compressed,
               "validation": content.measured.irs}
    for name, source in sources.items():
        if source.corrupt_images:
            found.append(f"{counted(len(source.corrupt_images), 'corrupt image')} left out of the {name}: "
                         f"{listed(source.corrupt_images)}.")
    warnings = dict.fromkeys(warning for source in sources.values() for warning in source.warnings)
    found += [displayable(warning, 400) for warning in list(warnings)[:20]]
    if len(warnings) > 20:
        found.append(f"{len(warnings) - 20:,} more warnings are in the logs of evaluate and validate.")
    if content.missing_samples:
        found.append(f"{counted(len(content.missing_samples), 'sample picture')} could not be read: "
                     f"{listed(content.missing_samples)}.")
    return found


def _doubts(content: ReportContent) -> list[str]:
    found, summary = [], content.summary
    measured = content.measured
    images = [source.accuracy.images for source in (measured.fp32, measured.compressed, measured.irs.fp32,
                                                    measured.irs.compressed)]
    if len(set(images)) > 1:
        found.append(f"The models were not measured on the same images: FP32 PyTorch on {images[0]:,}, compressed "
                     f"PyTorch on {images[1]:,}, FP32 IR on {images[2]:,}, compressed IR on {images[3]:,}.")
    if abs(summary.map_fp32 - summary.map_ir_fp32) > EXPORT_TOLERANCE:
        found.append(f"The export alone changes the FP32 model's mAP: {summary.map_fp32:.4f} in PyTorch, "
                     f"{summary.map_ir_fp32:.4f} in OpenVINO.")
    if summary.map_fp32 < LOW_MAP:
        found.append(f"The FP32 model's own mAP is only {summary.map_fp32:.4f}: a small drop from there says little.")
    if not measured.compressed.algorithms:
        found.append("No compression algorithm was configured: the second model is fine-tuned, not compressed.")
    undefined = [item.name for item in content.classes if math.isnan(item.drop)]
    if undefined:
        found.append(f"{counted(len(undefined), 'class', 'classes')} without a defined AP, as where the test split "
                     f"holds no box of it: {listed(undefined)}.")
    return found


def _logs(content: ReportContent) -> list[str]:
    found = []
    for name, log in (("training", content.training_log), ("compression", content.compression_log)):
        if log.truncated:
            found.append(f"The last line of the {name} log is cut off and was passed over.")
        if not log.passed_through and not log.val:
            found.append(f"The {name} log has no validation results, so there is no curve of mAP over its epochs.")
    return found
