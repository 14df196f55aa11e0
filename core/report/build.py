"""Builds the report of a run from the artifacts of its stages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from core.base.errors import UserError
from core.base.outputs import write_text
from core.report.choice import name_of
from core.report.content import Judged, ReportContent, class_aps
from core.report.gate import judge
from core.report.pages import render_html, render_markdown
from core.report.samples import Image, read_samples
from core.report.summary import Run, decisions, summarize
from core.report.training_log import read_training_log
from core.results.evaluation import Evaluation
from core.results.outcome import Making
from core.results.summary import Objective, Thresholds
from core.results.validation import METRICS_FILE, Validation

if TYPE_CHECKING:
    from core.config.reference import ConfigRef
    from core.data.reference import DataRef


@dataclass(frozen=True)
class ModelArtifacts:
    """What the stages before validate left of a model: its evaluation, its training log and its config.

    ``making`` tells of a candidate how it was made.
    """

    evaluation: Path
    log: Path
    config: "ConfigRef"
    making: Making | None = None


@dataclass(frozen=True)
class ReportInputs:
    """The artifacts and parameters a report is built from.

    ``models`` are by name, the baseline first, among them all that were validated; ``validation_folder`` holds
    ``metrics.json`` and the pictures; ``parent`` has ``uri`` and ``digest`` of the given checkpoint, both empty where
    the run trained one; ``failed_logs`` are the training logs of candidates that failed in training,
    ``price_per_hour`` is that of a GPU, or of the CPU without one, 0 where it is not known.
    """

    models: Mapping[str, ModelArtifacts]
    validation_folder: Path
    data: "DataRef"
    parent: Mapping[str, str]
    thresholds: Thresholds
    objective: Objective = Objective.THROUGHPUT
    failed_logs: Mapping[str, Path] = field(default_factory=dict)
    price_per_hour: float = 0.0


def read_content(inputs: ReportInputs) -> ReportContent:
    """Return what a report shows.

    Raises:
        UserError: An input is missing, is of another kind or version, or the inputs are not of the same data.
    """
    folder = inputs.validation_folder
    validation = Validation.read(folder / METRICS_FILE)
    names = [model.name for model in validation.models]
    if not set(names) <= set(inputs.models):
        raise UserError("validation", f"{folder} has the models {', '.join(names)}", "It must have measured the "
                        f"models that the report is given: {', '.join(inputs.models)}.",
                        "Give the folder of this run.")
    artifacts = {name: inputs.models[name] for name in names}
    run = Run({name: Evaluation.read(one.evaluation) for name, one in artifacts.items()}, validation, inputs.data,
              {name: one.config for name, one in artifacts.items()}, inputs.parent)
    makings = {name: one.making for name, one in inputs.models.items() if one.making is not None}
    summary = summarize(run, inputs.thresholds, inputs.objective, makings, inputs.price_per_hour)
    summaries = {name_of(one): one for one in summary.all}
    candidates = tuple(Judged(model, summaries[model.name], judge(summaries[model.name], inputs.thresholds))
                       for model in run.validation.candidates)
    # Those that were measured first; how one that was not came to that is seen in its log alone.
    logs = {**{name: one.log for name, one in {**artifacts, **inputs.models}.items()}, **inputs.failed_logs}
    samples, missing = read_samples(folder, run.validation.samples)
    worst: tuple[Image, ...] = ()
    # The pair that is shipped comes last and is shown first.
    for pair in reversed([pair for model in run.validation.models for pair in model.neighbours]):
        found, absent = read_samples(folder, pair.worst, f"{pair.first} beside {pair.second}: ")
        worst, missing = (*worst, *found), (*missing, *absent)
    return ReportContent(
        run=run, summary=summary, candidates=candidates, classes=class_aps(run), samples=samples, worst=worst,
        logs={name: read_training_log(log) for name, log in logs.items()}, missing_samples=missing,
        decisions=decisions(run.validation, makings),
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"))


def build_report(inputs: ReportInputs, summary_file: Path, html_file: Path, markdown_file: Path) -> ReportContent:
    """Write summary, page and Markdown, whether the verdict is pass or fail, and return what they show.

    Raises:
        UserError: As ``read_content``.
    """
    content = read_content(inputs)
    content.summary.write(summary_file)
    write_text(html_file, render_html(content))
    write_text(markdown_file, render_markdown(content))
    return content
