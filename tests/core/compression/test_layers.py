"""What an nncf_config means for the layers of a small RetinaNet, and that NNCF does the same."""

import copy

import pytest
from mmcv import Config

from core.compression.layers import inspect_layers
from core.config.loading import load_data
from core.detectors.building import build_detector

FIRST = "RetinaNet/ResNet[backbone]/NNCFConv2d[conv1]/conv2d_0"
BLOCK = "RetinaNet/ResNet[backbone]/ResLayer[layer1]/BasicBlock[0]/NNCFConv2d[conv1]/conv2d_0"
MODEL = load_data("configs/detectors/retinanet_r18_small.py")["model"]


def detector(**backbone):
    model = copy.deepcopy(MODEL)
    model["backbone"].update(backbone)
    return build_detector(Config({"model": model}))


def config(*algorithms, **root):
    return {"input_info": {"sample_size": [1, 3, 64, 64]}, "compression": list(algorithms), **root}


def pruning(level=0.4, **keys):
    return {"algorithm": "filter_pruning", "params": {"pruning_target": level}, **keys}


def inspect(nncf_config, **backbone):
    return inspect_layers(detector(**backbone), nncf_config, postprocessing=False)


@pytest.fixture(scope="module")
def report():
    return inspect(config(
        {"algorithm": "quantization", "ignored_scopes": ["{re}.*bbox_head.*", "RetinaNet/ResNet[backbone]"],
         "weights": {"ignored_scopes": BLOCK.replace("layer1", "layer9")},
         "scope_overrides": {"activations": {"{re}nothing": {"mode": "asymmetric"}}},
         "initializer": {"range": [{"target_scopes": [f"{FIRST}|WEIGHT"]}, {"ignored_scopes": FIRST}]}},
        pruning(0.3, ignored_scopes=[FIRST])))


def test_scopes_are_those_of_the_traced_graph(report):
    assert FIRST in report.traced.operations and FIRST in report.traced.weighted
    assert len(report.traced.operations) > len(report.traced.weighted) > 30
    assert report.traced.frozen == ()


def test_each_pattern_has_what_it_matched(report):
    matched = {(match.path, match.pattern): match.matched for match in report.matches}
    heads = matched["compression[0].ignored_scopes", "{re}.*bbox_head.*"]
    assert heads == tuple(name for name in report.traced.operations if "bbox_head" in name) and heads
    assert matched["compression[0].initializer.range[0].target_scopes", f"{FIRST}|WEIGHT"] == (f"{FIRST}|WEIGHT",)
    assert matched["compression[1].ignored_scopes", FIRST] == (FIRST,)


def test_patterns_that_match_nothing_are_errors(report):
    said = {finding.path: finding for finding in report.findings}
    assert set(said) == {
        "compression[0].ignored_scopes", "compression[0].weights.ignored_scopes",
        "compression[0].scope_overrides.activations['{re}nothing']",
        "compression[0].initializer.range[1].ignored_scopes"}
    assert {finding.severity for finding in report.findings} == {"error"}
    beginning = said["compression[0].ignored_scopes"]
    assert beginning.value == "RetinaNet/ResNet[backbone]"
    assert "{re}^RetinaNet/ResNet\\\\[backbone\\\\]" in beginning.replacement
    assert f"Did you mean '{BLOCK.replace('layer1', 'layer')[:40]}" in said[
        "compression[0].weights.ignored_scopes"].replacement
    assert "--scopes" in said["compression[0].scope_overrides.activations['{re}nothing']"].replacement


def test_narrow_layers_lose_nothing(report):
    plan = report.pruning
    assert plan.level == 0.3
    assert {group.channels: group.removed for group in plan.groups} == {32: 8, 64: 16, 128: 32, 256: 72}
    assert plan.untouched == ()
    assert not {"interpolate", "conv2d"} & set(plan.barriers)


def test_layers_of_16_channels_at_03_lose_nothing():
    report = inspect_layers(narrow_detector(), config(pruning(0.3)), postprocessing=False)
    narrow = tuple(group for group in report.pruning.groups if group.channels == 16)
    assert report.pruning.untouched == narrow and len(narrow) == 2
    assert all("[layer1]" in layer for group in narrow for layer in group.layers)
    assert report.findings == ()


def test_a_level_that_removes_nothing_anywhere_is_an_error():
    report = inspect_layers(narrow_detector(), config(pruning(0.02)), postprocessing=False)
    finding, = report.findings
    assert finding.path == "compression[0].params.pruning_target"
    assert "multiple of 8" in finding.rule


