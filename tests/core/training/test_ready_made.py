"""Candidates that come ready: configs that NNCF takes, for every detector."""

import copy
import re
from pathlib import Path

import pytest

from core.base.errors import UserError
from core.compression.config_check import epochs_of, require_valid
from core.config.adapt import algorithms_of
from core.config.loading import load_config
from core.training.ready_made import NAMES, expand, options_of, overridden
from core.training.refusals import require_obeyed

DETECTORS = sorted(path.stem for path in (Path(__file__).parents[3] / "configs" / "detectors").glob("*.py"))
ALGORITHMS = {"post_training": ("quantization",), "int8": ("quantization",), "int8_mixed": ("quantization",),
              "pruned": ("filter_pruning",),
              "int8_pruned": ("filter_pruning", "quantization")}


@pytest.mark.parametrize("detector", DETECTORS)
def test_every_detector_has_all_of_them(detector):
    path = f"configs/detectors/{detector}.py"
    model = load_config(path)
    for one in expand(["auto"]):
        config = load_config(path, options_of(one, model))
        require_valid(dict(config.nncf_config), epochs_of(config))
        require_obeyed(config, 0)
        assert algorithms_of(config) == ALGORITHMS[re.sub(r"_\d+$", "", one.name)]
        assert config.optimizer.lr < model.optimizer.lr and 1 <= epochs_of(config) < epochs_of(model)
        if one.pruned:
            assert config.model.backbone.get("frozen_stages", -1) == -1
            pruning = config.nncf_config.compression
            pruning = pruning[0] if isinstance(pruning, list) else pruning
            assert pruning.params.pruning_target == one.pruned == int(one.name[-2:]) / 100


def test_auto_is_all_or_the_first_of_them():
    assert [one.name for one in expand(["auto"])] == list(NAMES)
    assert [one.name for one in expand(["auto"], 3)] == ["post_training", "int8", "int8_pruned_40"]
    assert [one.name for one in expand(["pruned_60", "int8"])] == ["pruned_60", "int8"]


@pytest.mark.parametrize("names, message", [
    (["int4"], "parameter candidates: int4"), (["auto", "int8"], "Each is given once"), (["int8", "int8"], "once")])
def test_names_that_cannot_be_are_refused(names, message):
    with pytest.raises(UserError, match=message):
        expand(names)


def test_a_training_by_iterations_is_not_pruned_and_is_quantized():
    model = load_config("configs/detectors/retinanet_r18_small.py",
                        {"runner": {"_delete_": True, "type": "IterBasedRunner", "max_iters": 800}})
    int8, pruned = expand(["int8", "pruned_20"])
    assert options_of(int8, model)["runner.max_iters"] == 100
    with pytest.raises(UserError, match="pruned_20. Filters are pruned epoch by epoch"):
        options_of(pruned, model)


def test_a_candidate_is_scored_though_the_detector_is_so_only_late_in_its_training():
    path, late = "configs/detectors/retinanet_r18_small.py", {"evaluation.start": 8, "evaluation.interval": 2}
    config = load_config(path, overridden(late, options_of(expand(["int8"])[0], load_config(path, late))))
    assert (config.evaluation.start, config.evaluation.interval) == (None, 1)


def test_a_dict_above_a_key_changes_what_it_names_alone():
    """optimizer={"weight_decay": 0} took the candidate's lr away: it was trained at the FP32 training's."""
    base = {"optimizer.lr": 0.1, "runner.max_epochs": 1}
    changes = {"optimizer": {"weight_decay": 0, "betas": {"x": 1}}, "runner": {"max_epochs": 3}}
    assert overridden(base, changes) == {"optimizer.lr": 0.1, "optimizer.weight_decay": 0,
                                         "optimizer.betas": {"x": 1}, "runner.max_epochs": 3}


@pytest.mark.parametrize("name, change", [
    ("int8", {"nncf_config": {"compression": {"initializer": {"range": {"num_init_samples": 8}}}}}),
    ("int8", {"nncf_config": {"target_device": "CPU", "compression": {"weights": {"bits": 4}}}}),
    ("int8_pruned_40", {"nncf_config": {"compression": {"0": {"params": {"pruning_target": 0.3}}, "1": {"a": [1]}}}}),
    ("int8_pruned_40", {"nncf_config": {"compression": {"algorithm": "quantization", "_delete_": True}}}),
    ("int8_pruned_40", {"nncf_config": {"compression": [{"algorithm": "quantization"}]}})])
def test_a_dict_for_nncf_config_is_merged_as_mmcv_merges_it(name, change):
    """It replaced the whole nncf_config, and the pruning level or the samples of the candidate with it."""
    from mmcv import Config

    ready = options_of(expand([name])[0], load_config("configs/detectors/retinanet_r18_small.py"))
    wanted = Config({"nncf_config": ready["nncf_config"]})
    # mmcv takes _delete_ out of what it is given.
    wanted.merge_from_dict(copy.deepcopy(change))
    found = overridden(ready, change)
    if isinstance(found["nncf_config"]["compression"], dict):
        # mmcv takes _delete_ out where it obeys it; here the option is merged into the model's config later.
        found["nncf_config"]["compression"].pop("_delete_", None)
    assert found["nncf_config"] == wanted._cfg_dict.to_dict()["nncf_config"]
    assert {key: value for key, value in found.items() if key != "nncf_config"} == {
        key: value for key, value in ready.items() if key != "nncf_config"}


def test_a_dict_cannot_change_what_is_none():
    with pytest.raises(UserError, match="compression_options: nncf_config"):
        overridden({"nncf_config": {"compression": {"algorithm": "x"}}}, {"nncf_config": {"compression": {
            "algorithm": {"name": "x"}}}})
    with pytest.raises(UserError, match="compression_options: nncf_config"):
        overridden({"nncf_config": {"compression": [1]}}, {"nncf_config": {"compression": {"-1": {"a": 1}}}})


@pytest.mark.parametrize("optimizer", [{"type": "Adam"}, {"first": {"type": "SGD", "lr": 0.1}},
                                       {"type": "SGD", "lr": "0.1"}])
def test_a_config_without_a_learning_rate_is_told_so(optimizer):
    """torch's Adam has one of its own, and MMDetection trains with it."""
    model = load_config("configs/detectors/retinanet_r18_small.py", {"optimizer": {"_delete_": True, **optimizer}})
    with pytest.raises(UserError, match="optimizer.lr: (None|'0.1')"):
        options_of(expand(["int8"])[0], model)


def test_options_go_before_others_below_and_above_their_keys():
    base = {"nncf_config": {"compression": [{"a": 1}, {"b": 2}]}, "runner.max_epochs": 1, "data.x": 1}
    found = overridden(base, {"nncf_config.compression.1.b": 3, "nncf_config.target_device": "CPU",
                             "runner": {"_delete_": True, "n": 2}})
    assert found == {"nncf_config": {"compression": [{"a": 1}, {"b": 3}], "target_device": "CPU"}, "data.x": 1,
                     "runner": {"_delete_": True, "n": 2}}
    assert base["nncf_config"]["compression"][1] == {"b": 2}
    with pytest.raises(UserError, match="nncf_config.compression.7.b"):
        overridden(base, {"nncf_config.compression.7.b": 3})
