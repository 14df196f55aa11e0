"""Hooks of the training loop that plain and compressed models share."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Tuple

from mmcv.runner import Hook

from core.checkpoint.checkpoint import Checkpoint, save_checkpoint
from core.errors import UserError

if TYPE_CHECKING:
    from core.data.dataset import Split


class CheckLossHook(Hook):
    """Stops training at the first loss that is not a number."""

    def after_train_iter(self, runner: Any) -> None:
        loss = float(runner.outputs["loss"])
        if not math.isfinite(loss):
            raise UserError("loss", f"{loss} in epoch {runner.epoch + 1}, iteration {runner.inner_iter + 1}",
                            "Training must keep it finite.",
                            "Lower optimizer.lr or set optimizer_config.grad_clip, then start again.")
        runner.last_metrics["loss"] = loss


class EvaluationHook(Hook):
    """Scores the model on the validation split after every ``interval`` epochs and logs mAP."""

    def __init__(self, network: Any, config: Any, split: "Split", classes: Tuple[str, ...], interval: int) -> None:
        self._network, self._config, self._split, self._classes = network, config, split, classes
        self._interval = interval

    def after_train_epoch(self, runner: Any) -> None:
        if not self.every_n_epochs(runner, self._interval) and not self.is_last_epoch(runner):
            return
        from core.evaluation.pytorch import evaluate_network

        scored = evaluate_network(self._network, self._config, self._split, self._classes)
        self._network.train()
        runner.last_metrics.update(map=scored.metrics.map, map50=scored.metrics.map50)
        runner.log_buffer.clear_output()
        runner.log_buffer.output.update(eval_iter_num=self._split.images, map=scored.metrics.map,
                                        map50=scored.metrics.map50)
        runner.log_buffer.ready = True


class SaveHook(Hook):
    """Keeps the newest checkpoint beside the log after every epoch."""

    def __init__(self, take_snapshot: Callable[[], Checkpoint], path: Path) -> None:
        self._take_snapshot, self._path = take_snapshot, path

    def after_train_epoch(self, runner: Any) -> None:
        # The runner counts the epoch only after its hooks.
        runner._epoch += 1
        try:
            save_checkpoint(self._take_snapshot(), self._path)
        finally:
            runner._epoch -= 1
