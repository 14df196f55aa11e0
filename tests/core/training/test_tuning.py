"""Whether a compressed model is trained, and when its training has done enough."""

import json
from types import SimpleNamespace

import pytest

from core.base.errors import CandidateFailed, UserError
from core.checkpoint.checkpoint import load_checkpoint
from core.training.hooks import EnoughHook
from core.training.initial import InitialScore
from core.training.states import StateSettings
from core.training.tuning import DECIDED, KEY, FineTuning, When, how_it_ended, require_sound
from tests.core.training.conftest import run
from tests.core.training.test_initial import metrics
from tests.core.training.test_resume import Killed, _call_at, killed


def initial(found, parent=0.5):
    return InitialScore("val", metrics(found), parent)


@pytest.mark.parametrize("when, score, finished, trains", [
    (When.ALWAYS, initial(0.5), True, True), (When.NEVER, initial(0.1), True, False),
    (When.WHEN_NEEDED, initial(0.49), True, False), (When.WHEN_NEEDED, initial(0.48), True, True),
    (When.WHEN_NEEDED, initial(0.6), False, True), (When.WHEN_NEEDED, None, True, True),
    (When.WHEN_NEEDED, initial(0.5, None), True, True)])
def test_a_model_within_its_limit_is_not_trained_where_that_is_asked(when, score, finished, trains):
    decided, why = FineTuning(when, 0.01).at_the_start(score, finished)
    assert decided == trains and why.endswith(".")
    if when is When.WHEN_NEEDED and score is not None and finished and score.parent_map:
        assert f"{score.metrics.map:.4f}" in why and "0.5000" in why and "0.01" in why


@pytest.mark.parametrize("given", [
    {"when": "sometimes"}, {"max_map_drop": 2}, {"patience": 0}, {"patience": 1.5}, {"max_map_drop": True}, {"a": 1}])
def test_what_is_no_plan_is_refused(given):
    with pytest.raises(UserError, match="config, fine_tuning: .*when_needed"):
        FineTuning.of({KEY: given})
    assert FineTuning.of({}) == FineTuning(When.ALWAYS)


def epochs_until_enough(scores, patience=2, messages=None, finished=lambda: True):
    """Return after how many epochs training ends, and its runner."""
    hook = EnoughHook(FineTuning(When.WHEN_NEEDED, 0.01, patience), 0.5, lambda runner: True, finished)
    runner = SimpleNamespace(epoch=0, _max_epochs=len(scores), last_metrics={}, messages=messages or {},
                             logger=SimpleNamespace(info=lambda *_: None))
    hook.before_run(runner)
    while runner.epoch < runner._max_epochs:
        runner.last_metrics["map"] = scores[runner.epoch]
        hook.after_train_epoch(runner)
        runner.epoch += 1
    return runner.epoch, runner


@pytest.mark.parametrize("scores, epochs, why", [
    ([0.495, 0.496, 0.6, 0.6], 2, "within the limit"), ([0.4, 0.495, 0.4, 0.496, 0.495, 0.6], 5, "within the limit"),
    ([0.3, 0.2, 0.25, 0.6], 3, "no improvement"), ([0.1, 0.2, 0.3, 0.4], 4, "")])
def test_training_ends_when_it_is_within_the_limit_or_gains_no_more(scores, epochs, why):
    done, runner = epochs_until_enough(scores)
    assert done == epochs
    assert why in how_it_ended(runner) and bool(why) == bool(how_it_ended(runner))


def test_what_is_before_the_schedule_s_target_does_not_count():
    assert epochs_until_enough([0.5] * 4, finished=lambda: False)[0] == 4


def test_a_resumed_training_ends_where_an_undisturbed_one_does():
    _, first = epochs_until_enough([0.3, 0.29])
    # It was stopped after the second epoch's state, in which the end had been decided; or before.
    assert first.messages[KEY]["waited"] == 1
    assert epochs_until_enough([0.28, 0.6], messages=first.messages)[0] == 1
    _, ended = epochs_until_enough([0.3, 0.29, 0.28])
    assert epochs_until_enough([0.9, 0.9], messages=ended.messages)[0] == 0


def test_an_initialised_model_is_the_result_where_no_training_is_needed(plain, tiny_config, tiny_data, tmp_path):
    plan = {"when": "when_needed", "max_map_drop": 1.0}
    result = run(tiny_config(fine_tuning=plan), tiny_data, tmp_path, parent=plain)
    assert result.epochs == 0 and result.decision.startswith("Not fine-tuned: already within the limit on the val")
    assert result.map_parent >= 0 and result.map_initial >= 0
    saved = load_checkpoint(tmp_path / "out.pth")
    assert saved.compression is not None and saved.training["epoch"] == 0
    modes = [json.loads(line)["mode"] for line in (tmp_path / "out.log").read_text().splitlines()]
    assert modes == ["env", "val"]


def test_a_training_that_gains_nothing_ends_early(plain, tiny_config, tiny_data, tmp_path, monkeypatch):
    found = iter([metrics(0.9), metrics(0.3)])
    monkeypatch.setattr("core.training.trainer.score", lambda *arguments: next(found))
    plan = {"when": "when_needed", "max_map_drop": 0.01, "patience": 1}
    config = tiny_config(fine_tuning=plan, **{"runner.max_epochs": 4})
    result = run(config, tiny_data, tmp_path, parent=plain)
    assert result.epochs == 2 and "It ended after epoch 2: no improvement" in result.decision


def test_a_resumed_training_says_what_was_decided_and_measured_before_it(plain, tiny_config, tiny_data, tmp_path,
                                                                         monkeypatch):
    found = iter([metrics(0.9), metrics(0.3)])
    monkeypatch.setattr("core.training.trainer.score", lambda *arguments: next(found))
    plan = {"when": "when_needed", "max_map_drop": 0.01, "patience": 1}

    def train(name):
        return run(tiny_config(fine_tuning=plan, **{"runner.max_epochs": 2}), tiny_data, tmp_path, name, parent=plain,
                   state=StateSettings(str(tmp_path / "states"), minutes=1e-9))

    with monkeypatch.context() as patch, pytest.raises(Killed):
        _call_at(patch, 2, killed)
        train("killed")
    result = train("resumed")
    assert (result.map_parent, result.map_initial) == (0.9, 0.3)
    assert result.decision.startswith("Fine-tuned: not within the limit on the val split (mAP 0.3000 before the first "
                                      "step, 0.9000 without compression, limit 0.01). It was interrupted and resumed.")


@pytest.mark.parametrize("messages", [
    {KEY: {}}, {KEY: 7}, {DECIDED: {"decision": 3, "map_parent": 0.1, "map_initial": 0.1}}, {DECIDED: []},
    {KEY: {"parent_map": "0.5", "within": 0, "waited": 0, "best": 0.1, "ended": ""}}])
def test_a_state_that_misstates_it_is_damaged(messages):
    require_sound({})
    with pytest.raises((KeyError, TypeError, ValueError)):
        require_sound(messages)


def test_training_that_diverges_is_the_candidate_s_own_failure(plain, tiny_config, tiny_data, tmp_path):
    with pytest.raises(CandidateFailed, match="loss: nan|loss: inf"):
        run(tiny_config(**{"optimizer.lr": 1e30, "optimizer_config.grad_clip": None}), tiny_data, tmp_path,
            parent=plain)
    # Its log says how it came to that.
    lines = [json.loads(line) for line in (tmp_path / "out.log").read_text().splitlines()]
    assert [line["mode"] for line in lines][:2] == ["env", "val"]
