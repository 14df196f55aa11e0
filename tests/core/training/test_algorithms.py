"""Pruning, sparsity and distillation through the training loop: what the masks hold, and what reaches ONNX."""

import json
import math

import pytest
import torch

from core.base.errors import UserError
from core.checkpoint.checkpoint import load_checkpoint
from core.compression.statistics import measure_compression
from core.compression.structure import structure_of_onnx
from core.config.adapt import plain_config
from core.export.onnx import export_checkpoint
from core.training.fit import fit
from core.training.model import build_detector, load_plain_weights, restore_detector
from core.training.samples import train_loader

FEW_SAMPLES = {"batchnorm_adaptation": {"num_bn_adaptation_samples": 8}}
QUANTIZATION = {"algorithm": "quantization", "initializer": {**FEW_SAMPLES, "range": {"num_init_samples": 8}}}
MASK = "_binary_filter_pruning_mask"


def pruning(**params):
    return {"algorithm": "filter_pruning", "initializer": FEW_SAMPLES, "params": {"schedule": "baseline", **params}}


@pytest.fixture
def config(tiny_config):
    """Return a function that gives the tiny config with these algorithms; an epoch is one iteration."""
    def make(*algorithms, epochs=1):
        loaded = tiny_config(**{"runner.max_epochs": epochs, "data.samples_per_gpu": 16,
                                "evaluation.interval": epochs})
        loaded.nncf_config.compression = list(algorithms)
        return loaded

    return make


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("algorithms")


@pytest.fixture
def plain(folder, config, tiny_data):
    """A checkpoint of the plain detector, made once."""
    return train(plain_config(config()), tiny_data, folder, "plain")


@pytest.fixture
def plain_counts(folder, plain):
    """The structure of the plain detector's ONNX."""
    if not (folder / "onnx").exists():
        export(plain, folder / "onnx")
    return structure_of_onnx(folder / "onnx" / "model.onnx")


@pytest.fixture
def pruned_int8(folder, config, tiny_data, plain):
    """A checkpoint with 40 % of the filters pruned and 8 bits, made once."""
    return train(config(pruning(pruning_target=0.4), QUANTIZATION), tiny_data, folder, "pruned_int8", plain)


def train(config, data, folder, name, parent=None):
    path = folder / f"{name}.pth"
    if not path.exists():
        fit(config, data, path, folder / f"{name}.log", folder / f"work-{name}", parent=parent)
    return path


def export(checkpoint, directory):
    export_checkpoint(checkpoint, directory)
    return directory / "model.onnx"


def masks_of(path):
    return {name: mask for name, mask in load_checkpoint(path).state_dict.items() if name.endswith(MASK)}


def expected_left(channels, level):
    """NNCF's promise: what is left of a layer is rounded up to a multiple of 8."""
    return min(channels, math.ceil(round(channels * (1 - level), 6) / 8) * 8)


def head_outputs(restored):
    image = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    detector = restored.detector
    with torch.no_grad():
        return [level for kind in detector.bbox_head(detector.extract_feat(image)) for level in kind]


@pytest.mark.parametrize("schedule, epochs, importance", [
    ("baseline", 1, "geometric_median"), pytest.param("exponential", 3, "L2", marks=pytest.mark.release),
    pytest.param("exponential_with_bias", 4, "L1", marks=pytest.mark.release)])
