"""The compress stage."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.candidates import OfCandidate
from components.stage import Stage, input_artifact, output_artifact, parameter, result
from components.training import Training
from core.base.errors import CandidateFailed
from core.base.executor_output import ExecutorOutput


@dataclass(frozen=True, kw_only=True)
class CompressionLimits:
    """What stops a compression early."""

    min_initial_map_ratio: float = parameter(
        "Share of the FP32 model's mAP that must be left before the first training step; 0 leaves it to the config.",
        0.0)
    strict: bool = parameter("Whether to stop where nncf_compress_postprocessing=True would fall back to False.", False)

    def check(self) -> None:
        """Raise UserError where the share is none."""
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
        "The resolved candidate: its config with nncf_config, and in a pipeline its name and when it is trained; "
        "without nncf_config this is plain fine-tuning.")
    fp32_checkpoint: Path = input_artifact("Model", "The FP32 checkpoint to start from.")
    seed: int = parameter("Seed of shuffling and augmentation.", 0)
    limits: CompressionLimits
    training: Training
    checkpoint: Path = output_artifact(
        "Model", "The compressed checkpoint, of the epoch with the best mAP on val; algorithms, epochs, seconds and "
        "its validation in its metadata.")
    log: Path = output_artifact("Artifact", "Training log in JSON lines, also of a training that failed.")
    making: Path | None = output_artifact("Artifact", "What was decided of the training and what it took, in JSON.",
                                          optional=True)
    digest: Path | None = result(str, "SHA-256 of the checkpoint: KFP's cache looks at the first of a list of "
                                 "artifacts alone, so later stages take those of all as a parameter.", optional=True)


def compress(stage: Compress, output: ExecutorOutput) -> None:
    """Fine-tune with compression; write checkpoint, log and what it took."""
    from core.base.digest import sha256_file
    from core.base.outputs import write_text
    from core.results.outcome import Outcome
    from core.training.distributed import first_rank

    stage.limits.check()
    candidate = OfCandidate(candidate=stage.compression if "name" in stage.compression else {})
    candidate.work(stage, output, lambda: _train(stage, candidate.name, output), fails_of=CandidateFailed,
                   keeps=["log"], gpus=stage.training.ranks.gpus)
    if stage.digest is not None and first_rank():
        failed = Outcome.at(stage.checkpoint)
        # How long it took to fail is no reason to do the stages behind it again.
        write_text(stage.digest, failed.digest if failed else sha256_file(stage.checkpoint))


def _train(stage: Compress, name: str, output: ExecutorOutput) -> None:
    from core.config.adapt import fit_to_data
    from core.results.outcome import Making
    from core.training.distributed import first_rank
    from core.training.fit import fit, start_of
    from core.training.settings import training_length

    asked = stage.compression
    if asked.get("refused"):
        raise CandidateFailed("candidate", name, str(asked["refused"]), "Name other candidates.")
    state = stage.training.state.settings()
    config, dataset = stage.training.open(asked, stage.data)
    stage.limits.put_into(config)
    if asked.get("fine_tune", "always") != "always":
        config.fine_tuning = {"when": asked["fine_tune"], "max_map_drop": float(asked.get("max_map_drop", 0))}
    fit_to_data(config, dataset)
    stage.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".compress-", dir=str(stage.checkpoint.parent)) as work_dir:
        result = fit(config, dataset, stage.checkpoint, stage.log, Path(work_dir),
                     start_of(config, stage.fp32_checkpoint), seed=stage.seed, state=state)
    output.artifact("checkpoint", {"algorithms": list(result.algorithms), **result.reported()})
    if stage.making is not None and first_rank():
        length = training_length(config)
        Making(version=1, candidate=name, fine_tune=asked.get("fine_tune", "always"), decision=result.decision,
               map_before_compression=result.map_parent, map_before_training=result.map_initial, epochs=result.epochs,
               planned_epochs=length.number if length.by_epoch else 0, result_epoch=result.epoch,
               seconds=result.seconds,
               gpus=stage.training.ranks.gpus, config={key: str(value) for key, value in asked.items()}
               ).write(stage.making)


STAGE = Stage("compress", "train", Compress, compress, on_ranks=True)
