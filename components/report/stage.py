"""The report stage."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.gate.stage import Limits
from components.stage import Presence, Stage, collected_artifact, input_artifact, output_artifact, parameter
from core.base.errors import UserError
from core.base.executor_output import ExecutorOutput

if TYPE_CHECKING:
    from core.results.summary import Objective

BASELINE = "FP32"


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What the candidate that is chosen is the best in, of those within the limits, and what candidates cost."""

    objective: str = parameter("throughput, latency or size.", "throughput", metavar="WHAT")
    price_per_hour: float = parameter(
        "Price of an hour of a GPU, or of the CPU without one, to show what each candidate cost beside its hours; 0 "
        "shows hours alone.", 0.0)

    def value(self) -> "Objective":
        """Return the objective; raise UserError where there is none of that name."""
        from core.results.summary import Objective

        try:
            return Objective(self.objective)
        except ValueError as error:
            raise UserError("parameter objective", self.objective, f"It is one of {', '.join(Objective)}.",
                            "Use throughput for batches of work, latency where one image is waited for.") from error

    def check(self) -> None:
        """Raise UserError where there is no such objective, or the price is no number of at least 0."""
        self.value()
        if not 0 <= self.price_per_hour < math.inf:
            raise UserError("parameter price_per_hour", self.price_per_hour, "It is a number of at least 0.",
                            "Give the price in any currency, or 0 for none.")


@dataclass(frozen=True, kw_only=True)
class Report:
    """Puts all measurements together into a summary and two reports."""

    data: dict[str, Any] = parameter("The resolved data set.")
    model: dict[str, Any] = parameter("The resolved model config.")
    parent: dict[str, Any] = parameter("The resolved checkpoint that was given, if any.")
    log_fp32: Path = input_artifact("Artifact", "Training log of train.")
    log_candidates: dict[str, Path] = collected_artifact("Artifact", "Training logs of compress.")
    making_candidates: dict[str, Path] = collected_artifact("Artifact", "How compress made each candidate.")
    evaluation_fp32: Path = input_artifact("Artifact", "PyTorch evaluation of the FP32 checkpoint.")
    evaluation_candidates: dict[str, Path] = collected_artifact(
        "Artifact", "PyTorch evaluations of the candidates' checkpoints.")
    validation: Path = input_artifact("Artifact", "OpenVINO validation of all IRs.", folder=True)
    digests: list[str] = parameter("SHA-256 of the candidates' checkpoints, for KFP's cache.", [],
                                   presence=Presence.OPTIONAL)
    goal: Goal
    limits: Limits
    summary: Path = output_artifact("Artifact", "Stable keys and provenance in JSON.")
    html: Path = output_artifact("HTML", "Self-contained report.")
    markdown: Path = output_artifact("Markdown", "The verdict on one page.")
    metrics: Path = output_artifact("Metrics", "The summary's numbers.")
    confusion: Path = output_artifact("ClassificationMetrics", "Confusion matrix of the chosen IR at IoU 0.5.")


def report(stage: Report, output: ExecutorOutput) -> None:
    """Build summary and reports; write them, the summary's numbers and the chosen IR's confusion matrix."""
    from core.base.outputs import write_confusion_matrix, write_metrics
    from core.config.reference import ConfigRef
    from core.data.reference import DataRef
    from core.report.build import ModelArtifacts, ReportInputs, build_report
    from core.results.outcome import Making, Outcome
    from core.storage.parent import ParentRef

    stage.goal.check()
    given = [stage.evaluation_candidates, stage.log_candidates, stage.making_candidates]
    if any(one.keys() != given[0].keys() for one in given):
        raise UserError("candidates", "; ".join(", ".join(one) or "none" for one in given), "Evaluations, logs and "
                        "makings must be of the same candidates.", "Give each of every candidate, as NAME=FILE.")
    failed_logs: dict[str, Path] = {}
    models = {BASELINE: ModelArtifacts(stage.evaluation_fp32, stage.log_fp32, ConfigRef.from_json(stage.model))}
    for name, evaluation in stage.evaluation_candidates.items():
        if Outcome.at(stage.making_candidates[name]) is None:
            making = Making.read(stage.making_candidates[name])
            models[name] = ModelArtifacts(evaluation, stage.log_candidates[name],
                                          ConfigRef.from_json(making.config), making)
        elif Outcome.at(stage.log_candidates[name]) is None:
            failed_logs[name] = stage.log_candidates[name]
    inputs = ReportInputs(
        models=models, validation_folder=stage.validation, data=DataRef.from_json(stage.data),
        parent=ParentRef.from_json(stage.parent).to_json(), thresholds=stage.limits.thresholds(),
        objective=stage.goal.value(), failed_logs=failed_logs, price_per_hour=stage.goal.price_per_hour)
    built = build_report(inputs, stage.summary, stage.html, stage.markdown)
    write_metrics(output, "metrics", stage.metrics, built.summary.metrics())
    write_confusion_matrix(output, "confusion", stage.confusion, [*built.run.validation.classes, "background"],
                           built.chosen.model.ir.confusion.counts)


STAGE = Stage("report", "openvino", Report, report)
