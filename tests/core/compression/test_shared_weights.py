"""Weights with several quantizers, one for each call: what is exported must be what was trained."""

import sys

import numpy as np
import onnx
import pytest
import torch

from core.checkpoint.checkpoint import save_checkpoint
from core.compression.fake_quantize import load_onnx
from core.compression.shared_weights import quantized_once
from core.compression.wrap import named_quantizers
from core.detectors.building import build_optimizer
from core.dry_run.dry_run import DryRun
from core.export.onnx import ExportOptions, export_checkpoint
from core.training.model import restore_detector
from core.training.snapshot import snapshot
from scripts.trial_configs import CLASSES, trial_config

HEADS, LEVELS = ("retina_cls", "retina_reg"), 4


@pytest.fixture
def trial(tmp_path):
    made = DryRun(trial_config("retinanet_r18_small", "int8"), CLASSES, tmp_path / "trial")
    made.build()
    made.wrap(False)
    return made


def quantizers_of(network, head):
    layer = getattr(network.get_nncf_wrapped_model().bbox_head, head)
    return [update.op for update in layer.pre_ops.values()]


def narrow_ranges(network):
    """Do to the ranges what training would: another change for each quantizer and channel."""
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for head in HEADS:
            for quantizer in quantizers_of(network, head):
                quantizer.scale.mul_(1 - 0.2 * torch.rand(quantizer.scale.shape, generator=random))


def used_weights(network):
    """Return the weight with which each head calculates, behind all of its quantizers."""
    used = {}

    def recorder(head):
        return lambda module, inputs, output: used.update({head: output.numpy().copy()})

    handles = [quantizers_of(network, head)[-1].register_forward_hook(recorder(head)) for head in HEADS]
    detector = network.get_nncf_wrapped_model()
    with torch.no_grad():
        detector.bbox_head(detector.extract_feat(torch.zeros(1, 3, 64, 64)))
    for handle in handles:
        handle.remove()
    return used


def exported_weights(path, shape):
    """Return the weights of ``shape`` in an ONNX model, quantized as its FakeQuantize operators do."""
    graph = load_onnx(path).graph
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    values.update({node.output[0]: onnx.numpy_helper.to_array(node.attribute[0].t) for node in graph.node
                   if node.op_type == "Constant"})
    for node in graph.node:
        if node.op_type == "FakeQuantize" and node.input[0] in values and values[node.input[0]].shape == shape:
            weight, low, high = (values[name].astype(np.float64) for name in node.input[:3])
            step = (high - low) / (next(item.i for item in node.attribute if item.name == "levels") - 1)
            yield np.round((np.clip(weight, low, high) - low) / step) * step + low


def test_a_weight_with_several_calls_has_one_range_and_others_their_own(trial):
    network = trial.compression.network
    for head in HEADS:
        found = quantizers_of(network, head)
        assert len(found) == LEVELS and len({id(quantizer.scale) for quantizer in found}) == 1
    backbone = [quantizer for name, quantizer in named_quantizers(trial.compression.controller)
                if "backbone" in name and name.endswith("WEIGHT")]
    assert len({id(quantizer.scale) for quantizer in backbone}) == len(backbone) > 1


def test_the_exported_weight_is_the_one_that_pytorch_calculates_with(trial, tmp_path):
    narrow_ranges(trial.compression.network)
    checkpoint = tmp_path / "int8.pth"
    save_checkpoint(snapshot(trial.config, trial.dataset, trial.compression.network, trial.compression, None),
                    checkpoint)
    used = used_weights(restore_detector(checkpoint).network.eval())
    export_checkpoint(checkpoint, tmp_path / "onnx", ExportOptions(raw_heads=True))
    for head in HEADS:
        exported = list(exported_weights(tmp_path / "onnx" / "model.onnx", used[head].shape))
        assert len(exported) == LEVELS
        for weight in exported:
            np.testing.assert_allclose(weight, used[head], atol=1e-6)


def test_an_optimizer_with_rates_of_its_own_for_parts_takes_each_range_once(trial):
    network = trial.compression.network
    settings = dict(type="SGD", lr=0.1, paramwise_cfg=dict(bias_lr_mult=2.0))
    optimizer = build_optimizer(network, settings)
    taken = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert {id(parameter) for parameter in taken} == {id(parameter) for parameter in network.parameters()}
    assert len(taken) == len(set(map(id, taken)))
    assert settings == dict(type="SGD", lr=0.1, paramwise_cfg=dict(bias_lr_mult=2.0))


@pytest.mark.parametrize("device", ["TRIAL", *(pytest.param(device, marks=pytest.mark.release) for device in (
    "CPU without the saturation fix", "GPU", "VPU"))])
def test_a_shared_weight_is_exported_behind_one_quantizer_for_every_device(device, tmp_path):
    config = trial_config("retinanet_r18_small", "int8")
    if device.startswith("CPU"):
        config.nncf_config.compression.disable_saturation_fix = True
    else:
        config.nncf_config.target_device = device
    trial = DryRun(config, CLASSES, tmp_path)
    trial.build()
    trial.wrap()
    narrow_ranges(trial.compression.network)
    trial.restore()
    used = used_weights(restore_detector(trial.checkpoint).network.eval())
    # It fails where FakeQuantize operators are too many or too few.
    spec = export_checkpoint(trial.checkpoint, trial.onnx, ExportOptions(raw_heads=True))
    assert spec.fake_quantize_nodes == trial.counts["fake_quantize"]
    for head in HEADS:
        exported = list(exported_weights(trial.onnx / "model.onnx", used[head].shape))
        assert len(exported) == LEVELS
        for weight in exported:
            # A weight halfway between two levels goes by the last bit.
            assert np.isclose(weight, used[head], atol=1e-6).mean() > 0.9999


def test_the_network_has_all_of_its_quantizers_again_after_an_export(trial):
    network = trial.compression.network
    before = [list(module.pre_ops.items()) for module in network.modules() if getattr(module, "pre_ops", None)]
    with pytest.raises(KeyError), quantized_once(network):
        assert len(quantizers_of(network, HEADS[0])) == 1
        raise KeyError
    assert before == [list(module.pre_ops.items()) for module in network.modules() if getattr(module, "pre_ops", None)]


def test_a_plain_network_is_exported_without_nncf(monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf.torch.quantization.layers", None)
    with quantized_once(torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1))):
        pass
