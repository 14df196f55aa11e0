"""The compress stage."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.stage import Stage, input_artifact, output_artifact, parameter
from components.training import Training
from core.base.executor_output import ExecutorOutput


@dataclass(frozen=True, kw_only=True)
class CompressionLimits:
    """What stops a compression early."""

    min_initial_map_ratio: float = parameter(
        "Share of the FP32 model's mAP that must be left before the first training step; 0 leaves it to the config.",
        0.0)
    strict: bool = parameter("Whether to stop where nncf_compress_postprocessing=True would fall back to False.", False)

    def check(self) -> None:
        """Check the share.

        Raises:
            UserError: It is no share.
        """
        from core.training.initial import check_ratio

        check_ratio(self.min_initial_map_ratio, "parameter min_initial_map_ratio")

    def put_into(self, config: Any) -> None:
        """Let an mmcv Config have these limits."""
        if self.min_initial_map_ratio:
            config.min_initial_map_ratio = self.min_initial_map_ratio
        if self.strict:
            config.nncf_strict = True


@dataclass(frozen=True, kw_only=True)
class Compress:
    """Fine-tunes the detector with NNCF compression."""

    data: dict[str, Any] = parameter("The resolved data set.")
    compression: dict[str, Any] = parameter(
        "The resolved config with nncf_config; without it this is plain fine-tuning.")
    fp32_checkpoint: Path = input_artifact("Model", "The FP32 checkpoint to start from.")
    seed: int = parameter("Seed of shuffling and augmentation.", 0)
    limits: CompressionLimits
    training: Training
    checkpoint: Path = output_artifact(
        "Model", "The compressed checkpoint; algorithms, epochs, seconds and the last validation in its metadata.")
    log: Path = output_artifact("Artifact", "Training log in JSON lines.")


def compress(stage: Compress, output: ExecutorOutput) -> None:
    """Fine-tune with compression; write checkpoint and log."""
    from core.config.adapt import fit_to_data
    from core.training.fit import fit, start_of

    stage.limits.check()
    state = stage.training.state.settings()
    config, dataset = stage.training.open(stage.compression, stage.data)
    stage.limits.put_into(config)
    fit_to_data(config, dataset)
    stage.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".compress-", dir=str(stage.checkpoint.parent)) as work_dir:
        result = fit(config, dataset, stage.checkpoint, stage.log, Path(work_dir),
                     start_of(config, stage.fp32_checkpoint), seed=stage.seed, state=state)
    output.artifact("checkpoint", {"algorithms": list(result.algorithms), "epochs": result.epochs,
                                   "seconds": result.seconds, **result.reported()})


STAGE = Stage("compress", "train", Compress, compress, on_ranks=True)
