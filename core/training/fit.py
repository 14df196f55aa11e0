"""Train a detector, or adopt one that is given, and leave a checkpoint and a log."""

import logging
import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.base.errors import CandidateFailed, UserError
from core.base.files import new_file
from core.checkpoint.checkpoint import load_checkpoint, save_checkpoint
from core.config.adapt import algorithms_of
from core.detectors.building import build_detector
from core.training.distributed import first_rank
from core.training.log import write_head
from core.training.model import load_plain_weights
from core.training.snapshot import snapshot
from core.training.trainer import Output, Trainer
from core.training.tuning import DECIDED

if TYPE_CHECKING:
    from core.data.dataset import Dataset
    from core.training.states import StateSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FitResult:
    """What a training run did.

    Attributes:
        epochs: Epochs the checkpoint was trained, earlier runs of a resumed training included; 0 for an adopted one.
        seconds: Wall-clock time; of a resumed training that of the earlier processes, too.
        metrics: ``map`` and ``map50`` of the checkpoint on the validation split, and the last ``loss`` before it.
        best: ``map`` and ``epoch`` (as below) of the best validation of the whole compression, empty where there was
            none.
        epoch: Epoch whose weights the checkpoint has, or iteration where those are counted; 0 for an adopted one.
        algorithms: NNCF's algorithms in the resulting checkpoint, empty for a plain one.
        decision: What was decided of a compressed model's training and why, a sentence.
        map_parent: mAP before compression on the validation split; NaN where it was not asked for.
        map_initial: mAP of the initialised compression, likewise.
    """

    epochs: int
    seconds: float
    metrics: dict[str, float] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)
    epoch: int = 0
    algorithms: tuple[str, ...] = ()
    decision: str = ""
    map_parent: float = math.nan
    map_initial: float = math.nan

    def reported(self) -> dict[str, float]:
        """Return what a checkpoint's metadata tell; the best validation's as ``best_map`` and ``best_epoch``."""
        return {"epochs": self.epochs, "result_epoch": self.epoch, "seconds": self.seconds, **self.metrics,
                **{f"best_{name}": value for name, value in self.best.items()}}


def fit(config: Any, dataset: "Dataset", output_checkpoint: Path, log_file: Path, work_dir: Path,
        parent: Path | None = None, seed: int = 0, state: "StateSettings | None" = None) -> FitResult:
    """Train the config's detector, with compression where the config has an ``nncf_config``.

    Plain training initialises all weights and loads what fits of ``parent`` or ``load_from``. A plain checkpoint to
    be compressed must fit whole; it is loaded before NNCF wraps the model, and compression is initialised from the
    training data. From a compressed one compression is restored. ``resume_from`` also restores the optimizer and the
    epoch. A compressed model is saved (``before_training.pth``) and scored before its first step; with
    ``min_initial_map_ratio`` it must have kept that share of the plain model's mAP.

    Args:
        config: A resolved mmcv Config whose ``data`` points at ``dataset``.
        output_checkpoint: Where the result goes: of compression the epoch with the best mAP on the validation split,
            of plain training the last; ``evaluation.save_best`` in the config decides otherwise.
        log_file: Where the training log (JSON lines) goes, also when training fails.
        work_dir: Scratch space for mmcv; ``before_training.pth`` and, after every epoch, ``latest.pth`` are written
            there.
        parent: Checkpoint to start from; overrides ``load_from`` and ``resume_from``.
        seed: Seed of all random generators and of the data loader.
        state: Where the training state is stored; a state of the same training that is found there is resumed, to the
            same bits as without the interruption.

    Raises:
        UserError: Whatever a user can correct.
        StateSaved: SIGTERM arrived, and the state is stored.
    """
    output = Output(Path(work_dir))
    trainer = Trainer(config, dataset, output, parent, seed, state)
    runner = trainer.runner
    try:
        trainer.run()
        if first_rank():
            best = trainer.best_checkpoint()
            if best is None:
                require_finite(trainer.network)
            save_checkpoint(best or trainer.snapshot(), output_checkpoint)
    except CandidateFailed as error:
        error.seconds = trainer.seconds
        raise
    finally:
        if first_rank():
            with new_file(log_file) as partial:
                shutil.copyfile(output.json_log, partial)
    metrics = trainer.best["metrics"] if trainer.best else runner.last_metrics
    decided = runner.messages.get(DECIDED, {})
    return FitResult(epochs=runner.epoch, seconds=trainer.seconds, metrics=dict(metrics), epoch=trainer.place,
                     best=dict(runner.best), algorithms=algorithms_of(config) if trainer.compression else (),
                     decision=trainer.decision, map_parent=decided.get("map_parent", math.nan),
                     map_initial=decided.get("map_initial", math.nan))


def require_finite(network: Any) -> None:
    """Raise CandidateFailed where a weight is not finite: the last step can do that after the last loss."""
    import torch

    broken = [name for name, value in network.named_parameters() if not torch.isfinite(value.detach()).all()]
    if broken:
        raise CandidateFailed("weights", f"{len(broken)} not finite after training, such as {broken[0]}",
                              "Training must keep them finite.",
                              "Lower optimizer.lr or set optimizer_config.grad_clip, then start again.")


def start_of(config: Any, fp32: Path) -> Path | None:
    """Return the checkpoint that compression starts from: ``fp32``, or None where the config names another."""
    own = config.get("resume_from") or config.get("load_from")
    if own:
        logger.info("compression starts from the config's own %s, not from the FP32 model of this run", own)
    return None if own else fp32


def adopt(parent: Path, config: Any, dataset: "Dataset", output_checkpoint: Path, log_file: Path) -> FitResult:
    """Take a given FP32 checkpoint in place of training: check that it fits and store it with our metadata.

    Raises:
        UserError: The checkpoint is compressed, or does not fit the config or the classes.
    """
    started = time.time()
    detector = fitting_detector(parent, config, dataset.classes)
    if first_rank():
        save_checkpoint(snapshot(config, dataset, detector, None, None), output_checkpoint)
        write_head(log_file, None)
    return FitResult(epochs=0, seconds=time.time() - started)


def fitting_detector(parent: Path, config: Any, classes: Sequence[str]) -> Any:
    """Return the detector of ``config`` with the weights of a given FP32 checkpoint.

    Raises:
        UserError: The checkpoint is compressed, or does not fit the config or the classes.
    """
    given = load_checkpoint(parent)
    if given.compression is not None:
        raise UserError("checkpoint", parent, "It holds a compressed model, but the FP32 parent is asked for here.",
                        "Give the uncompressed checkpoint; to compress further, name this one as the compression "
                        "config's load_from.")
    if given.classes and tuple(given.classes) != tuple(classes):
        raise UserError("checkpoint classes", ", ".join(given.classes),
                        f"The data set has {', '.join(classes)}, and both must be equal in names and order.",
                        "Name the classes in the checkpoint's order (parameter classes); to fine-tune from it, name it "
                        "as the model config's load_from.")
    detector = build_detector(config)
    load_plain_weights(detector, given, parent)
    return detector
