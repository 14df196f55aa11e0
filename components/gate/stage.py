"""The gate stage."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from components.stage import Stage, input_artifact, parameter
from core.base.executor_output import ExecutorOutput

if TYPE_CHECKING:
    from core.report.gate import Thresholds

EXIT_NOT_GOOD_ENOUGH = 1


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a compressed model must keep."""

    max_map_drop: float = parameter("Largest accepted loss of mAP, FP32 PyTorch to compressed IR, absolute.", 0.01)
    max_class_drop: float = parameter("Largest accepted loss of AP of any one class, likewise; 1 asks nothing.", 0.05)
    min_speedup: float = parameter(
        "Smallest accepted ratio of frames per second, compressed IR to FP32 IR; 0 asks nothing.", 1.0)
    min_map: float = parameter("Smallest accepted mAP of FP32 PyTorch and of the compressed IR; 0 asks nothing.", 0.05)

    def thresholds(self) -> "Thresholds":
        """Return the limits as the gate's judgement takes them; raise UserError where one cannot be a limit."""
        from core.report.gate import Thresholds

        return Thresholds(max_map_drop=self.max_map_drop, max_class_drop=self.max_class_drop,
                          min_speedup=self.min_speedup, min_map=self.min_map)

    def check(self) -> None:
        """Raise UserError where one cannot be a limit."""
        self.thresholds()


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Fails the run where the compressed model, the chosen one of several, lost too much or gained too little."""

    summary: Path = input_artifact("Artifact", "The summary that report wrote.")
    limits: Limits


def gate(stage: Gate, output: ExecutorOutput) -> int:
    """Judge the summary, of several candidates the chosen one; name every number and limit; return the exit code."""
    from core.report.gate import judge
    from core.results.summary import Summary

    thresholds = stage.limits.thresholds()
    summary = Summary.read(stage.summary)
    for one in summary.choice.candidates if summary.choice else ():
        print(f"{'chosen' if one.chosen else 'not chosen'}: {one.name}. {one.why}", flush=True)
    verdict = judge(summary, thresholds)
    for check in verdict.checks:
        print(f"{'pass' if check.passed else 'FAIL'}: {check.sentence}", flush=True)
    return 0 if verdict.passed else EXIT_NOT_GOOD_ENOUGH


STAGE = Stage("gate", "openvino", Gate, gate)
