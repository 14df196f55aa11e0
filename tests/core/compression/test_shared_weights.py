"""Weights with several quantizers, one for each call: what is exported must be what was trained."""

import pytest

pytest.importorskip("mmdet", reason="needs the train environment")
pytest.importorskip("nncf", reason="needs NNCF")

import numpy as np
import onnx
import torch

from core.checkpoint.checkpoint import save_checkpoint
from core.compression.matrix import Trial, trial_config
from core.compression.wrap import named_quantizers
from core.detectors.building import build_optimizer
from core.export.fake_quantize import load_onnx
from core.export.onnx import ExportOptions, export_checkpoint
from core.training.model import restore_detector
from core.training.snapshot import snapshot

HEADS, LEVELS = ("retina_cls", "retina_reg"), 4


@pytest.fixture
def trial(tmp_path):
    made = Trial(trial_config("retinanet_r18_small", "int8"), tmp_path / "trial")
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
