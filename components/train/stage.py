"""The train stage."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.stage import Stage, output_artifact, parameter
from components.training import Training
from core.base.executor_output import ExecutorOutput


@dataclass(frozen=True, kw_only=True)
class Train:
    """Trains the FP32 detector, or passes a given checkpoint through."""

    data: dict[str, Any] = parameter("The resolved data set.")
    model: dict[str, Any] = parameter("The resolved model config.")
    parent: dict[str, Any] = parameter("The resolved checkpoint to take instead of training; an empty uri trains.",
                                       {"uri": "", "digest": ""})
    seed: int = parameter("Seed of weights, shuffling and augmentation.", 0)
    training: Training
    checkpoint: Path = output_artifact(
        "Model", "The FP32 checkpoint; epochs, seconds and its validation in its metadata.")
    log: Path = output_artifact("Artifact", "Training log in JSON lines.")


def train(stage: Train, output: ExecutorOutput) -> None:
    """Train, or adopt the parent; write checkpoint and log."""
    from core.config.adapt import fit_to_data, nncf_config_of
    from core.storage.parent import ParentRef, open_parent
    from core.training.distributed import first_rank_first
    from core.training.fit import adopt, fit

    state = stage.training.state.settings()
    with first_rank_first():
        parent = open_parent(ParentRef.from_json(stage.parent))
    config, dataset = stage.training.open(stage.model, stage.data)
    fit_to_data(config, dataset)
    if parent is not None and nncf_config_of(config) is None:
        result = adopt(parent, config, dataset, stage.checkpoint, stage.log)
    else:
        stage.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".train-", dir=str(stage.checkpoint.parent)) as work_dir:
            result = fit(config, dataset, stage.checkpoint, stage.log, Path(work_dir), parent, seed=stage.seed,
                         state=state)
    output.artifact("checkpoint", result.reported())


STAGE = Stage("train", "train", Train, train, on_ranks=True)