def test_convolutions_of_standardised_weights_keep_their_channels(report):
    model = copy.deepcopy(MODEL)
    model["neck"]["conv_cfg"] = {"type": "ConvWS"}
    standardised = inspect_layers(build_detector(Config({"model": model})), config(pruning()), postprocessing=False)

    def pruned(found, *parts):
        layers = [layer for group in found.pruning.groups for layer in group.layers]
        return [layer for layer in layers if all(part in layer for part in parts)]

    assert pruned(report, "[neck]") and not pruned(standardised, "[neck]")
    assert pruned(standardised, "[layer4]", "[conv1]")
    assert [layer for layer in standardised.traced.weighted if "ConvWS2d" in layer]


def narrow_detector():
    model = copy.deepcopy(MODEL)
    model["backbone"]["base_channels"] = 16
    model["neck"]["in_channels"] = [16, 32, 64, 128]
    return build_detector(Config({"model": model}))


@pytest.mark.parametrize("params", [{"pruning_flops_target": 0.3}, {"pruning_target": 0.3, "all_weights": True}])
def test_what_is_decided_while_training_is_not_foretold(params):
    report = inspect(config({"algorithm": "filter_pruning", "params": params}))
    assert {group.removed for group in report.pruning.groups} == {None}
    assert report.findings == () and report.pruning.untouched == ()


@pytest.fixture(scope="module")
def frozen():
    return inspect(config(pruning(), {"algorithm": "quantization"},
                          {"algorithm": "knowledge_distillation", "type": "mse"}), frozen_stages=1)


def test_frozen_layers_come_with_the_scopes_to_paste(frozen):
    assert frozen.traced.frozen[:2] == (FIRST, BLOCK)
    assert len(frozen.traced.frozen) == 5
    of_pruning, of_distillation = frozen.findings
    assert of_pruning.path == "compression[0].ignored_scopes"
    assert "5 are" in of_pruning.rule
    assert f"ignored_scopes={list(frozen.traced.frozen)}" in of_pruning.replacement
    assert of_distillation.path == "compression[2].ignored_scopes"
    assert "ignored_scopes=" not in of_distillation.replacement


def test_pasted_scopes_satisfy_the_check_and_nncf(frozen):
    pasted = config(pruning(ignored_scopes=list(frozen.traced.frozen)))
    assert inspect(pasted, frozen_stages=1).findings == ()
    compress(pasted, frozen_stages=1)
    with pytest.raises(RuntimeError, match="Frozen layers are not allowed"):
        compress(config(pruning()), frozen_stages=1)


def test_the_plan_is_what_nncf_prunes():
    nncf_config = config(pruning(0.4, ignored_scopes="{re}.*layer2.*"))
    plan = inspect(nncf_config).pruning
    controller = compress(nncf_config).controller
    controller.set_pruning_rate(0.4)
    pruned = {}
    for group in controller.pruned_module_groups_info.get_all_clusters():
        mask = group.elements[0].operand.binary_filter_pruning_mask
        pruned[tuple(sorted(element.node_name for element in group.elements))] = (
            len(mask), int((mask == 0).sum()))
    assert {group.layers: (group.channels, group.removed) for group in plan.groups} == pruned


def compress(nncf_config, **backbone):
    from core.compression.wrap import compress_detector

    return compress_detector(detector(**backbone), nncf_config, data_loader=[], postprocessing=False)


@pytest.mark.parametrize("algorithm, path, said", [
    ({"algorithm": "quantization", "ignored_scopes": "{re}.*"}, "compression[0].ignored_scopes",
     "leave quantization no layer"),
    ({"algorithm": "quantization", "target_scopes": ["{re}.*relu.*"]}, "compression[0].target_scopes",
     "leave quantization no layer"),
    (pruning(ignored_scopes="{re}.*(layer|neck|convs).*"), "compression[0].params", "No convolution"),
])
def test_nothing_left_to_compress_is_an_error(algorithm, path, said):
    finding, = inspect(config(algorithm)).findings
    assert (finding.path, finding.severity) == (path, "error")
    assert said in finding.rule


def test_scopes_at_the_top_count_for_every_algorithm():
    report = inspect(config(pruning(), ignored_scopes=["{re}.*backbone.*"]), frozen_stages=1)
    assert report.findings == ()
    assert report.matches[0].path == "ignored_scopes" and report.matches[0].matched
    assert not [layer for group in report.pruning.groups for layer in group.layers if "backbone" in layer]


def test_the_config_is_not_changed():
    nncf_config = config(pruning(ignored_scopes=["a"]), {"algorithm": "quantization"}, ignored_scopes=["b"])
    before = copy.deepcopy(nncf_config)
    inspect(nncf_config)
    assert nncf_config == before


def test_postprocessing_that_cannot_be_traced_is_left_out():
    def refuse(*args, **kwargs):
        raise TypeError("not for tracing")

    built = detector()
    nncf_config = config({"algorithm": "quantization"})
    with_postprocessing = inspect_layers(built, nncf_config, postprocessing=True).traced
    built.bbox_head.get_bboxes = refuse
    assert inspect_layers(built, nncf_config, postprocessing=True).traced.weighted == with_postprocessing.weighted
