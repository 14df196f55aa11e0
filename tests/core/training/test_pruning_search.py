"""The search of the pruning level on made-up accuracy curves, and one real trial."""

import dataclasses
import json

import pytest

from core.base.errors import UserError
from core.training.pruning_search import (
    SearchPlan,
    Trial,
    build_parser,
    search_pruning_level,
    set_pruning_level,
)

PLAN = SearchPlan(baseline_map=0.40, max_map_drop=0.02, trials=6, highest=0.8)


class Curve:
    """Accuracy that falls with the square of the level; remembers the levels it was asked for."""

    def __init__(self, loss=0.1, dies_at=None):
        self.loss, self.dies_at, self.levels = loss, dies_at, []

    def __call__(self, level):
        if len(self.levels) == self.dies_at:
            raise KeyboardInterrupt
        self.levels.append(level)
        return Trial(level, 0.40 - self.loss * level ** 2, f"level-{level}.pth")


def test_bisection_closes_in_on_the_limit(tmp_path):
    curve = Curve()
    result = search_pruning_level(curve, PLAN, tmp_path / "trials.jsonl")
    # 0.1 x level^2 = 0.02 at 0.447.
    assert curve.levels == [0.8, 0.4, 0.6, 0.5, 0.45, 0.425]
    assert result.best == Trial(0.425, pytest.approx(0.40 - 0.1 * 0.425 ** 2), "level-0.425.pth")
    assert [trial.level for trial in result.trials] == curve.levels


def test_one_trial_is_enough_where_the_highest_level_is_good(tmp_path):
    curve = Curve(loss=0.01)
    assert search_pruning_level(curve, PLAN, tmp_path / "t").best.level == 0.8
    assert curve.levels == [0.8]


def test_a_loss_at_the_limit_is_within_it_but_for_rounding():
    """As by the gate: 0.41 - 0.40 is not 0.01 in binary."""
    assert dataclasses.replace(PLAN, baseline_map=0.41, max_map_drop=0.01).accepts(Trial(0.4, 0.40, "a.pth"))


def test_levels_that_round_to_the_same_filters_are_not_told_apart(tmp_path):
    curve = Curve()
    search_pruning_level(curve, dataclasses.replace(PLAN, trials=50), tmp_path / "t")
    assert len(curve.levels) == 7


def test_nothing_is_best_where_no_trial_is_good_enough(tmp_path):
    result = search_pruning_level(Curve(loss=100), PLAN, tmp_path / "t")
    assert result.best is None
    assert len(result.trials) == 6


def test_the_best_is_kept_where_accuracy_does_not_fall_evenly(tmp_path):
    curve = {0.8: 0.1, 0.4: 0.39, 0.6: 0.395, 0.7: 0.1, 0.65: 0.1, 0.625: 0.1}
    result = search_pruning_level(lambda level: Trial(level, curve[level], ""), PLAN, tmp_path / "t")
    assert result.best.level == 0.6


@pytest.mark.parametrize("died_at", range(6))
def test_a_killed_search_goes_on_where_it_was(tmp_path, died_at):
    undisturbed = search_pruning_level(Curve(), PLAN, tmp_path / "undisturbed")
    first, second = Curve(dies_at=died_at), Curve()
    with pytest.raises(KeyboardInterrupt):
        search_pruning_level(first, PLAN, tmp_path / "trials")
    assert search_pruning_level(second, PLAN, tmp_path / "trials") == undisturbed
    assert first.levels + second.levels == [trial.level for trial in undisturbed.trials]
    assert (tmp_path / "trials").read_text() == (tmp_path / "undisturbed").read_text()


def test_a_line_that_was_cut_off_is_made_again(tmp_path):
    search_pruning_level(Curve(), dataclasses.replace(PLAN, trials=2), tmp_path / "t")
    text = (tmp_path / "t").read_text()
    (tmp_path / "t").write_text(text[:-9])
    curve = Curve()
    search_pruning_level(curve, dataclasses.replace(PLAN, trials=2), tmp_path / "t")
    assert curve.levels == [0.4]
    assert (tmp_path / "t").read_text() == text


def test_more_trials_continue_the_same_search(tmp_path):
    search_pruning_level(Curve(), dataclasses.replace(PLAN, trials=2), tmp_path / "t")
    curve = Curve()
    assert len(search_pruning_level(curve, PLAN, tmp_path / "t").trials) == 6
    assert curve.levels == [0.6, 0.5, 0.45, 0.425]


@pytest.mark.parametrize("change", [{"baseline_map": 0.5}, {"max_map_drop": 0.01}, {"highest": 0.9},
                                    {"identity": "other data"}])
def test_another_search_is_not_continued(tmp_path, change):
    search_pruning_level(Curve(), PLAN, tmp_path / "t")
    with pytest.raises(UserError, match=f"another {list(change)[0]}.*--work-dir"):
        search_pruning_level(Curve(), dataclasses.replace(PLAN, **change), tmp_path / "t")


@pytest.mark.parametrize("text", ["not JSON\n", '{"level": 1}\n{"no": "trial"}\n'])
def test_a_damaged_record_is_refused(tmp_path, text):
    (tmp_path / "t").write_text(text)
    with pytest.raises(UserError, match="pruning search"):
        search_pruning_level(Curve(), PLAN, tmp_path / "t")


@pytest.mark.parametrize("change", [{"baseline_map": 0.0}, {"baseline_map": float("nan")}, {"max_map_drop": -0.1},
                                    {"max_map_drop": 1.0}, {"trials": 0}, {"highest": 1.0}, {"highest": 0.0}])
def test_limits_that_mean_nothing_are_refused(change):
    with pytest.raises(UserError, match=f"pruning search, {list(change)[0]}"):
        dataclasses.replace(PLAN, **change)


def test_the_level_goes_where_the_config_has_its_target():
    pruning = {"algorithm": "filter_pruning", "pruning_init": 0.3, "params": {"pruning_flops_target": 0.5}}
    config = {"nncf_config": {"compression": [{"algorithm": "quantization"}, pruning]}}
    set_pruning_level(config, 0.2)
    assert pruning == {"algorithm": "filter_pruning", "pruning_init": 0, "params": {"pruning_flops_target": 0.2}}
    bare = {"algorithm": "filter_pruning"}
    set_pruning_level({"nncf_config": {"compression": bare}}, 0.2)
    assert bare["params"] == {"pruning_target": 0.2}


@pytest.mark.parametrize("config", [{}, {"nncf_config": {"compression": {"algorithm": "quantization"}}}])
def test_a_config_that_prunes_nothing_is_refused(config):
    with pytest.raises(UserError, match="no filter_pruning"):
        set_pruning_level(config, 0.4)


def test_the_command_line_has_defaults():
    arguments = build_parser().parse_args(["c.py", "--checkpoint", "p.pth", "--data", "d", "--work-dir", "w"])
    assert (arguments.max_map_drop, arguments.trials, arguments.highest) == (0.015, 5, 0.7)


def test_the_record_is_readable(tmp_path):
    search_pruning_level(Curve(), PLAN, tmp_path / "t")
    head, first, *_ = [json.loads(line) for line in (tmp_path / "t").read_text().splitlines()]
    assert head == dataclasses.asdict(PLAN)
    assert first == {"level": 0.8, "map": pytest.approx(0.336), "checkpoint": "level-0.8.pth"}
