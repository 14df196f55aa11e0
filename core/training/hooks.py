"""Hooks of the training loop that plain and compressed models share."""

import copy
import hashlib
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from mmcv.fileio import FileClient
from mmcv.runner import EMAHook, Fp16OptimizerHook, Hook, LoggerHook, OptimizerHook
from mmdet.core import EvalHook
from mmdet.core.hook.ema import BaseEMAHook

from core.base.errors import CandidateFailed, UserError
from core.checkpoint.checkpoint import Checkpoint, checkpoint_bytes, write_checkpoint
from core.results.accuracy import MAP_NAMES
from core.results.summary import within
from core.training.distributed import average_statistics, first_rank, from_first_rank, ranks
from core.training.progress import BEST_FILE, BEST_RESULT, BEST_SCORE, Position, after_epoch, after_iteration
from core.training.settings import metric_names
from core.training.signals import Interruptions
from core.training.tuning import KEY, FineTuning

if TYPE_CHECKING:
    from core.training.states import TrainingStates


class CheckLossHook(Hook):
    """Stops training at the first loss that is not a number."""

    def after_train_iter(self, runner: Any) -> None:
        loss = float(runner.outputs["loss"])
        # MMDetection has averaged what it logs over the ranks, so all of them stop together.
        if not math.isfinite(loss + runner.outputs.get("log_vars", {}).get("loss", 0.0)):
            raise CandidateFailed("loss", f"{loss} in epoch {runner.epoch + 1}, iteration {runner.inner_iter + 1}",
                            "Training must keep it finite.",
                            "Lower optimizer.lr or set optimizer_config.grad_clip, then start again.")
        runner.last_metrics["loss"] = loss


class AverageStatisticsHook(Hook):
    """Averages batch norm's statistics over the ranks at the end of an epoch, before it is scored."""

    def __init__(self, network: Any) -> None:
        self._network = network

    def after_train_epoch(self, runner: Any) -> None:
        average_statistics(self._network)


