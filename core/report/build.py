"""Builds the report of a run from the artifacts of its stages."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from core.report.content import ReportContent, class_aps
from core.report.gate import Thresholds, judge
from core.report.html import render_html
from core.report.markdown import render_markdown
from core.report.measurements import Measurements, parse_measurements, read_json
from core.report.samples import Picture, read_samples
from core.report.summary import Summary, summarize, write_summary
from core.report.text import step_title
from core.report.training_log import read_training_log

if TYPE_CHECKING:
    from core.config.reference import ConfigRef
    from core.data.reference import DataRef


@dataclass(frozen=True)
class ReportInputs:
    """The artifacts and parameters a report is built from.

    ``validation_folder`` holds ``metrics.json`` and the pictures; ``parent`` has ``uri`` and ``digest`` of the given
    checkpoint, both empty where the run trained one.
    """

    evaluation_fp32_file: Path
    evaluation_compressed_file: Path
    validation_folder: Path
    training_log_file: Path
    compression_log_file: Path
    data: "DataRef"
    model: "ConfigRef"
    compression: "ConfigRef"
    parent: Mapping[str, str]
    thresholds: Thresholds


def build_report(inputs: ReportInputs, summary_file: Path, html_file: Path, markdown_file: Path) -> ReportContent:
    """Write summary, page and Markdown, whether the verdict is pass or fail, and return what they show.

    Raises:
        UserError: An input is missing, is of another kind or version, or the inputs are not of the same data.
    """
    measured = parse_measurements(read_json(inputs.evaluation_fp32_file), read_json(inputs.evaluation_compressed_file),
                                  read_json(inputs.validation_folder / "metrics.json"))
    summary = summarize(measured, inputs.data, inputs.model, inputs.compression, inputs.parent, inputs.thresholds)
    content = _content(inputs, measured, summary)
    write_summary(summary, summary_file)
    for file, text in ((html_file, render_html(content)), (markdown_file, render_markdown(content))):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return content


def _content(inputs: ReportInputs, measured: Measurements, summary: Summary) -> ReportContent:
    pictures, missing = read_samples(inputs.validation_folder, measured.irs.samples)
    worst: tuple[Picture, ...] = ()
    # The pair that is shipped comes last and is shown first.
    for pair in reversed(measured.irs.waterfall.neighbours):
        what = f"{step_title(pair.first)} beside {step_title(pair.second)}: "
        found, absent = read_samples(inputs.validation_folder, pair.worst, what)
        worst, missing = (*worst, *found), (*missing, *absent)
    return ReportContent(summary=summary, verdict=judge(summary.figures(), inputs.thresholds, summary.worst_class),
                         measured=measured, training_log=read_training_log(inputs.training_log_file),
                         compression_log=read_training_log(inputs.compression_log_file),
                         classes=class_aps(inputs.data.classes, measured), samples=pictures, worst=worst,
                         missing_samples=missing, created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"))
