"""Keys of other NNCF versions are replaced exactly, and nothing else is touched."""

import copy

import pytest

from core.base.errors import UserError
from core.compression.config_check import check_nncf_config, migrate
from core.compression.config_check.finding import ABSENT


def config(**algorithm):
    return {"input_info": {"sample_size": [1, 3, 300, 300]}, "compression": algorithm}


# The specification's example, its literal made Python.
SPECIFICATION = {
    "input_info": {"sample_size": [1, 3, 1000, 600]},
    "compression": {"algorithm": "quantization",
                    "initializer": {"range": {"num_init_steps": 10},
                                    "batchnorm_adaptation": {"num_bn_adaptation_steps": 30}}},
    "log_dir": "work_dir"}

CASES = {
    "range steps": (
        {"algorithm": "quantization", "initializer": {"range": {"num_init_steps": 10, "type": "min_max"}}},
        {"algorithm": "quantization", "initializer": {"range": {"num_init_samples": 80, "type": "min_max"}}}),
    "steps of a list of ranges": (
        {"algorithm": "quantization", "initializer": {"range": [{"num_init_steps": 2, "target_scopes": ["a"]}]}},
        {"algorithm": "quantization", "initializer": {"range": [{"num_init_samples": 16, "target_scopes": ["a"]}]}}),
    "percentiles": (
        {"algorithm": "quantization", "initializer": {"range": {"type": "percentile", "min_percentile": 1,
                                                                "max_percentile": 99}}},
        {"algorithm": "quantization", "initializer": {"range": {"type": "percentile", "params": {
            "min_percentile": 1, "max_percentile": 99}}}}),
    "adaptation steps": (
        {"algorithm": "quantization", "initializer": {"batchnorm_adaptation": {
            "num_bn_adaptation_steps": 30, "num_bn_forget_steps": 5, "num_bn_forget_samples": 5}}},
        {"algorithm": "quantization", "initializer": {"batchnorm_adaptation": {"num_bn_adaptation_samples": 240}}}),
    "adaptation steps of pruning": (
        {"algorithm": "filter_pruning", "params": {"pruning_target": 0.3, "num_init_steps": 1},
         "initializer": {"batchnorm_adaptation": {"num_bn_adaptation_steps": 1}}},
        {"algorithm": "filter_pruning", "params": {"pruning_target": 0.3, "num_init_steps": 1},
         "initializer": {"batchnorm_adaptation": {"num_bn_adaptation_samples": 8}}}),
    "both counts": (
        {"algorithm": "quantization", "initializer": {"range": {"num_init_steps": 10, "num_init_samples": 256}}},
        {"algorithm": "quantization", "initializer": {"range": {"num_init_samples": 256}}}),
    "preset performance": (
        {"algorithm": "quantization", "preset": "performance"},
        {"algorithm": "quantization", "weights": {"mode": "symmetric"}, "activations": {"mode": "symmetric"}}),
    "preset mixed beside a mode": (
        {"algorithm": "quantization", "preset": "mixed", "weights": {"mode": "asymmetric", "bits": 8}},
        {"algorithm": "quantization", "weights": {"mode": "asymmetric", "bits": 8},
         "activations": {"mode": "asymmetric"}}),
    "preset beside both modes": (
        {"algorithm": "quantization", "preset": "mixed", "weights": {"mode": "symmetric"},
         "activations": {"mode": "symmetric"}},
        {"algorithm": "quantization", "weights": {"mode": "symmetric"}, "activations": {"mode": "symmetric"}}),
    "fix on": ({"algorithm": "quantization", "overflow_fix": "enable"},
               {"algorithm": "quantization", "disable_saturation_fix": False}),
    "fix off": ({"algorithm": "quantization", "overflow_fix": "disable"},
                {"algorithm": "quantization", "disable_saturation_fix": True}),
    "fix in both words": (
        {"algorithm": "quantization", "overflow_fix": "disable", "disable_saturation_fix": False},
        {"algorithm": "quantization", "disable_saturation_fix": False}),
    "pruning": (
        {"algorithm": "filter_pruning", "params": {"pruning_init": 0.1, "pruning_target": 0.3,
                                                   "weight_importance": "geometric_median"}},
        {"algorithm": "filter_pruning", "params": {"pruning_target": 0.3, "filter_importance": "geometric_median"},
         "pruning_init": 0.1}),
    "start in both places": (
        {"algorithm": "filter_pruning", "pruning_init": 0.2, "params": {"pruning_init": 0.1, "pruning_target": 0.3}},
        {"algorithm": "filter_pruning", "pruning_init": 0.2, "params": {"pruning_target": 0.3}}),
    "sparsity": (
        {"algorithm": "magnitude_sparsity", "params": {
            "schedule": "multistep", "steps": [2, 4], "sparsity_levels": [0.1, 0.2, 0.3], "sparsity_init": 0.1,
            "weight_importance": "abs"}},
        {"algorithm": "magnitude_sparsity", "params": {
            "schedule": "multistep", "multistep_steps": [2, 4], "multistep_sparsity_levels": [0.1, 0.2, 0.3],
            "weight_importance": "abs"}, "sparsity_init": 0.1}),
}