def test_pruning_to_a_level(config, tiny_data, plain, plain_counts, tmp_path, schedule, epochs, importance):
    params = {"schedule": schedule, "filter_importance": importance, "pruning_target": 0.4}
    if schedule != "baseline":
        params["pruning_steps"] = epochs - 1
    pruned = train(config(pruning(**params), epochs=epochs), tiny_data, tmp_path, "pruned", plain)

    masks, state = masks_of(pruned), load_checkpoint(pruned).state_dict
    assert masks
    for name, mask in masks.items():
        assert int(mask.sum()) == expected_left(len(mask), 0.4), name
        weight = state[name.partition("pre_ops")[0] + "weight"]
        assert not weight[mask == 0].any(), "the saved weights are those of the pruned model"
    after = structure_of_onnx(export(pruned, tmp_path / "onnx"))
    # Per layer that is pruned once; a head's mask is listed for each of the four levels on which the head runs.
    removed = sum(int((mask == 0).sum()) for mask in masks.values())
    assert plain_counts.channels - after.channels == removed
    assert after.nonzero > 0.99 * after.parameters


def test_pruning_to_a_share_of_the_flops(config, tiny_data, plain, plain_counts, tmp_path):
    pruned = train(config(pruning(pruning_flops_target=0.2, filter_importance="L2")), tiny_data, tmp_path, "p", plain)
    after = structure_of_onnx(export(pruned, tmp_path / "onnx"))
    assert 0.2 <= 1 - after.flops / plain_counts.flops < 0.3


def test_pruning_with_8_bits_leaves_zeros_for_the_model_optimizer(pruned_int8, plain_counts, tmp_path):
    counts = structure_of_onnx(export(pruned_int8, tmp_path / "onnx"))
    assert counts.channels == plain_counts.channels
    assert counts.nonzero < 0.95 * counts.parameters


def test_a_pruned_model_is_restored_to_identical_outputs(pruned_int8):
    first, second = (head_outputs(restore_detector(pruned_int8)) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second))
    state, restored = load_checkpoint(pruned_int8).state_dict, restore_detector(pruned_int8).network.state_dict()
    assert all(torch.equal(value, restored[name]) for name, value in state.items())


def test_training_on_keeps_the_masks(config, tiny_data, pruned_int8, tmp_path):
    further = train(config(pruning(pruning_target=0.4), QUANTIZATION), tiny_data, tmp_path, "further", pruned_int8)
    before, after = masks_of(pruned_int8), masks_of(further)
    assert before and all(torch.equal(mask, after[name]) for name, mask in before.items())


def test_statistics_count_the_masks(pruned_int8):
    statistics = measure_compression(restore_detector(pruned_int8).compression.controller)
    # A head that runs on several levels has a mask for each.
    layers = {name.partition("pre_ops")[0]: len(mask) for name, mask in masks_of(pruned_int8).items()}.values()
    pruned = sum(channels - expected_left(channels, 0.4) for channels in layers)
    assert (statistics.filters, statistics.pruned_filters) == (sum(layers), pruned)
    assert statistics.quantizers > 0


