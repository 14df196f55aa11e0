"""What the hook does at which moment, on a controller of our own with one convolution and one quantizer."""

import logging
from types import SimpleNamespace

import pytest
import torch

from core.compression.hooks import CompressionHook
from core.compression.statistics import CompressionStatistics, measure_compression


class Scheduler:
    """Writes down when it is stepped."""

    freeze_epoch = 2
    target_level = 0.4

    def __init__(self, calls, current_epoch=-1):
        self.calls, self.current_epoch = calls, current_epoch

    @property
    def current_pruning_level(self):
        return self._current_level

    def _calculate_pruning_level(self):
        return self.target_level * min(self.current_epoch, self.freeze_epoch) / self.freeze_epoch

    def epoch_step(self):
        self.calls.append("epoch")

    def step(self):
        self.calls.append("iteration")


class Pruning:
    """A pruning controller of one layer that runs twice: two of its eight filters are masked."""

    def __init__(self, calls, current_epoch=-1):
        self.scheduler, self.calls, self.all_quantizations = Scheduler(calls, current_epoch), calls, {}
        operand = SimpleNamespace(binary_filter_pruning_mask=torch.tensor([0., 0, 1, 1, 1, 1, 1, 1]))
        layers = [SimpleNamespace(module=self, operand=operand)] * 2
        self.pruned_module_groups_info = SimpleNamespace(get_all_nodes=lambda: layers)

    def step(self, next_step):
        self.calls.append("masks")

    def freeze(self):
        self.calls.append("freeze")

    def set_pruning_rate(self, level):
        self.calls.append(f"level {level}")


def compression(*children, scheduler=None):
    controller = SimpleNamespace(child_ctrls=list(children), scheduler=scheduler or children[0].scheduler)
    return SimpleNamespace(controller=controller)


def quantization():
    return SimpleNamespace(all_quantizations={"weight": torch.nn.Identity(), "input": torch.nn.Identity()})


@pytest.fixture
def runner():
    return SimpleNamespace(logger=logging.getLogger("test_hooks"), epoch=0, inner_iter=0)


def test_schedulers_step_first_and_masks_are_applied_before_a_model_is_scored_or_saved(runner):
    calls = []
    hook = CompressionHook(compression(Pruning(calls)))
    hook.before_run(runner)
    hook.before_train_epoch(runner)
    for _ in range(2):
        hook.before_train_iter(runner)
        hook.after_train_iter(runner)
    hook.after_train_epoch(runner)
    assert calls == ["epoch", "iteration", "iteration", "masks"]


@pytest.mark.parametrize("epoch, frozen", [(-1, False), (1, False), (2, True), (7, True)])
def test_final_masks_stay_final_after_a_restart(runner, epoch, frozen):
    calls = []
    pruning = Pruning(calls, current_epoch=epoch)
    CompressionHook(compression(pruning)).before_run(runner)
    assert calls == (["freeze", "level 0.4"] if frozen else [])
    if epoch == 1:
        assert pruning._pruning_rate == pytest.approx(0.2)


def test_every_quantizer_must_run_in_the_first_iteration(runner):
    child = quantization()
    hook = CompressionHook(compression(child, scheduler=Scheduler([])))
    hook.before_run(runner)
    child.all_quantizations["weight"](torch.zeros(1))
    with pytest.raises(RuntimeError, match="only 1 of 2 quantizers ran"):
        hook.after_train_iter(runner)


def test_the_proof_is_made_once_and_leaves_no_hooks(runner, caplog):
    child = quantization()
    hook = CompressionHook(compression(child, scheduler=Scheduler([])))
    hook.before_run(runner)
    for quantizer in child.all_quantizations.values():
        quantizer(torch.zeros(1))
    with caplog.at_level(logging.INFO):
        hook.after_train_iter(runner)
        hook.after_train_iter(runner)
    assert caplog.messages == ["all 2 quantizers ran in the first training iteration"]
    assert not any(quantizer._forward_hooks for quantizer in child.all_quantizations.values())


def test_statistics_are_logged_before_training_and_after_each_epoch(runner, caplog):
    hook = CompressionHook(compression(Pruning([]), quantization()))
    with caplog.at_level(logging.INFO):
        hook.before_run(runner)
        hook.after_train_epoch(runner)
    assert caplog.messages == [
        "compression before training: 2 quantizers, 2 of 8 filters pruned (25.0%)",
        "compression after epoch 1: 2 quantizers, 2 of 8 filters pruned (25.0%)"]


def test_masks_of_weights_are_counted_fixed_and_learned():
    fixed = SimpleNamespace(module=object(), operand=SimpleNamespace(binary_mask=torch.tensor([[1., 0], [0, 0]])))
    learned = SimpleNamespace(module=object(), operand=SimpleNamespace(mask=torch.tensor([-1., 2]),
                                                                       binary_mask=torch.ones(2)))
    child = SimpleNamespace(sparsified_module_info=[fixed, fixed, learned])
    found = measure_compression(child)
    assert found == CompressionStatistics(quantizers=0, filters=0, pruned_filters=0, weights=6, zero_weights=4)
    assert str(found) == "4 of 6 weights zero (66.7%)"


def test_nothing_is_said_to_be_nothing():
    assert str(measure_compression(SimpleNamespace())) == "nothing compressed"
