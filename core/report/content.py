"""Everything a report shows, in one place for both its HTML and its Markdown form."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from core.base.text import counted
from core.report.gate import Verdict
from core.report.samples import Image
from core.report.summary import Run
from core.report.text import displayable, listed
from core.report.training_log import TrainingLog
from core.results.summary import Summary
from core.results.validation import Candidate

LOW_MAP = 0.05
EXPORT_TOLERANCE = 0.002


@dataclass(frozen=True)
class ClassAp:
    """One class's AP: of the baseline in PyTorch, and of each candidate in PyTorch and as IR; NaN where undefined."""

    name: str
    baseline: float
    candidates: tuple[tuple[float, float], ...]

    @property
    def drops(self) -> list[float]:
        """Return what each candidate's IR loses."""
        return [self.baseline - ir for _, ir in self.candidates]

    @property
    def drop(self) -> float:
        """Return the largest of them, NaN where none is known."""
        return max((drop for drop in self.drops if not math.isnan(drop)), default=math.nan)


@dataclass(frozen=True)
class Judged:
    """A candidate with its figures and its verdict."""

    model: Candidate
    summary: Summary
    verdict: Verdict


@dataclass(frozen=True)
class ReportContent:
    """What a report shows; ``missing_samples`` are the files of pictures that could not be read.

    ``logs`` are the training logs by name of the model, the baseline's first and those of candidates that failed last;
    ``decisions`` say of candidates what was decided of their training and of their layers.
    """

    run: Run
    summary: Summary
    candidates: tuple[Judged, ...]
    logs: dict[str, TrainingLog]
    classes: tuple[ClassAp, ...]
    samples: tuple[Image, ...]
    worst: tuple[Image, ...]
    missing_samples: tuple[str, ...]
    created: str
    decisions: dict[str, str] = field(default_factory=dict)

    @property
    def chosen(self) -> Judged:
        """Return the candidate that is judged and published."""
        return next(one for one in self.candidates if one.model.name == self.summary.provenance.models.candidate)


def class_aps(run: Run) -> tuple[ClassAp, ...]:
    """Return every class's AP in the data set's order; a class that a measurement lacks is NaN."""
    pytorch = {name: found.metrics.per_class_ap for name, found in run.evaluations.items()}
    return tuple(ClassAp(name, pytorch[run.baseline.name].get(name, math.nan), tuple(
        (pytorch[candidate.name].get(name, math.nan), candidate.ir.metrics.per_class_ap.get(name, math.nan))
        for candidate in run.validation.candidates)) for name in run.data.classes)


def worst_first(classes: Sequence[ClassAp], limit: int) -> list[ClassAp]:
    """Return the classes as they are or, of more than ``limit``, those with the largest drop."""
    if len(classes) <= limit:
        return list(classes)
    return sorted(classes, key=lambda item: math.inf if math.isnan(item.drop) else -item.drop)[:limit]


def remarks(content: ReportContent) -> list[str]:
    """Return what a reader must know beside the figures: images left out, oddities, what was not done."""
    found, run = [], content.run
    sources = {**{f"{name} evaluation": source for name, source in run.evaluations.items()},
               "validation": run.validation}
    for name, source in sources.items():
        if source.corrupt_images:
            images = listed(f"{image.image}: {image.reason}" for image in source.corrupt_images)
            found.append(f"{counted(len(source.corrupt_images), 'corrupt image')} left out of the {name}: {images}.")
    warnings = list(dict.fromkeys(warning for source in sources.values() for warning in source.warnings))
    found += [displayable(warning, 400) for warning in warnings[:20]]
    if len(warnings) > 20:
        found.append(f"{len(warnings) - 20:,} more warnings are in the logs of evaluate and validate.")
    if content.missing_samples:
        found.append(f"{counted(len(content.missing_samples), 'sample picture')} could not be read: "
                     f"{listed(content.missing_samples)}.")
    found += _doubts(content)
    for name, log in content.logs.items():
        if log.truncated:
            found.append(f"The last line of the training log of {name} is cut off and was passed over.")
        if not log.passed_through and not log.val:
            found.append(f"The training log of {name} has no validation results, so there is no curve of mAP over its "
                         "epochs.")
    return found


def _doubts(content: ReportContent) -> list[str]:
    found, summary, run = [], content.summary, content.run
    baseline = run.baseline.name
    measured = {**{f"{name} PyTorch": source.metrics.images for name, source in run.evaluations.items()},
                **{f"{model.name} IR": model.ir.metrics.images for model in run.validation.models}}
    if len(set(measured.values())) > 1:
        found.append("The models were not measured on the same images: "
                     + ", ".join(f"{name} on {images:,}" for name, images in measured.items()) + ".")
    if abs(summary.baseline_map - summary.baseline_map_ir) > EXPORT_TOLERANCE:
        found.append(f"The export alone changes the mAP of {baseline}: {summary.baseline_map:.4f} in PyTorch, "
                     f"{summary.baseline_map_ir:.4f} in OpenVINO.")
    if summary.baseline_map < LOW_MAP:
        found.append(f"The mAP of {baseline} itself is only {summary.baseline_map:.4f}: a small drop from there says "
                     "little.")
    for candidate in run.validation.candidates:
        if not run.evaluations[candidate.name].model.algorithms:
            found.append(f"No compression algorithm was configured: {candidate.name} is fine-tuned, not compressed.")
    undefined = [item.name for item in content.classes if math.isnan(item.drop)]
    if undefined:
        found.append(f"{counted(len(undefined), 'class', 'classes')} without a defined AP, as where the test split "
                     f"holds no box of it: {listed(undefined)}.")
    return found