def test_sparsity_reaches_its_level(config, tiny_data, plain, tmp_path):
    sparsity = {"algorithm": "magnitude_sparsity", "initializer": FEW_SAMPLES, "sparsity_init": 0.1,
                "params": {"schedule": "polynomial", "sparsity_target": 0.5, "sparsity_target_epoch": 1,
                           "sparsity_freeze_epoch": 2}}
    sparse = train(config(sparsity, epochs=2), tiny_data, tmp_path, "sparse", plain)
    controller = restore_detector(sparse).compression.controller
    masks = [layer.operand.binary_mask for layer in controller.sparsified_module_info]
    # NNCF counts the head once for each level that it runs on, we count weights.
    level = 1 - sum(float(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)
    assert level == pytest.approx(0.5, abs=1e-3)
    statistics = measure_compression(controller)
    counts = structure_of_onnx(export(sparse, tmp_path / "onnx"))
    assert counts.parameters == statistics.weights
    assert counts.parameters - counts.nonzero == statistics.zero_weights


def test_distillation_compares_the_raw_heads_with_the_plain_model(config, tiny_data, plain, tmp_path):
    from core.compression.wrap import compress_detector

    settings = config(QUANTIZATION, {"algorithm": "knowledge_distillation", "type": "mse"})
    loader = train_loader(settings, tiny_data, 0)
    student, teacher = (build_detector(settings) for _ in range(2))
    for detector in (student, teacher):
        load_plain_weights(detector, load_checkpoint(plain), plain)
    compressed = compress_detector(student, settings.nncf_config.to_dict(), data_loader=loader)
    seen = []
    student.bbox_head.register_forward_hook(lambda head, inputs, outputs: seen.append(outputs))
    batch = {key: value.data[0] for key, value in next(iter(loader)).items()}
    compressed.network.train()
    outputs = compressed.network.train_step(batch, None)

    with torch.no_grad():
        taught = teacher.train().bbox_head(teacher.extract_feat(batch["img"]))
    expected = sum(torch.nn.functional.mse_loss(torch.Tensor.as_subclass(own, torch.Tensor), other)
                   for kind in range(2) for own, other in zip(seen[-1][kind], taught[kind]))
    logged = outputs["log_vars"]
    assert logged["loss_compression"] == pytest.approx(float(expected), rel=5e-3)
    assert float(expected) > 0
    detection = logged["loss_cls"] + logged["loss_bbox"]
    assert float(outputs["loss"]) == pytest.approx(detection + logged["loss_compression"], rel=1e-5)
    outputs["loss"].backward()
    assert student.backbone.conv1.weight.grad is not None
    assert all(parameter.grad is None for parameter in compressed.network._kd_loss_handler.parameters())


def test_distillation_beside_pruning_trains_saves_and_restores_its_teacher(config, tiny_data, plain, tmp_path):
    path = train(config(pruning(pruning_target=0.4), {"algorithm": "knowledge_distillation", "type": "mse"}),
                 tiny_data, tmp_path, "distilled", plain)
    lines = [json.loads(line) for line in (tmp_path / "distilled.log").read_text().splitlines()]
    assert all(line["loss_compression"] > 0 for line in lines if line["mode"] == "train")
    state, given = load_checkpoint(path).state_dict, load_checkpoint(plain).state_dict
    assert all(torch.equal(state[f"_kd_loss_handler._kd_original_model.detector.{name}"], given[name])
               for name, _ in build_detector(plain_config(config())).named_parameters())
    restored = restore_detector(path).network.state_dict()
    assert all(torch.equal(value, restored[name]) for name, value in state.items())


def test_distillation_with_the_loss_of_classifiers_is_refused(config, tiny_data, plain, tmp_path):
    settings = config(QUANTIZATION, {"algorithm": "knowledge_distillation", "type": "softmax"})
    with pytest.raises(UserError, match="Write type='mse'"):
        train(settings, tiny_data, tmp_path, "refused", plain)


def test_two_stage_detectors_are_not_distilled():
    from core.compression.distillation import require_distillable

    class TwoStage:
        roi_head = bbox_head = None

    with pytest.raises(UserError, match="TwoStage"):
        require_distillable(TwoStage(), {"compression": {"algorithm": "knowledge_distillation", "type": "mse"}})


def test_a_real_trial_of_the_pruning_search_is_scored_and_recorded(config, tiny_data, plain, tmp_path, monkeypatch):
    from core.training.pruning_search import FineTuning, SearchPlan, search_pruning_level

    tuning = FineTuning(config(pruning(pruning_target=0.4)), tiny_data, plain, tmp_path)
    # One epoch finds nothing on any image, so the baseline is made up.
    plan = SearchPlan(0.001, 0.01, 1, 0.5, tuning.identity())
    result = search_pruning_level(tuning, plan, tmp_path / "trials.jsonl")
    assert result.best.level == 0.5
    assert all(int(mask.sum()) == expected_left(len(mask), 0.5) for mask in masks_of(result.best.checkpoint).values())
    monkeypatch.setattr("core.training.fit.fit", None)
    assert search_pruning_level(tuning, plan, tmp_path / "trials.jsonl") == result
    assert 0 <= tuning.baseline_map() <= 1
