"""Which epoch a training's result is: of compression the best on the validation split, else the last."""

import copy
import logging
from types import SimpleNamespace

import pytest
import torch

from core.base.errors import UserError
from core.checkpoint.checkpoint import load_checkpoint, weights_digest
from core.config.adapt import plain_config
from core.report.training_log import read_training_log
from core.training import hooks
from core.training.fit import fit
from core.training.progress import BEST_FILE, restore_progress
from core.training.signals import Interruptions
from core.training.states import StateSettings
from core.training.trainer import Output, Trainer
from tests.core.training.conftest import run
from tests.core.training.test_resume import PRUNING, Killed, _call_at, killed

EPOCHS = 4


@pytest.fixture
def scores(monkeypatch):
    """Return a function that sets what validation finds, epoch by epoch."""
    def found(*maps):
        seen = []

        def metrics(dataset, results, logger, settings, compared):
            epoch = len(seen)
            seen.append(epoch)
            return {"bbox_mAP": maps[epoch % len(maps)], "bbox_mAP_50": 1 - maps[epoch % len(maps)]}

        monkeypatch.setattr(hooks, "validation_metrics", metrics)

    return found


def epochs_of(folder, config, data, **options):
    """Train, and return the result, its checkpoint and the weights of every epoch."""
    weights = {}
    after_train_epoch = hooks.StateHook.after_train_epoch

    def called(hook, runner):
        weights[runner.epoch + 1] = weights_digest(runner.model.module.state_dict())
        after_train_epoch(hook, runner)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hooks.StateHook, "after_train_epoch", called)
        result = run(config, data, folder, **options)
    return result, load_checkpoint(folder / "out.pth"), weights


def test_a_compressed_model_is_its_best_epoch(plain, tiny_config, tiny_data, tmp_path, scores):
    scores(0.2, 0.5, 0.4, 0.3)
    config = tiny_config(**{"runner.max_epochs": EPOCHS})
    result, saved, weights = epochs_of(tmp_path, config, tiny_data, parent=plain)
    assert weights_digest(saved.state_dict) == weights[2] != weights[EPOCHS]
    assert (result.epoch, result.epochs, saved.training["epoch"]) == (2, EPOCHS, 2)
    assert (result.metrics["map"], result.metrics["map50"], result.best) == (0.5, 0.5, {"map": 0.5, "epoch": 2})
    assert result.decision.endswith("The result is epoch 2 of 4, the best on the val split (mAP 0.5000).")


@pytest.mark.parametrize("options, epoch", [
    ({}, EPOCHS), ({"evaluation.save_best": "auto"}, 2), ({"evaluation.save_best": "bbox_mAP_50"}, 1)])
def test_plain_training_is_its_last_epoch_or_what_save_best_says(tiny_config, tiny_data, tmp_path, scores, options,
                                                                 epoch):
    scores(0.2, 0.5, 0.4, 0.3)
    config = plain_config(tiny_config(**{"runner.max_epochs": EPOCHS, **options}))
    result, saved, weights = epochs_of(tmp_path, config, tiny_data)
    assert result.epoch == epoch and weights_digest(saved.state_dict) == weights[epoch]


@pytest.mark.parametrize("options, maps", [
    ({"evaluation.save_best": None}, (0.2, 0.5, 0.4, 0.3)),
    *(pytest.param({}, (found,) * 4, marks=pytest.mark.release) for found in (0.0, -1.0))])
def test_the_last_epoch_is_the_result_where_that_is_asked_or_none_found_anything(
        plain, tiny_config, tiny_data, tmp_path, scores, options, maps):
    scores(*maps)
    config = tiny_config(**{"runner.max_epochs": EPOCHS, **options})
    result, saved, weights = epochs_of(tmp_path, config, tiny_data, parent=plain)
    assert result.epoch == EPOCHS and weights_digest(saved.state_dict) == weights[EPOCHS]
    assert result.decision.endswith("The result is epoch 4 of 4, the last.")


def test_a_pruned_model_is_best_only_at_the_full_level(plain, tiny_config, tiny_data, tmp_path, scores):
    # The level is reached in the second epoch.
    scores(0.9, 0.2, 0.3, 0.4)
    config = tiny_config(**{"runner.max_epochs": EPOCHS})
    config.nncf_config.compression = copy.deepcopy(PRUNING)
    result, saved, weights = epochs_of(tmp_path, config, tiny_data, parent=plain)
    assert result.epoch == 4 and weights_digest(saved.state_dict) == weights[4]
    assert result.best == {"map": 0.4, "epoch": 4}
    assert "the best on the val split (mAP 0.4000) of those at which compression was complete" in result.decision


