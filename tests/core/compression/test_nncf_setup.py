"""What NNCF would raise while it wraps or trains a detector is said by check, and what check lets pass NNCF wraps."""

import copy

import pytest
import torch

from core.compression.layers import inspect_layers
from core.compression.wrap import compress_detector
from core.detectors.graph import image_metas
from tests.core.detectors.tiny import build, single_stage

EVERYTHING = "{re}.*"
HEADS = "{re}.*bbox_head.*"


class Batches(list):
    batch_size = 2


def config(**quantization):
    return {"input_info": {"sample_size": [1, 3, 32, 32]}, "compression": {"algorithm": "quantization", **quantization}}


def ranges(*items, **quantization):
    return config(initializer={"range": [{"num_init_samples": 2, **item} for item in items],
                               "batchnorm_adaptation": {"num_bn_adaptation_samples": 0}}, **quantization)


def detector():
    """Return a RetinaNet of two levels on half a ResNet-18: each operation takes its time to trace."""
    model = single_stage("RetinaHead")
    model["backbone"].update(num_stages=2, strides=(1, 2), dilations=(1, 1), out_indices=(0, 1))
    model["neck"].update(in_channels=[16, 32], start_level=0, num_outs=2)
    model["bbox_head"]["anchor_generator"].update(strides=[4, 8])
    return build(model)


def inspected(nncf_config):
    return inspect_layers(detector(), nncf_config, postprocessing=False).findings


def wrapped(nncf_config, folder):
    image = torch.randn(2, 3, 32, 32)
    batch = {"img": image, "img_metas": image_metas(image)}
    return compress_detector(detector(), {**copy.deepcopy(nncf_config), "log_dir": str(folder)},
                             Batches([batch]), postprocessing=False)


REFUSED = {
    "an activation uncovered": (ranges({"target_scopes": [HEADS]}), "compression.initializer.range", "have none"),
    "weights alone": (ranges({"target_scopes": [EVERYTHING], "target_quantizer_group": "weights"}),
                      "compression.initializer.range", "have none"),
    "some covered twice": (ranges({"target_scopes": [EVERYTHING]}, {"target_scopes": [HEADS]}),
                           "compression.initializer.range", "have several"),
    "bits nowhere": (config(initializer={"precision": {"type": "manual", "bitwidth_per_scope": [[8, "no_such_layer"]]},
                                         "range": {"num_init_samples": 2}, "batchnorm_adaptation": {
                                             "num_bn_adaptation_samples": 0}}),
                     "compression.initializer.precision.bitwidth_per_scope[0]", "No quantizer"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_nncf_refuses_is_said_before(name, tmp_path):
    nncf_config, path, told = REFUSED[name]
    (finding,) = inspected(nncf_config)
    assert finding.path == path
    assert told in finding.rule
    with pytest.raises((ValueError, RuntimeError)):
        wrapped(nncf_config, tmp_path)


@pytest.mark.parametrize("items", [
    [{"target_scopes": [HEADS]}, {"ignored_scopes": [HEADS]}],
    [{"target_scopes": [EVERYTHING], "target_quantizer_group": group} for group in ("weights", "activations")]])
def test_what_covers_all_passes_and_is_wrapped(items, tmp_path):
    assert not inspected(ranges(*items))
    wrapped(ranges(*items), tmp_path)


def test_constraints_that_leave_a_layer_no_quantizer_are_said():
    found = inspected(config(scope_overrides={"activations": {HEADS: {"bits": 4}}}))
    assert [finding.path for finding in found] == ["compression.scope_overrides"]
    assert "incompatible" in found[0].rule


def flops(target):
    return {"input_info": {"sample_size": [1, 3, 32, 32]},
            "compression": {"algorithm": "filter_pruning", "params": {"pruning_flops_target": target}}}


@pytest.mark.parametrize("across", [False, True])
def test_a_share_of_flops_that_cannot_be_reached_is_said(across):
    for target, paths in ((0.2, []), (0.97, ["compression.params.pruning_flops_target"])):
        nncf_config = flops(target)
        nncf_config["compression"]["params"]["all_weights"] = across
        assert [finding.path for finding in inspected(nncf_config)] == paths


def test_ranking_coefficients_of_other_layers_are_said(tmp_path):
    path = tmp_path / "coefficients.json"
    # NNCF reads them only where it prunes to a share of FLOPs.
    params = {"pruning_flops_target": 0.2, "interlayer_ranking_type": "learned_ranking",
              "load_ranking_coeffs_path": str(path)}
    nncf_config = {"input_info": {"sample_size": [1, 3, 32, 32]},
                   "compression": {"algorithm": "filter_pruning", "params": params}}
    for text in (None, "{", '{"other": [1, 0]}'):
        if text is not None:
            path.write_text(text)
        found = inspected(nncf_config)
        assert [finding.path for finding in found] == ["compression.params.load_ranking_coeffs_path"], text
