"""A checkpoint's nncf_config and the given one: what differs, and which of it matters."""

import copy
import logging

import pytest

from core.base.errors import UserError
from core.compression.config_check.finding import ABSENT
from core.compression.differences import Difference, compare_nncf_configs, require_same

SAVED = {
    "input_info": {"sample_size": [1, 3, 192, 256]},
    "compression": [
        {"algorithm": "filter_pruning", "params": {"pruning_target": 0.4}, "ignored_scopes": ["a", "b"]},
        {"algorithm": "quantization",
         "initializer": {"range": {"num_init_samples": 256, "type": "min_max"},
                         "batchnorm_adaptation": {"num_bn_adaptation_samples": 512}},
         "weights": {"bits": 8}, "scope_overrides": {"activations": {"{re}.*": {"mode": "symmetric"}}}}],
    "log_dir": "here"}


def changed(*path, value=None, remove=False):
    """Return SAVED with one value changed or removed."""
    config = copy.deepcopy(SAVED)
    node = config
    for key in path[:-1]:
        node = node[key]
    if remove:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return config


def test_the_same_has_no_difference():
    assert compare_nncf_configs(SAVED, copy.deepcopy(SAVED)) == []
    require_same(SAVED, copy.deepcopy(SAVED))


@pytest.mark.parametrize("given, path, saved, now", [
    (changed("log_dir", value="there"), "log_dir", "here", "there"),
    (changed("log_dir", remove=True), "log_dir", "here", ABSENT),
    (changed("compression", 1, "initializer", "range", "num_init_samples", value=8),
     "compression[quantization].initializer.range.num_init_samples", 256, 8),
    (changed("compression", 1, "initializer", "batchnorm_adaptation", remove=True),
     "compression[quantization].initializer.batchnorm_adaptation.num_bn_adaptation_samples", 512, ABSENT)])
def test_harmless_differences_pass_and_are_logged(caplog, given, path, saved, now):
    assert compare_nncf_configs(SAVED, given) == [Difference(path, saved, now, harmless=True)]
    with caplog.at_level(logging.INFO):
        require_same(SAVED, given)
    assert path in caplog.text and "(harmless)" in caplog.text


@pytest.mark.parametrize("given, path, saved, now", [
    (changed("input_info", "sample_size", value=[1, 3, 96, 96]), "input_info.sample_size", [1, 3, 192, 256],
     [1, 3, 96, 96]),
    (changed("compression", 0, "params", "pruning_target", value=0.3),
     "compression[filter_pruning].params.pruning_target", 0.4, 0.3),
    (changed("compression", 0, "ignored_scopes", value=["a"]), "compression[filter_pruning].ignored_scopes",
     ["a", "b"], ["a"]),
    (changed("compression", 1, "weights", "bits", value=4), "compression[quantization].weights.bits", 8, 4),
    (changed("compression", 1, "weights", remove=True), "compression[quantization].weights.bits", 8, ABSENT),
    (changed("compression", 1, "initializer", "range", "type", value="percentile"),
     "compression[quantization].initializer.range.type", "min_max", "percentile"),
    (changed("compression", 1, "scope_overrides", "activations", "{re}.*", "mode", value="asymmetric"),
     "compression[quantization].scope_overrides.activations['{re}.*'].mode", "symmetric", "asymmetric"),
    (changed("target_device", value="CPU"), "target_device", ABSENT, "CPU")])
def test_other_differences_stop_with_both_values(given, path, saved, now):
    assert compare_nncf_configs(SAVED, given) == [Difference(path, saved, now, harmless=False)]
    with pytest.raises(UserError) as caught:
        require_same(SAVED, given)
    message = str(caught.value)
    assert "1 key differs" in message
    assert f"{path}: the checkpoint has {saved!r}, now it is {now!r}" in message
    assert "compress the plain checkpoint again" in message


def test_every_key_is_listed_and_harmless_ones_are_not():
    given = changed("compression", 1, "weights", "bits", value=4)
    given["log_dir"] = "there"
    given["compression"][0]["params"]["pruning_target"] = 0.3
    with pytest.raises(UserError, match="2 keys differ") as caught:
        require_same(SAVED, given)
    assert "log_dir" not in str(caught.value)
    assert "pruning_target: the checkpoint has 0.4, now it is 0.3" in str(caught.value)


def test_another_list_of_algorithms_differs():
    differences = compare_nncf_configs(SAVED, changed("compression", 0, remove=True))
    assert differences[0] == Difference("compression", ["filter_pruning", "quantization"], ["quantization"], False)
    assert {difference.path for difference in differences[1:]} == {
        "compression[filter_pruning].params.pruning_target", "compression[filter_pruning].ignored_scopes"}


@pytest.mark.parametrize("saved, given", [
    ({"compression": {"algorithm": "quantization"}}, {"compression": [{"algorithm": "quantization"}]}),
    ({"compression": [{"algorithm": "a"}, {"algorithm": "b"}]}, {"compression": [{"algorithm": "b"},
                                                                               {"algorithm": "a"}]}),
    ({"input_info": {"sample_size": (1, 3, 8, 8)}}, {"input_info": {"sample_size": [1, 3, 8, 8]}}),
    ({"ignored_scopes": "a"}, {"ignored_scopes": ["a"]}),
    ({"ignored_scopes": ["b", "a"]}, {"ignored_scopes": ["a", "b"]}),
    ({"compression": {"algorithm": "quantization", "initializer": {"range": {}}}},
     {"compression": {"algorithm": "quantization"}})])
def test_other_ways_of_writing_are_no_difference(saved, given):
    assert compare_nncf_configs(saved, given) == []


def test_counts_in_a_list_of_ranges_are_harmless():
    def config(samples, kind):
        items = [{"num_init_samples": samples, "type": kind, "target_scopes": ["a"]}]
        return {"compression": {"algorithm": "quantization", "initializer": {"range": items}}}

    path = "compression[quantization].initializer.range[0]"
    assert compare_nncf_configs(config(8, "min_max"), config(9, "percentile")) == [
        Difference(f"{path}.num_init_samples", 8, 9, True), Difference(f"{path}.type", "min_max", "percentile", False)]