def test_a_training_that_counts_iterations_is_its_best_validation(tiny_config, tiny_data, tmp_path, scores):
    scores(0.2, 0.5, 0.3)
    config = plain_config(tiny_config(**{"evaluation.interval": 2, "evaluation.save_best": "bbox_mAP",
                                         "log_config.interval": 50}))
    config.runner = {"type": "IterBasedRunner", "max_iters": 6}
    result = run(config, tiny_data, tmp_path)
    assert result.epoch == 4 and result.best == {"map": 0.5, "epoch": 4}
    log = read_training_log(tmp_path / "out.log")
    assert (log.unit, log.length, [row.done for row in log.val]) == ("iteration", 6, [2, 4, 6])


@pytest.mark.parametrize("options", [{"evaluation.interval": 3}, {"evaluation.start": 2, "evaluation.interval": 9},
                                     {"evaluation.start": 99}])
def test_the_last_epoch_is_scored_whatever_interval_and_start_say(tiny_config, tiny_data, tmp_path, scores, options):
    """What is reported is of the result, not of the epoch that happened to be scored last."""
    scores(0.2, 0.5, 0.4)
    config = plain_config(tiny_config(**{"runner.max_epochs": EPOCHS, **options}))
    result = run(config, tiny_data, tmp_path)
    log = read_training_log(tmp_path / "out.log")
    assert log.val[-1].done == EPOCHS == result.epoch and result.metrics["map"] == log.val[-1].map


@pytest.mark.parametrize("runner", [{"type": "EpochBasedRunner", "max_epochs": 2},
                                    {"type": "IterBasedRunner", "max_iters": 2}])
def test_a_model_scored_before_its_first_step_has_a_line_of_its_own(tiny_config, tiny_data, tmp_path, scores, runner):
    """mmcv logs it with the first iteration's figures, and where iterations are counted ends in a KeyError."""
    scores(0.5, 0.2, 0.3)
    config = plain_config(tiny_config(**{"evaluation.start": 0, "evaluation.save_best": "bbox_mAP"}))
    config.runner = runner
    result = run(config, tiny_data, tmp_path)
    assert (result.epoch, result.best["epoch"], result.reported()["best_epoch"]) == (0, 0, 0)
    (best,) = (tmp_path / "work-out").glob("best_*.pth")
    assert best.stem.endswith("_0")
    training = load_checkpoint(best).training
    assert (training["epoch"], training["iter"]) == (0, 0)
    log = read_training_log(tmp_path / "out.log")
    assert [(row.done, row.map) for row in log.val] == [(0, 0.5), (1, 0.2), (2, 0.3)]
    assert [row.iteration for row in log.train] == [1, 2] if log.iterations else len(log.train) == 2 * 4


@pytest.mark.parametrize("runner", [{"type": "EpochBasedRunner", "max_epochs": 1},
                                    {"type": "IterBasedRunner", "max_iters": 1}])
def test_the_last_epoch_is_not_scored_before_it_where_the_interval_says_no(tiny_config, tiny_data, tmp_path, scores,
                                                                           runner):
    scores(0.5, 0.2)
    config = plain_config(tiny_config(**{"evaluation.start": 0, "evaluation.interval": 4}))
    config.runner = runner
    run(config, tiny_data, tmp_path)
    assert [(row.done, row.map) for row in read_training_log(tmp_path / "out.log").val] == [(1, 0.5)]


def test_mmdetection_s_tool_leaves_it_to_the_config(plain, tiny_config, tiny_data, tmp_path, scores):
    scores(0.5, 0.2)
    config = tiny_config(**{"runner.max_epochs": 2, "load_from": str(plain), "checkpoint_config.interval": 1})
    Trainer(config, tiny_data, Output(tmp_path, checkpoints=True)).run()
    assert {path.name for path in tmp_path.glob("*.pth")} == {"before_training.pth", "epoch_1.pth", "epoch_2.pth",
                                                             "latest.pth"}