# What has no certain counterpart stays for the user.
LEFT = {
    "first layer only": {"algorithm": "quantization", "overflow_fix": "first_layer_only"},
    "unknown preset": {"algorithm": "quantization", "preset": "fast"},
    "steps that are none": {"algorithm": "quantization", "initializer": {"range": {"num_init_steps": "ten"}}},
    "raises": {"algorithm": "rb_sparsity", "params": {"sparsity_steps": 3}},
    "another algorithm": {"algorithm": "movement_sparsity", "params": {"sparsity_levels": [0.1]}},
    "algorithm no text": {"algorithm": ["quantization"], "preset": "mixed"},
    "params no dict": {"algorithm": "filter_pruning", "params": 3, "initializer": [1]},
    "valid": {"algorithm": "filter_pruning", "params": {"pruning_target": 0.3, "num_init_steps": 2}},
}


@pytest.mark.parametrize("case", CASES)
def test_each_replacement(case):
    before, after = CASES[case]
    migrated, changes = migrate(config(**before), batch_size=8)
    assert migrated == config(**after)
    assert changes
    assert not [finding for finding in check_nncf_config(migrated) if finding.path.startswith("compression")]
    assert migrate(migrated, batch_size=8) == (migrated, [])


@pytest.mark.parametrize("case", LEFT)
def test_what_is_not_certain_stays(case):
    assert migrate(config(**LEFT[case]), batch_size=8) == (config(**LEFT[case]), [])


@pytest.mark.parametrize("case", CASES)
def test_the_argument_is_not_changed(case):
    nncf_config = config(**CASES[case][0])
    before = copy.deepcopy(nncf_config)
    migrated, _ = migrate(nncf_config, batch_size=8)
    assert nncf_config == before
    migrated["input_info"]["sample_size"].append(0)
    assert nncf_config == before


def test_the_specifications_example_becomes_valid():
    assert len(check_nncf_config(SPECIFICATION)) == 2
    migrated, changes = migrate(SPECIFICATION, batch_size=8)
    assert check_nncf_config(migrated) == []
    initializer = migrated["compression"]["initializer"]
    assert initializer == {"range": {"num_init_samples": 80},
                           "batchnorm_adaptation": {"num_bn_adaptation_samples": 240}}
    assert [str(change) for change in changes] == [
        "compression.initializer.range.num_init_steps = 10 -> compression.initializer.range.num_init_samples = 80: "
        "10 steps x batch size 8",
        "compression.initializer.batchnorm_adaptation.num_bn_adaptation_steps = 30 -> "
        "compression.initializer.batchnorm_adaptation.num_bn_adaptation_samples = 240: 30 steps x batch size 8"]


def test_changes_name_places_in_a_list():
    algorithms = [{"algorithm": "quantization"}, {"algorithm": "filter_pruning", "params": {"pruning_init": 0.1}}]
    _, (change,) = migrate({"compression": algorithms}, batch_size=1)
    assert (change.path, change.before) == ("compression[1].params.pruning_init", 0.1)
    assert (change.new_path, change.after) == ("compression[1].pruning_init", 0.1)


def test_a_removed_key_has_no_new_place():
    adaptation = {"batchnorm_adaptation": {"num_bn_forget_steps": 5}}
    _, (change,) = migrate(config(algorithm="quantization", initializer=adaptation), batch_size=1)
    assert (change.new_path, change.after) == ("", ABSENT)
    assert "-> removed" in str(change)


def test_tuples_become_lists():
    migrated, (change,) = migrate({"input_info": {"sample_size": (1, 3, 8, 8)}}, batch_size=1)
    assert migrated == {"input_info": {"sample_size": [1, 3, 8, 8]}}
    assert change.path == "input_info.sample_size"


def test_a_config_of_mmcv_becomes_a_plain_dict():
    import mmcv
    migrated, _ = migrate(mmcv.ConfigDict(SPECIFICATION), batch_size=8)
    assert type(migrated) is dict and type(migrated["compression"]["initializer"]) is dict


@pytest.mark.parametrize("nncf_config, batch_size, said", [
    (None, 8, "nncf_config"), ([], 8, "nncf_config"), ({}, 0, "batch size"), ({}, 1.5, "batch size"),
    ({"a": object()}, 8, "nncf_config")])
def test_bad_arguments_are_refused(nncf_config, batch_size, said):
    with pytest.raises(UserError, match=said):
        migrate(nncf_config, batch_size)