class EvaluationHook(EvalHook):
    """Scores the model on the validation split as the config's ``evaluation`` says, and logs and keeps the best.

    MMDetection's own hook; the images are shared by the ranks, and SIGTERM does not wait for its end.

    Args:
        network: What is scored.
        interruptions: Holds SIGTERM back.
        may_be_best: Whether the present model may be kept as the best one.
        begins: Called before an iteration is scored, whose state is not taken yet.
        compared: Whether ``map`` is to be COCO's of boxes whatever the config measures: it is compared with that of
            the model before compression.
        settings: The config's ``evaluation`` (``core.training.settings.evaluation_settings``).
    """

    # mmcv's know neither AP50 of Pascal VOC's metric nor AR_s@1000.
    _default_greater_keys = (*EvalHook._default_greater_keys, "AP", "AR_")

    def __init__(self, network: Any, loader: Any, interruptions: Interruptions, may_be_best: Callable[[], bool],
                 begins: Callable[[Any], None] = lambda runner: None, compared: bool = False,
                 **settings: Any) -> None:
        super().__init__(loader, **settings)
        self._network, self._interruptions, self._may_be_best = network, interruptions, may_be_best
        self._begins, self._compared = begins, compared

    def before_run(self, runner: Any) -> None:
        self.out_dir = self.out_dir or runner.work_dir
        self.file_client = FileClient.infer_client(self.file_client_args, self.out_dir)
        # mmcv removes it once there is a better one: a resumed checkpoint does not choose a file elsewhere.
        best = runner.messages.get(BEST_FILE)
        within = isinstance(best, str) and Path(runner.work_dir).resolve() in Path(best).resolve().parents
        self.best_ckpt_path = best if within and Path(best).is_file() else None
        if self.best_ckpt_path is None and first_rank():
            if best is not None:
                runner.logger.warning("the best checkpoint so far is not in work_dir: the best of the rest is kept")
            for name in (BEST_FILE, BEST_SCORE, BEST_RESULT):
                runner.messages.pop(name, None)
        # The first rank alone has the file.
        runner.messages = from_first_rank(runner.messages)

    def before_train_epoch(self, runner: Any) -> None:
        self._decide_interval(runner)
        if self.by_epoch:
            self._score_at_the_start(runner)

    def before_train_iter(self, runner: Any) -> None:
        self._decide_interval(runner)
        if not self.by_epoch:
            self._score_at_the_start(runner)

    def _score_at_the_start(self, runner: Any) -> None:
        """Score the model before the first step where the config's ``start`` says so.

        As mmcv, but that it has a line of its own in the log: there it was mixed with that of the first iteration.
        """
        done = runner.epoch if self.by_epoch else runner.iter
        # mmcv's own answer: that the last epoch is the result does not hold before it is trained.
        if (self.initial_flag and self.start is not None and done >= self.start
                and super()._should_evaluate(runner)):
            buffer, mode = runner.log_buffer, runner.mode
            before = copy.deepcopy((buffer.val_history, buffer.n_history))
            buffer.clear()
            self._do_evaluate(runner)
            # In this mode the epoch that is logged is that which is done.
            runner.mode = "val"
            for hook in runner.hooks:
                if isinstance(hook, LoggerHook):
                    hook.after_train_epoch(runner)
            runner.mode = mode
            buffer.clear()
            buffer.val_history, buffer.n_history = before
        self.initial_flag = False

    def before_epoch(self, runner: Any) -> None:
        """Score the iteration that a training was interrupted in; mmcv calls it once where iterations are counted."""
        if self.by_epoch or not runner.unscored:
            return
        runner.unscored = False
        runner.restored()
        # As within the iteration (mmcv/runner/iter_based_runner.py, train).
        runner.mode, runner.data_loader, runner._iter = "train", runner.loader, runner.iter - 1
        self._do_evaluate(runner)
        for hook in runner.hooks:
            if isinstance(hook, LoggerHook):
                hook.after_train_iter(runner)
        runner._iter += 1

    def scores(self, runner: Any) -> bool:
        """Return whether the runner's present epoch is scored."""
        return bool(self._should_evaluate(runner))

    def _should_evaluate(self, runner: Any) -> bool:
        # The last epoch is scored whatever interval and start say: it is the result, and reported with its metrics.
        at_the_end = self.is_last_epoch(runner) if self.by_epoch else self.is_last_iter(runner)
        return at_the_end or super()._should_evaluate(runner)

    def _do_evaluate(self, runner: Any) -> None:
        from core.training.evaluate import results_of

        if not self.by_epoch and not self.initial_flag:
            self._begins(runner)
        # Minutes can pass here, and nothing is lost: the state after the last iteration is as good as that before it.
        with self._interruptions.interruptible():
            results = results_of(self._network, self.dataloader)
            self._network.train()
            runner.log_buffer.clear_output()
            # mmcv writes it as the validation's iteration; how far a training is that counts them stands nowhere else.
            runner.log_buffer.output["eval_iter_num"] = (len(self.dataloader.dataset) if self.by_epoch
                                                         else self._place(runner))
            score = self.evaluate(runner, results)
        # Of a split without a box pycocotools' mAP is -1.
        if self.save_best and score and score > 0 and self._may_be_best():
            if first_rank():
                self._keep(runner, score)
            runner.messages = from_first_rank(runner.messages)

    def _place(self, runner: Any) -> int:
        """Return the epoch that is scored, or the iteration where those are counted; 0 before the first step."""
        return (runner.epoch if self.by_epoch else runner.iter) + (not self.initial_flag)

    def _keep(self, runner: Any, score: float) -> None:
        """Keep the present model, and what it is, where it is better than the best so far."""
        before, place = runner.messages.get(BEST_SCORE), self._place(runner)
        counter = "_epoch" if self.by_epoch else "_iter"
        present = getattr(runner, counter)
        # mmcv's text log writes a runner's meta among its lines, so it is there only where mmcv asks for it.
        runner.meta = {"hook_msgs": runner.messages}
        # File, log and checkpoint name the epoch that follows the runner's, which before the first step is the next.
        setattr(runner, counter, place - 1)
        self._save_ckpt(runner, score)
        setattr(runner, counter, present)
        runner.meta = None
        if runner.messages.get(BEST_SCORE) != before:
            runner.messages[BEST_RESULT] = {"place": place, "metrics": dict(runner.last_metrics)}

    def evaluate(self, runner: Any, results: list[Any]) -> float | None:
        """Log the metrics of ``results``; return the one that ``save_best`` names."""
        found = from_first_rank(
            validation_metrics(self.dataloader.dataset, results, runner.logger, self.eval_kwargs, self._compared)
            if first_rank() else None)
        runner.log_buffer.output.update(found)
        runner.log_buffer.ready = True
        summary = summary_of(found)
        runner.last_metrics.update(summary)
        if "map" in summary and self._may_be_best() and not runner.best.get("map", -math.inf) >= summary["map"]:
            runner.best = {"map": summary["map"], "epoch": self._place(runner)}
        if self.save_best is None or not found:
            return None
        if self.key_indicator == "auto":
            self._init_rule(self.rule, next(iter(found)))
        if self.key_indicator not in found:
            raise UserError("config, evaluation.save_best", self.save_best,
                            f"The validation gives {', '.join(found)}.", "Name one of these, or 'auto'.")
        return found[self.key_indicator]


