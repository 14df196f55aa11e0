"""Filters are pruned as far as NNCF's graph goes, and a network in which it cannot follow them is refused by name."""

import functools

import pytest
import torch

from core.base.errors import UserError
from core.compression.nncf_import import import_nncf
from core.compression.standardised import register_standardised_convolutions
from core.dry_run.dry_run import DryRun
from scripts.mmdet_configs import CLASSES, small_config


class Levels(torch.nn.Module):
    """A head that runs twice, after a convolution and after an operation that NNCF 2.0.0 does not trace."""

    def __init__(self):
        super().__init__()
        self.stem, self.shared = torch.nn.Conv2d(3, 32, 3), torch.nn.Conv2d(32, 32, 3)
        self.wide, self.last = torch.nn.Conv2d(32, 32, 3), torch.nn.Conv2d(32, 4, 1)

    def forward(self, images):
        first = torch.relu(self.stem(images))
        second = torch.relu(torch.roll(first, 1, 2))
        return [self.last(torch.relu(self.wide(self.shared(level)))) for level in (first, torch.roll(second, 1, 3))]


def test_a_layer_one_use_of_which_comes_from_an_untraced_operation_is_pruned():
    import_nncf()
    from nncf import NNCFConfig
    from nncf.torch import create_compressed_model

    torch.manual_seed(0)
    config = NNCFConfig.from_dict({
        "input_info": {"sample_size": [1, 3, 24, 24]},
        "compression": {"algorithm": "filter_pruning", "pruning_init": 0.5, "params": {"prune_first_conv": True}}})
    controller, network = create_compressed_model(Levels(), config, dump_graphs=False)
    images = torch.rand(1, 3, 24, 24)
    before = [level.detach() for level in network.eval()(images)]
    controller.prepare_for_export()
    module = network.get_nncf_wrapped_model()
    assert module.wide.weight.shape[:2] == (16, 16) and module.last.weight.shape[:2] == (4, 16)
    for level, other in zip(before, network(images)):
        assert torch.allclose(level, other, atol=1e-5)


def test_filters_of_layers_that_nncf_does_not_wrap_stay(tmp_path):
    run = DryRun(small_config("efficientnet", "pruning"), CLASSES, tmp_path)
    run.build()
    run.wrap()
    clusters = run.compression.controller.pruned_module_groups_info.get_all_clusters()
    scopes = [str(module.module_scope) for cluster in clusters for module in cluster.elements]
    assert run.counts["pruned_filters"] > 1000
    assert scopes and not [scope for scope in scopes if "Conv2dAdaptivePadding" in scope]


def test_a_network_whose_filters_cannot_be_followed_is_refused_by_name(tmp_path, monkeypatch):
    import_nncf()
    from nncf.common.pruning.pruning_node_selector import PruningNodeSelector

    register_standardised_convolutions()
    # Filters of layers without a hook for them are asked for again.
    original = PruningNodeSelector._is_module_prunable.__wrapped__
    monkeypatch.setattr(PruningNodeSelector, "_is_module_prunable", functools.wraps(original)(
        lambda *asked: original(*asked)))
    run = DryRun(small_config("efficientnet", "pruning"), CLASSES, tmp_path)
    run.build()
    with pytest.raises(UserError, match="filter_pruning: RetinaNet and EfficientNet. NNCF 2.0.0 cannot follow pruned"):
        run.wrap()


@pytest.mark.parametrize("params, said", [
    ({"pruning_flops_target": 0.97}, "Can't prune the model to get the required pruning rate in flops"),
    ({"pruning_target": 0.4, "pruning_flops_target": 0.4}, "Only one parameter from")])
def test_what_nncf_refuses_of_the_parameters_is_said_in_its_words(tmp_path, params, said):
    config = small_config("retinanet", "pruning")
    algorithm = config.nncf_config.compression[0]
    algorithm.params, algorithm.pruning_init = params, 0.97
    run = DryRun(config, CLASSES, tmp_path)
    run.build()
    with pytest.raises(UserError, match=f"filter_pruning: .*{said}.* NNCF 2.0.0 refuses it"):
        run.wrap()


class Depthwise(torch.nn.Module):
    """A depthwise convolution that runs twice, each time behind an operation that is not traced."""

    def __init__(self):
        super().__init__()
        self.stem, self.last = torch.nn.Conv2d(3, 32, 3), torch.nn.Conv2d(32, 4, 1)
        self.depthwise = torch.nn.Conv2d(32, 32, 3, groups=32)

    def forward(self, images):
        found = torch.relu(self.stem(images))
        return [self.last(self.depthwise(torch.roll(found, shift, 2))) for shift in (1, 2)]


def test_a_depthwise_layer_of_untraced_sources_is_left_as_it_is():
    import_nncf()
    from nncf import NNCFConfig
    from nncf.torch import create_compressed_model

    config = NNCFConfig.from_dict({"input_info": {"sample_size": [1, 3, 24, 24]},
                                   "compression": {"algorithm": "filter_pruning", "pruning_init": 0.5}})
    _, network = create_compressed_model(Depthwise(), config, dump_graphs=False)
    assert len(network(torch.rand(1, 3, 24, 24))) == 2


@pytest.mark.parametrize("folder", ["swin", "tood", "libra_rcnn"])
def test_networks_with_untraced_parts_are_pruned(tmp_path, folder):
    run = DryRun(small_config(folder, "pruning"), CLASSES, tmp_path)
    run.build()
    run.wrap()
    assert run.counts["pruned_filters"] > 0.3 * run.counts["filters"]
