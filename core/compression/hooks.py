"""What compression does during training: schedulers, the proof that quantizers run, statistics."""

from typing import TYPE_CHECKING, Any, List

from mmcv.runner import Hook

if TYPE_CHECKING:
    from core.compression.wrap import CompressedDetector


class CompressionHook(Hook):
    """Steps NNCF's schedulers and checks in the first iteration that every quantizer takes part in training.

    Schedulers step at the START of an epoch and of an iteration: called afterwards, the last level would reach the
    model when no training is left.
    """

    def __init__(self, compression: "CompressedDetector") -> None:
        self._controller = compression.controller
        self._quantizers = quantizers_of(compression.controller)
        self._ran: List[bool] = [False] * len(self._quantizers)
        self._handles: List[Any] = []

    def before_run(self, runner: Any) -> None:
        self._handles = [quantizer.register_forward_hook(self._mark(index))
                         for index, quantizer in enumerate(self._quantizers)]

    def before_train_epoch(self, runner: Any) -> None:
        self._controller.scheduler.epoch_step()

    def before_train_iter(self, runner: Any) -> None:
        self._controller.scheduler.step()

    def after_train_iter(self, runner: Any) -> None:
        if not self._handles:
            return
        for handle in self._handles:
            handle.remove()
        self._handles = []
        if not all(self._ran):
            raise RuntimeError(f"only {sum(self._ran)} of {len(self._ran)} quantizers ran in the first training "
                               "iteration: the detector's training forward differs from the traced one")
        runner.logger.info("all %d quantizers ran in the first training iteration", len(self._ran))

    def _mark(self, index: int) -> Any:
        def ran(module: Any, inputs: Any, output: Any) -> None:
            self._ran[index] = True
        return ran


def quantizers_of(controller: Any) -> List[Any]:
    """Return the FakeQuantize modules of a controller, of weights and of activations; empty without quantization."""
    children = getattr(controller, "child_ctrls", None) or [controller]
    return [quantizer for child in children for quantizer in getattr(child, "all_quantizations", {}).values()]