def averages_weights(hook: Any) -> bool:
    """Return whether a hook is one of mmcv's or MMDetection's that keep averages of the weights and swap them in."""
    return isinstance(hook, (EMAHook, BaseEMAHook))


def validation_metrics(dataset: Any, results: list[Any], logger: Any, settings: Mapping[str, Any],
                       compared: bool = False) -> dict[str, float]:
    """Return MMDetection's metrics of a data set's results.

    Args:
        dataset: An MMDetection data set of COCO annotations.
        results: MMDetection's result of each of its images.
        logger: Where tables go.
        settings: ``metric`` and the arguments of the data set's ``evaluate``.
        compared: Whether COCO's mAP of boxes is among them in any case, as ``map`` and ``map50``.

    Raises:
        UserError: Masks are asked for, and the model finds none.
    """
    from mmdet.datasets import CustomDataset

    asked = settings.get("metric", "bbox")
    metrics = [asked] if isinstance(asked, str) else asked
    if "segm" in metrics and results and isinstance(results[0], list):
        raise UserError("evaluation.metric", asked, "segm is of masks, and this detector finds boxes alone.",
                        "Write bbox.")
    if asked == "mAP":
        # Pascal VOC's metric, which MMDetection's COCO data sets leave out; it is of boxes, masks are beside them.
        boxes = [result[0] if isinstance(result, tuple) else result for result in results]
        given = CustomDataset.evaluate(dataset, boxes, logger=logger, **settings)
    else:
        given = dataset.evaluate(results, logger=logger, **settings)
    names = metric_names({**settings, "metric": asked})
    # Of results without a box MMDetection says nothing; what is measured of them is 0.
    found = {name: float(given.get(name, 0.0)) for name in names}
    # Beside proposals, boxes are measured by proposals' metrics.
    if compared and (not {"bbox_mAP", "bbox_mAP_50"} <= set(names) or "iou_thrs" in settings):
        found.update(summary_of(validation_metrics(dataset, results, logger, {"metric": "bbox"})))
    return found