@pytest.mark.parametrize("at", [3, *(pytest.param(at, marks=pytest.mark.release) for at in (5, 7))])
def test_resumed_on_another_machine_it_is_the_same_epoch(plain, tiny_config, tiny_data, tmp_path, monkeypatch, at):
    """Two iterations an epoch; the first epoch is the best, and was scored before the process was killed."""
    maps = {1: 0.5, 2: 0.2, 3: 0.4, 4: 0.3}

    def evaluate(hook, runner):
        found = maps[runner.epoch + 1]
        monkeypatch.setattr(hooks, "validation_metrics", lambda *_: {"bbox_mAP": found, "bbox_mAP_50": found})
        return do_evaluate(hook, runner)

    do_evaluate = hooks.EvaluationHook._do_evaluate
    monkeypatch.setattr(hooks.EvaluationHook, "_do_evaluate", evaluate)

    def train(name, state=None):
        config = tiny_config(**{"runner.max_epochs": EPOCHS, "data.samples_per_gpu": 8})
        result = fit(config, tiny_data, tmp_path / f"{name}.pth", tmp_path / f"{name}.log", tmp_path / name, plain,
                     state=state)
        return result, load_checkpoint(tmp_path / f"{name}.pth")

    whole, undisturbed = train("whole")
    state = StateSettings(str(tmp_path / "states"), minutes=1e-9)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        _call_at(patch, at, killed)
        train("killed", state)
    # Its files are gone with it.
    for file in (tmp_path / "killed").glob("*"):
        file.unlink()
    result, resumed = train("resumed", state)
    assert (result.epoch, result.best, result.metrics) == (whole.epoch, whole.best, whole.metrics)
    assert result.epoch == 1 and result.decision.endswith("(mAP 0.5000).")
    assert weights_digest(resumed.state_dict) == weights_digest(undisturbed.state_dict)
    assert resumed.compression.state == undisturbed.compression.state
    # A finished training hands on the same.
    assert weights_digest(train("again", state)[1].state_dict) == weights_digest(undisturbed.state_dict)


def test_a_best_checkpoint_that_is_not_here_is_forgotten(tmp_path, caplog):
    hook = hooks.EvaluationHook(None, torch.utils.data.DataLoader([1]), Interruptions(saving=False), lambda: True,
                                save_best="bbox_mAP")
    runner = SimpleNamespace(work_dir=str(tmp_path), logger=logging.getLogger("best"),
                             messages={BEST_FILE: str(tmp_path / "best.pth"), "best_score": 0.9})
    hook.before_run(runner)
    assert hook.best_ckpt_path is None and runner.messages == {}
    assert "the best of the rest is kept" in caplog.text


@pytest.mark.parametrize("kept", [
    {"name": "../best_a.pth"}, {"name": "/etc/best_a.pth"}, {"name": "best_/../../a.pth"}, {"name": "best_a.txt"},
    {"name": "latest.pth"}, {"name": 7}, {"content": "text"}, {}, 7])
def test_a_state_s_best_checkpoint_is_written_into_the_work_folder_alone(tmp_path, kept):
    whole = {"name": "best_a.pth", "content": torch.zeros(3, dtype=torch.uint8)}
    progress = {"position": {"epoch": 1, "inner_iter": 0, "iteration": 2, "random": {}, "data": {}}, "parameters": [],
                "modules": [], "best": {}, "log": "", "metrics": {}, "messages": {},
                "best_checkpoint": {**whole, **kept} if isinstance(kept, dict) and kept else kept}
    (tmp_path / "work").mkdir()
    with pytest.raises(UserError, match="training state"):
        restore_progress(progress, SimpleNamespace(work_dir=str(tmp_path / "work")), None, tmp_path / "log")
    assert [path.name for path in tmp_path.rglob("*")] == ["work"]


@pytest.mark.parametrize("messages", [
    {"best_score": "high"}, {"best_result": 7}, {"best_result": {}}, {"best_result": {"place": "2", "metrics": {}}},
    {"best_result": {"place": 2, "metrics": {"map": "high"}}}, {"best_result": {"place": 2, "metrics": None}}])
def test_a_state_whose_best_result_is_none_is_damaged(tmp_path, messages):
    progress = {"position": {"epoch": 1, "inner_iter": 0, "iteration": 2, "random": {}, "data": {}}, "parameters": [],
                "modules": [], "best": {}, "log": "", "metrics": {}, "messages": messages}
    with pytest.raises(UserError, match="lacks a part of itself"):
        restore_progress(progress, SimpleNamespace(work_dir=str(tmp_path)), None, tmp_path / "log")
