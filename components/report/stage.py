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
    from core.report.build import ReportInputs, build_report
    from core.storage.parent import ParentRef

    inputs = ReportInputs(
        evaluation_fp32_file=stage.evaluation_fp32, evaluation_compressed_file=stage.evaluation_compressed,
        validation_folder=stage.validation, training_log_file=stage.log_fp32,
        compression_log_file=stage.log_compressed, data=DataRef.from_json(stage.data),
        model=ConfigRef.from_json(stage.model), compression=ConfigRef.from_json(stage.compression),
        parent=ParentRef.from_json(stage.parent).to_json(), thresholds=stage.limits.thresholds())
    built = build_report(inputs, stage.summary, stage.html, stage.markdown)
    write_metrics(output, "metrics", stage.metrics, built.summary.metrics())
    confusion = built.measured.irs.confusion
    write_confusion_matrix(output, "confusion", stage.confusion, confusion.classes, confusion.compressed)


STAGE = Stage("report", "openvino", Report, report)
