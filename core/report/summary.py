"""Puts the measurements of a run together and judges its candidates."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.base.errors import UserError
from core.report.choice import choose, explain
from core.report.gate import judge
from core.results import summary as records
from core.results.evaluation import Evaluation
from core.results.outcome import Making
from core.results.speed import Ratio
from core.results.summary import Objective, Summary, Thresholds
from core.results.validation import Candidate, Model, Validation

if TYPE_CHECKING:
    from core.config.reference import ConfigRef
    from core.data.reference import DataRef


@dataclass(frozen=True)
class Run:
    """A run's measurements and what they are of.

    Args:
        evaluations: Model's name to its measurement in PyTorch.
        validation: The measurements in OpenVINO.
        configs: Model's name to its config.
        parent: ``uri`` and ``digest`` of the checkpoint the run was given, both empty where it trained one.

    Raises:
        UserError: The measurements are not of the same data.
    """

    evaluations: Mapping[str, Evaluation]
    validation: Validation
    data: "DataRef"
    configs: Mapping[str, "ConfigRef"]
    parent: Mapping[str, str]

    def __post_init__(self) -> None:
        digests = {"the data parameter": self.data.digest, "validation": self.validation.data_digest,
                   **{f"evaluation of {name}": found.data_digest for name, found in self.evaluations.items()}}
        if len(set(digests.values())) > 1:
            found = ", ".join(f"{name} {digest[:12] or 'none'}" for name, digest in digests.items())
            raise UserError("data digest", found, "All measurements of a report must be of the same data.",
                            "Run evaluate and validate again on one data set.")
        metrics = {f"evaluation of {name}": found.metrics for name, found in self.evaluations.items()}
        metrics.update({f"validation, {step}": measurement.metrics for step, measurement in self.validation.steps()})
        for name, measured in metrics.items():
            unknown = sorted(set(measured.per_class_ap) - set(self.data.classes))
            if unknown:
                raise UserError(name, f"has classes {', '.join(unknown[:5])}",
                                f"The data set's classes are {', '.join(self.data.classes[:10])}.",
                                "Run the stage again with the classes of this data set.")

    @property
    def baseline(self) -> Model:
        return self.validation.baseline


def summarize(run: Run, thresholds: Thresholds, objective: Objective = Objective.THROUGHPUT,
              makings: Mapping[str, Making] | None = None, price_per_hour: float = 0.0) -> Summary:
    """Return the summary of the best of a run's candidates, with those of the others and why it is the best.

    Of one candidate there is no choice to explain, but what it cost where there is a price.

    Args:
        thresholds: The limits that each is judged by.
        objective: What the best one is the best in.
        makings: How candidates were made, by name.
        price_per_hour: Of a GPU, or of the CPU without one; 0 where it is not known.
    """
    found = [_summary(run, candidate, thresholds) for candidate in run.validation.candidates]
    failed = run.validation.failed
    if len(found) + len(failed) == 1 and not price_per_hour:
        return found[0]
    chosen = choose(found, thresholds, objective)
    choice = explain(found, chosen, thresholds, objective, makings or {}, failed,
                     decisions(run.validation, makings or {}))
    return chosen.model_copy(update={
        "further": tuple(one for one in found if one is not chosen),
        "choice": choice.model_copy(update={"price_per_hour": price_per_hour})})


def decisions(validation: Validation, makings: Mapping[str, Making]) -> dict[str, str]:
    """Return what was decided of each candidate, by name: of its training first, then of its layers."""
    of_layers = {candidate.name: candidate.decision for candidate in validation.candidates}
    of_training = {name: made.decision for name, made in makings.items()}
    return {name: " ".join(filter(None, (of_training.get(name), of_layers.get(name))))
            for name in {**of_training, **of_layers}}


def _summary(run: Run, candidate: Candidate, thresholds: Thresholds) -> Summary:
    baseline, validation = run.baseline, run.validation
    before, after = run.evaluations[baseline.name].metrics, run.evaluations[candidate.name].metrics
    irs, bound = (baseline.ir.metrics, candidate.ir.metrics), candidate.bound
    drops = {name: ap - irs[1].per_class_ap.get(name, math.nan) for name, ap in before.per_class_ap.items()}
    known = [(name, drop) for name, drop in drops.items() if math.isfinite(drop)]
    worst_class, worst_drop = max(known, key=lambda item: item[1], default=("", math.nan))
    limits = (bound.speedup.median, bound.share, bound.int8.median) if bound else (math.nan,) * 3
    source = candidate.speedups.source
    latency = candidate.latency_ratio if source == "wall" else Ratio.of(baseline.ir.latency.cpu_ms_repeats,
                                                                        candidate.ir.latency.cpu_ms_repeats)
    summary = Summary(
        version=3, verdict="fail", baseline_map=before.map, map_pytorch=after.map, baseline_map_ir=irs[0].map,
        map_ir=irs[1].map, baseline_map50=before.map50, map50_pytorch=after.map50, baseline_map50_ir=irs[0].map50,
        map50_ir=irs[1].map50, map_drop=before.map - irs[1].map, map_drop_low=candidate.map_drop.low,
        map_drop_high=candidate.map_drop.high, worst_class=worst_class, worst_class_drop=worst_drop,
        corrupt_images=float(len(validation.corrupt_images)), baseline_fps=baseline.ir.throughput.fps,
        fps=candidate.ir.throughput.fps, speedup=candidate.speedup.median, speedup_low=candidate.speedup.low,
        speedup_high=candidate.speedup.high, int8_share=candidate.ir.execution.int8_share,
        baseline_latency_ms_p50=baseline.ir.latency.latency_ms.median,
        latency_ms_p50=candidate.ir.latency.latency_ms.median, baseline_size_mb=baseline.ir.size_mb,
        size_mb=candidate.ir.size_mb, provenance=_provenance(run, candidate, thresholds), speed=records.SpeedFacts(
            source=source, bound=limits[0], share=limits[1], int8_gain=limits[2], latency_gain=latency.median))
    return summary.judged(judge(summary, thresholds).passed)


def _provenance(run: Run, candidate: Candidate, thresholds: Thresholds) -> records.Provenance:
    baseline, validation, data = run.baseline, run.validation, run.data
    first, second = (run.evaluations[model.name] for model in (baseline, candidate))
    configs = [run.configs[model.name] for model in (baseline, candidate)]
    return records.Provenance(
        models=records.ModelNames(baseline=baseline.name, candidate=candidate.name),
        sha256=records.Digests(
            data=data.digest, parent_checkpoint=first.model.checkpoint_sha256,
            candidate_checkpoint=second.model.checkpoint_sha256, baseline_ir_xml=baseline.ir.files["model.xml"],
            baseline_ir_bin=baseline.ir.files["model.bin"], ir_xml=candidate.ir.files["model.xml"],
            ir_bin=candidate.ir.files["model.bin"], nncf_config=second.model.nncf_config_sha256),
        versions={"nncf": "", **first.versions, **second.versions, **validation.versions},
        cpu=records.CpuFacts(name=validation.cpu.name, instruction_set=validation.cpu.instruction_set,
                             cores=validation.cpu.cores),
        data=records.DataFacts(uri=data.uri, format=data.format, classes=len(data.classes),
                               test_split=data.test_split, test_images=candidate.ir.metrics.images),
        parent=records.ParentFacts(uri=run.parent.get("uri", ""), digest=run.parent.get("digest", "")),
        configs=records.ConfigFacts(model=configs[0].path, model_digest=configs[0].digest,
                                    compression=configs[1].path, compression_digest=configs[1].digest),
        compression=records.CompressionFacts(algorithms=second.model.algorithms,
                                             fake_quantize_nodes=candidate.ir.fake_quantize_nodes),
        thresholds=thresholds)