def summary_of(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return ``map`` and ``map50`` of MMDetection's metrics, those of boxes first; empty where there are none.

    ``map50`` is NaN where it is not measured.
    """
    for average, at_half in MAP_NAMES:
        if average in metrics:
            half = float(metrics.get(at_half, math.nan))
            return {"map": float(metrics[average]), "map50": half if half >= 0 else math.nan}
    return {}


class StateHook(Hook):
    """Saves the training state: beside the log and to ``states`` after every epoch and every ``minutes``.

    Also where SIGTERM ends training; and gives a resumed network what other hooks keep in it, such as EMA's averages.

    Args:
        take_snapshot: Returns the checkpoint of a position.
        path: Where the newest state is written; None writes none.
        states: Where states are stored, if anywhere.
        interruptions: Holds SIGTERM back.
        every: Iterations that one optimizer step takes: a state between them would lack their gradients.
        weights: Of the state that is resumed, if any.

    Attributes:
        position: The newest moment that can be saved, None before the first iteration.
    """

    def __init__(self, take_snapshot: Callable[[Position], Checkpoint], path: Path | None,
                 states: Optional["TrainingStates"], interruptions: Interruptions, every: int = 1,
                 weights: Mapping[str, Any] | None = None) -> None:
        self._take_snapshot, self._path, self._states = take_snapshot, path, states
        self._interruptions, self._every, self._weights = interruptions, every, weights
        self.position: Position | None = None
        self._saved_at = time.monotonic()

    def before_run(self, runner: Any) -> None:
        self._restore(runner)

    def before_train_epoch(self, runner: Any) -> None:
        if runner.inner_iter:
            # Hooks that swap weights when an epoch starts have done so when this one started.
            self._restore(runner)
        self._weights = None

    def _restore(self, runner: Any) -> None:
        if self._weights is not None:
            runner.model.module.load_state_dict(self._weights)

    def begins_to_score(self, runner: Any) -> None:
        """Take the position of an iteration that is scored before its other hooks have run; it is scored again."""
        if self.every_n_iters(runner, self._every):
            self.position = after_iteration(runner, unscored=True)

    def after_train_iter(self, runner: Any) -> None:
        if not self.every_n_iters(runner, self._every):
            return
        self.position = after_iteration(runner)
        self._interruptions.check()
        if self._states is not None and time.monotonic() - self._saved_at >= self._states.seconds:
            self.save()

    def after_train_epoch(self, runner: Any) -> None:
        if runner.iter % self._every:
            return
        self.position = after_epoch(runner)
        self.save()
        self._interruptions.check()

    def save(self) -> None:
        """Save the present state, in the first rank; it is uploaded while training continues."""
        if not first_rank() or self._path is None:
            return
        content = checkpoint_bytes(self._take_snapshot(self.position))
        if self._states is not None:
            self._states.wait()
        write_checkpoint(content, self._path)
        if self._states is not None:
            self._states.store(self._path, self.position, hashlib.sha256(content).hexdigest())
        self._saved_at = time.monotonic()


def optimizer_hook(config: Any) -> Any:
    """Return what mmcv's runner registers as its optimizer hook: MMDetection's choice for ``fp16`` and ranks."""
    settings = dict(config.get("optimizer_config") or {})
    if config.get("fp16") is not None:
        return Fp16OptimizerHook(**settings, **config["fp16"], distributed=ranks() > 1)
    return settings if "type" in settings else OptimizerHook(**settings)


class EnoughHook(Hook):
    """Ends a training whose validation has been within the limit, or has not improved, often enough in a row.

    What it counts is kept in ``runner.messages``, so that a resumed training ends where an undisturbed one does.

    Args:
        plan: What is enough.
        parent_map: mAP of the model before compression; NaN where it is not known.
        validated: Returns whether the runner's present epoch has been scored.
        finished: Returns whether compression has reached its target; what is before that does not count.
    """

    def __init__(self, plan: FineTuning, parent_map: float, validated: Callable[[Any], bool],
                 finished: Callable[[], bool]) -> None:
        self._plan, self._parent_map, self._validated, self._finished = plan, parent_map, validated, finished

    def before_run(self, runner: Any) -> None:
        state = runner.messages.setdefault(KEY, {"parent_map": self._parent_map, "within": 0, "waited": 0,
                                                 "best": -1.0, "ended": ""})
        if state["ended"]:
            runner._max_epochs = runner.epoch

    def after_train_epoch(self, runner: Any) -> None:
        if not self._validated(runner) or not self._finished() or "map" not in runner.last_metrics:
            return
        state, found = dict(runner.messages[KEY]), float(runner.last_metrics["map"])
        enough = within(state["parent_map"] - found, self._plan.max_map_drop)
        state["within"] = state["within"] + 1 if enough else 0
        state["waited"] = 0 if found > state["best"] else state["waited"] + 1
        state["best"] = max(state["best"], found)
        times = f"for {self._plan.patience} validations"
        if state["within"] >= self._plan.patience:
            state["ended"] = f"within the limit {times}"
        elif state["waited"] >= self._plan.patience:
            state["ended"] = f"no improvement {times}"
        runner.messages[KEY] = state
        if state["ended"]:
            runner.logger.info("training ends after epoch %d: %s", runner.epoch + 1, state["ended"])
            # mmcv's loop asks for it before every epoch (mmcv/runner/epoch_based_runner.py, run).
            runner._max_epochs = runner.epoch + 1
