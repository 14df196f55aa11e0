"""Hooks of the training loop that plain and compressed models share."""

import hashlib
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from mmcv.runner import Hook

from core.base.errors import UserError
from core.checkpoint.checkpoint import Checkpoint, checkpoint_bytes, write_checkpoint
from core.training.distributed import average_statistics, first_rank
from core.training.progress import Position, after_epoch, after_iteration, restore_moment
from core.training.signals import Interruptions

if TYPE_CHECKING:
    from core.data.dataset import Split
    from core.training.states import TrainingStates


class CheckLossHook(Hook):
    """Stops training at the first loss that is not a number."""

    def after_train_iter(self, runner: Any) -> None:
        loss = float(runner.outputs["loss"])
        if not math.isfinite(loss):
            raise UserError("loss", f"{loss} in epoch {runner.epoch + 1}, iteration {runner.inner_iter + 1}",
                            "Training must keep it finite.",
                            "Lower optimizer.lr or set optimizer_config.grad_clip, then start again.")
        runner.last_metrics["loss"] = loss


class AverageStatisticsHook(Hook):
    """Lets the ranks end an epoch with one network: batch norm's statistics are averaged before it is scored."""

    def __init__(self, network: Any) -> None:
        self._network = network

    def after_train_epoch(self, runner: Any) -> None:
        average_statistics(self._network)


class EvaluationHook(Hook):
    """Scores the model on the validation split after every ``interval`` epochs and logs mAP."""

    def __init__(self, network: Any, config: Any, split: "Split", classes: tuple[str, ...], interval: int,
                 interruptions: Interruptions) -> None:
        self._network, self._config, self._split, self._classes = network, config, split, classes
        self._interval, self._interruptions = interval, interruptions

    def after_train_epoch(self, runner: Any) -> None:
        if not self.every_n_epochs(runner, self._interval) and not self.is_last_epoch(runner):
            return
        from core.evaluation.pytorch import evaluate_network

        # Minutes can pass here, and nothing is lost: the state after the last iteration is as good as that before it.
        with self._interruptions.welcome():
            scored = evaluate_network(self._network, self._config, self._split, self._classes)
        self._network.train()
        runner.last_metrics.update(map=scored.metrics.map, map50=scored.metrics.map50)
        if not runner.best.get("map", -math.inf) >= scored.metrics.map:
            runner.best = {"map": float(scored.metrics.map), "epoch": runner.epoch + 1}
        runner.log_buffer.clear_output()
        runner.log_buffer.output.update(eval_iter_num=self._split.images, map=scored.metrics.map,
                                        map50=scored.metrics.map50)
        runner.log_buffer.ready = True


class StateHook(Hook):
    """Saves the training state: beside the log and to ``states`` after every epoch and every ``minutes``.

    Also where a resumed training meets its random generators again, and where SIGTERM ends training.

    Attributes:
        position: The newest moment that can be saved, None before the first iteration.
    """

    def __init__(self, take_snapshot: Callable[[Position], Checkpoint], path: Path, states: Optional["TrainingStates"],
                 interruptions: Interruptions, progress: Mapping[str, Any] | None = None) -> None:
        self._take_snapshot, self._path, self._states = take_snapshot, path, states
        self._interruptions, self._progress = interruptions, progress
        self.position: Position | None = None
        self._saved_at = time.monotonic()

    def before_run(self, runner: Any) -> None:
        if self._progress is not None:
            restore_moment(self._progress, runner)

    def before_train_epoch(self, runner: Any) -> None:
        if runner.inner_iter and self._progress is not None:
            restore_moment(self._progress, runner)
        self._progress = None

    def after_train_iter(self, runner: Any) -> None:
        self.position = after_iteration(runner)
        self._interruptions.check()
        if self._states is not None and time.monotonic() - self._saved_at >= self._states.seconds:
            self.save()

    def after_train_epoch(self, runner: Any) -> None:
        self.position = after_epoch(runner)
        self.save()
        self._interruptions.check()

    def save(self) -> None:
        """Save the present state, in the first rank; storing it goes on while training does."""
        if not first_rank():
            return
        content = checkpoint_bytes(self._take_snapshot(self.position))
        if self._states is not None:
            self._states.wait()
        write_checkpoint(content, self._path)
        if self._states is not None:
            self._states.store(self._path, self.position, hashlib.sha256(content).hexdigest())
        self._saved_at = time.monotonic()
