"""The report stage."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.gate.stage import Limits
from components.stage import Stage, input_artifact, output_artifact, parameter
from core.base.executor_output import ExecutorOutput


@dataclass(frozen=True, kw_only=True)
class Report:
    """Puts all measurements together into a summary and two reports."""

    data: dict[str, Any] = parameter("The resolved data set.")
    model: dict[str, Any] = parameter("The resolved model config.")
    compression: dict[str, Any] = parameter("The resolved compression config.")
    parent: dict[str, Any] = parameter("The resolved checkpoint that was given, if any.")
    log_fp32: Path = input_artifact("Artifact", "Training log of train.")
    log_compressed: Path = input_artifact("Artifact", "Training log of compress.")
    evaluation_fp32: Path = input_artifact("Artifact", "PyTorch evaluation of the FP32 checkpoint.")
    evaluation_compressed: Path = input_artifact("Artifact", "PyTorch evaluation of the compressed checkpoint.")
    validation: Path = input_artifact("Artifact", "OpenVINO validation of both IRs.", folder=True)
    limits: Limits
    summary: Path = output_artifact("Artifact", "Stable keys and provenance in JSON.")
    html: Path = output_artifact("HTML", "Self-contained report.")
    markdown: Path = output_artifact("Markdown", "The verdict on one page.")
    metrics: Path = output_artifact("Metrics", "The summary's numbers.")
    confusion: Path = output_artifact("ClassificationMetrics", "Confusion matrix of the compressed IR at IoU 0.5.")


def report(stage: Report, output: ExecutorOutput) -> None:
    """Build summary and reports; write them, the summary's numbers and the compressed IR's confusion matrix."""
    from core.base.outputs import write_confusion_matrix, write_metrics
    from core.config.reference import ConfigRef
    from core.data.reference import DataRef
    from core.report.build import ModelArtifacts, ReportInputs, build_report
    from core.storage.parent import ParentRef

    inputs = ReportInputs(
        models=[ModelArtifacts(stage.evaluation_fp32, stage.log_fp32, ConfigRef.from_json(stage.model)),
                ModelArtifacts(stage.evaluation_compressed, stage.log_compressed,
                               ConfigRef.from_json(stage.compression))],
        validation_folder=stage.validation, data=DataRef.from_json(stage.data),
        parent=ParentRef.from_json(stage.parent).to_json(), thresholds=stage.limits.thresholds())
    built = build_report(inputs, stage.summary, stage.html, stage.markdown)
    write_metrics(output, "metrics", stage.metrics, built.summary.metrics())
    validation = built.run.validation
    write_confusion_matrix(output, "confusion", stage.confusion, [*validation.classes, "background"],
                           validation.candidates[0].ir.confusion.counts)


STAGE = Stage("report", "openvino", Report, report)
