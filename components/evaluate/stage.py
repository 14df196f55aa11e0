"""The evaluate stage."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.candidates import OfCandidate
from components.stage import Stage, input_artifact, output_artifact, parameter
from components.training import Ranks
from core.base.errors import CandidateFailed, NotRestored
from core.base.executor_output import ExecutorOutput


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Scores a checkpoint with PyTorch on the test split."""

    data: dict[str, Any] = parameter("The resolved data set.")
    checkpoint: Path = input_artifact("Model", "Plain or compressed checkpoint.")
    of: OfCandidate
    ranks: Ranks
    evaluation: Path = output_artifact("Artifact", "Metrics, corrupt images and what was measured, in JSON.")
    detections: Path = output_artifact("Artifact", "What was found in each image, for validate to compare with.")


def evaluate(stage: Evaluate, output: ExecutorOutput) -> None:
    """Score the checkpoint; write evaluation and detections."""
    from core.data.dataset import open_dataset
    from core.data.reference import DataRef
    from core.training.distributed import first_rank_first
    from core.training.evaluate import evaluate_checkpoint

    def score() -> None:
        with first_rank_first():
            dataset = open_dataset(DataRef.from_json(stage.data))
        metrics = evaluate_checkpoint(stage.checkpoint, dataset, stage.evaluation, stage.detections)
        print(f"mAP {metrics.map:.4f}, mAP50 {metrics.map50:.4f} on {metrics.images} images", flush=True)

    # Not of any UserError: data that cannot be reached and a file that is cut off are no fault of the candidate.
    stage.of.work(stage, output, score, stage.checkpoint, fails_of=(CandidateFailed, NotRestored))


STAGE = Stage("evaluate", "train", Evaluate, evaluate, on_ranks=True)
