"""What compression does during training: schedulers, the proof that quantizers run, statistics."""

from typing import TYPE_CHECKING, Any

from mmcv.runner import Hook

from core.compression.statistics import measure_compression, pruning_controllers, quantizers_of

if TYPE_CHECKING:
    from core.compression.wrap import CompressedDetector


class CompressionHook(Hook):
    """Steps NNCF's schedulers, checks in the first iteration that every quantizer takes part, logs statistics.

    Schedulers step at the START of an epoch and of an iteration: called afterwards, the last level would reach the
    model when no training is left.
    """

    def __init__(self, compression: "CompressedDetector") -> None:
        self._controller = compression.controller
        self._quantizers = quantizers_of(compression.controller)
        self._silent = set(self._quantizers)
        self._handles: list[Any] = []

    def before_run(self, runner: Any) -> None:
        for pruning in pruning_controllers(self._controller):
            scheduler = pruning.scheduler
            # A restored scheduler knows its epoch, but not that the masks were final: they would be chosen again. Nor
            # the level, which NNCF's state leaves out and its compression_stage reads.
            if scheduler.current_epoch >= scheduler.freeze_epoch:
                pruning.freeze()
                pruning.set_pruning_rate(scheduler.target_level)
            elif scheduler.current_epoch >= 0:
                scheduler._current_level = scheduler._calculate_pruning_level()
                pruning._pruning_rate = scheduler.current_pruning_level
        self._handles = [
            quantizer.register_forward_hook(lambda module, inputs, output: self._silent.discard(module))
            for quantizer in self._quantizers]
        self._log(runner, "before training")

    def before_train_epoch(self, runner: Any) -> None:
        # An epoch resumed in its middle has had its step.
        if not runner.inner_iter:
            self._controller.scheduler.epoch_step()

    def before_train_iter(self, runner: Any) -> None:
        self._controller.scheduler.step()

    def after_train_iter(self, runner: Any) -> None:
        if not self._handles:
            return
        for handle in self._handles:
            handle.remove()
        self._handles = []
        count = len(self._quantizers)
        if self._silent:
            raise RuntimeError(f"only {count - len(self._silent)} of {count} quantizers ran in the first training "
                               "iteration: the detector's training forward differs from the traced one")
        runner.logger.info("all %d quantizers ran in the first training iteration", count)

    def after_train_epoch(self, runner: Any) -> None:
        zero_pruned_filters(self._controller)
        self._log(runner, f"after epoch {runner.epoch + 1}")

    def _log(self, runner: Any, moment: str) -> None:
        runner.logger.info("compression %s: %s", moment, measure_compression(self._controller))


class AveragedMasksHook(Hook):
    """Keeps an EMA hook's averages off NNCF's masks, and lets averaged weights be those of the pruned model.

    It is registered behind the EMA hook: an average of masks is not a mask, and an average of weights that were pruned
    lately is not zero.
    """

    def __init__(self, compression: "CompressedDetector") -> None:
        self._controller = compression.controller

    def before_run(self, runner: Any) -> None:
        for hook in runner.hooks:
            averaged = getattr(hook, "param_ema_buffer", {})
            for name in [name for name in averaged if "mask" in name.rpartition(".")[2]]:
                averaged.pop(name)
                hook.model_parameters.pop(name)

    def after_train_epoch(self, runner: Any) -> None:
        zero_pruned_filters(self._controller)


def zero_pruned_filters(controller: Any) -> None:
    """Make the weights those of the pruned model.

    NNCF zeroes pruned filters when an iteration starts, and the optimizer, or an EMA hook, has moved them since: a
    model evaluated or saved would not be the pruned one (nncf/torch/pruning/filter_pruning/algo.py, step).
    """
    for pruning in pruning_controllers(controller):
        pruning.step(None)
