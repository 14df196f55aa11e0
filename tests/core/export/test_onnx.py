"""What is exported from a checkpoint, proven by running it in OpenVINO: shapes, bytes, operators, results."""

import dataclasses
import json
import os
import subprocess

import numpy as np
import pytest
import torch

from core.base.errors import UserError
from core.checkpoint.checkpoint import save_checkpoint
from core.compression.fake_quantize import count_distinct_in_onnx, load_onnx
from core.compression.structure import structure_of_onnx as structure_of
from core.detectors.building import build_detector
from core.detectors.registry import find_adapter
from core.dry_run.dry_run import REPOSITORY, DryRun, find_openvino_python
from core.dry_run.trials import enable_zero_branches
from core.export.dynamic_shape import check_dynamic_shape
from core.export.onnx import ExportOptions, export_checkpoint, write_onnx
from core.training.model import restore_detector
from core.training.snapshot import snapshot
from scripts.trial_configs import CLASSES, trial_config
from tests.core.detectors.comparing import detected, overlaps, run_onnx

DETECTOR = "retinanet_r18_small"
SIZE, OTHER_SIZE = (64, 64), (96, 160)
# Folder to what is exported: checkpoint and options.
EXPORTS = {"plain": ("plain", ExportOptions()), "dynamic": ("plain", ExportOptions(dynamic_shape=True)),
           "raw": ("plain", ExportOptions(raw_heads=True)), "pruned": ("pruned", ExportOptions()),
           "int8_pruned": ("int8_pruned", ExportOptions())}
CONVERT_ALL = """
import dataclasses, json, sys
from pathlib import Path
import numpy as np
from core.openvino.ir import convert_to_ir
from core.openvino.runtime import Hint, compile_model, read_ir
root, images, said = Path(sys.argv[1]), np.load(sys.argv[1] + "/images.npz"), {}
for folder in sorted((root / "onnx").iterdir()):
    said[folder.name] = dataclasses.asdict(convert_to_ir(folder, root / "ir" / folder.name))
    model, spec = read_ir(root / "ir" / folder.name)
    compiled = compile_model(model, Hint.LATENCY)
    for name in images.files[:2 if spec.dynamic else 1]:
        found = compiled(images[name])
        np.savez(root / f"{folder.name}_{name}.npz", **{port.any_name: value for port, value in found.items()})
print(json.dumps(said))
"""


@dataclasses.dataclass
class Exported:
    """Everything that was made: folders by name, what OpenVINO said of each, and the images that were run."""

    root: object
    said: dict
    images: dict

    def graph(self, name):
        return load_onnx(self.root / "onnx" / name / "model.onnx").graph

    def found(self, name, image):
        with np.load(self.root / f"{name}_{image}.npz") as arrays:
            return dict(arrays)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Export and convert all of EXPORTS, random weights, in one process of each environment."""
    python = find_openvino_python()
    if python is None:
        pytest.skip("needs the openvino environment")
    root = tmp_path_factory.mktemp("exports")
    for name, algorithm in (("plain", "int8"), ("pruned", "pruning"), ("int8_pruned", "int8_pruning")):
        config = trial_config(DETECTOR, algorithm)
        if name == "plain":
            config.pop("nncf_config")
            torch.manual_seed(0)
            detector = build_detector(config)
            detector.CLASSES = ("one", "two", "three")
            detector.init_weights()
            enable_zero_branches(detector)
            # Scores that differ, so that suppression has an order.
            detector.bbox_head.retina_cls.weight.data.normal_(std=0.1)
            dataset = type("Named", (), {"classes": detector.CLASSES})
            save_checkpoint(snapshot(config, dataset, detector, None, None), root / "plain.pth")
        else:
            trial = DryRun(config, CLASSES, root / name)
            trial.build()
            trial.wrap(False)
            save_checkpoint(snapshot(config, trial.dataset, trial.compression.network, trial.compression, None),
                            root / f"{name}.pth")
    for name, (checkpoint, options) in EXPORTS.items():
        export_checkpoint(root / f"{checkpoint}.pth", root / "onnx" / name, options)
    random = np.random.default_rng(0)
    images = {name: random.integers(0, 256, (1, 3, *size)).astype(np.float32)
              for name, size in (("trained", SIZE), ("other", OTHER_SIZE))}
    np.savez(root / "images.npz", **images)
    done = subprocess.run([str(python), "-c", CONVERT_ALL, str(root)], cwd=str(REPOSITORY), capture_output=True,
                          text=True, env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    assert done.returncode == 0, done.stderr[-2000:]
    return Exported(root, json.loads(done.stdout.splitlines()[-1]), images)


def restored_with_input(exported, image):
    """Return PyTorch's detector and a raw BGR image as its test pipeline normalises it."""
    restored = restore_detector(exported.root / "plain.pth")
    norm = next(step for step in restored.config.data.test.pipeline[-1].transforms if step["type"] == "Normalize")
    mean, std = (np.float32(norm[key]).reshape(1, 3, 1, 1) for key in ("mean", "std"))
    pixels = exported.images[image]
    return restored.detector, torch.from_numpy(((pixels[:, ::-1] if norm["to_rgb"] else pixels) - mean) / std)


@pytest.mark.parametrize("algorithm, size", [("int8", (160, 96)), ("int8_sparsity", SIZE)])
def test_every_quantizer_is_exported_at_any_size_and_beside_any_algorithm(tmp_path, algorithm, size):
    """NNCF knows the operators of sample_size and of its own algorithm's graph; the export has others."""
    config = trial_config(DETECTOR, algorithm)
    trial = DryRun(config, CLASSES, tmp_path)
    trial.build()
    trial.wrap(False)
    config.data.test.pipeline[-1]["img_scale"] = size[::-1]
    save_checkpoint(snapshot(config, trial.dataset, trial.compression.network, trial.compression, None),
                    tmp_path / "int8.pth")
    spec = export_checkpoint(tmp_path / "int8.pth", tmp_path / "onnx", ExportOptions(raw_heads=True))
    assert (spec.input_height, spec.input_width) == size
    assert spec.fake_quantize_nodes == 107


@pytest.mark.parametrize("name, image", [("plain", "trained"), ("dynamic", "trained"), ("dynamic", "other")])
def test_openvino_finds_what_pytorch_finds_at_every_size(exported, name, image):
    rows, labels = detected(*restored_with_input(exported, image))
    found = exported.found(name, image)
    real = found["boxes"][0][:, 4] > 0
    theirs, their_labels = found["boxes"][0][real], found["labels"][0][real]
    best = np.argsort(-rows[:, 4], kind="stable")[:len(theirs)]
    rows, labels = rows[best], labels[best]
    assert len(rows) == len(theirs) >= 5
    same = (overlaps(rows, theirs) > 0.99) & (labels[:, None] == their_labels[None]) & (
        abs(rows[:, None, 4] - theirs[None, :, 4]) < 1e-3)
    assert same.any(axis=1).mean() > 0.9


def test_raw_heads_are_what_the_head_returns(exported):
    detector, image = restored_with_input(exported, "trained")
    forward, names = find_adapter(detector).raw_forward(detector)
    with torch.no_grad():
        expected = dict(zip(names, (value.numpy() for value in forward(image))))
    found = exported.found("raw", "trained")
    assert sorted(expected) == sorted(found) == sorted(
        f"{kind}_{level}" for kind in ("cls_scores", "bbox_preds") for level in range(4))
    for name in expected:
        assert found[name] == pytest.approx(expected[name], abs=1e-4)
    kinds = {node.op_type for node in exported.graph("raw").node}
    assert "NonMaxSuppression" not in kinds and "NonMaxSuppression" in {
        node.op_type for node in exported.graph("plain").node}


def test_input_is_fixed_unless_asked_otherwise(exported):
    def sides(name):
        (image,) = [value for value in exported.graph(name).input if value.name == "image"]
        return [dimension.dim_value for dimension in image.type.tensor_type.shape.dim]

    assert (sides("plain"), sides("dynamic")) == ([1, 3, *SIZE], [1, 3, 0, 0])


def test_pruned_channels_are_gone_from_onnx_and_ir(exported):
    plain, pruned = (structure_of(exported.root / "onnx" / name / "model.onnx") for name in ("plain", "pruned"))
    assert len(plain.layers) == len(pruned.layers)
    smaller = [new for old, new in zip(plain.layers, pruned.layers) if new.out_channels < old.out_channels]
    assert len(smaller) >= 10 and pruned.parameters < 0.8 * plain.parameters
    assert pruned.nonzero == pytest.approx(pruned.parameters, rel=0.01)
    onnx_bytes = [(exported.root / "onnx" / name / "model.onnx").stat().st_size for name in ("plain", "pruned")]
    assert onnx_bytes[1] < 0.85 * onnx_bytes[0]
    assert exported.said["pruned"]["weights_mb"] < 0.85 * exported.said["plain"]["weights_mb"]
    assert exported.said["pruned"]["channels"] < exported.said["plain"]["channels"]


def test_zeros_stay_in_the_onnx_and_leave_the_ir_beside_8_bits(exported):
    plain, kept = (structure_of(exported.root / "onnx" / name / "model.onnx") for name in ("plain", "int8_pruned"))
    assert kept.channels == plain.channels and kept.nonzero < 0.9 * kept.parameters
    said = exported.said["int8_pruned"]
    assert said["channels"] < said["channels_before"]
    assert said["weights_mb"] < 0.85 * said["weights_mb_before"]
    assert said["weights_mb"] < 0.3 * exported.said["plain"]["weights_mb"]


def test_every_fake_quantize_of_pytorch_is_in_onnx_and_ir(exported):
    said, spec = exported.said["int8_pruned"], json.loads(
        (exported.root / "onnx" / "int8_pruned" / "spec.json").read_text())
    nodes = [node for node in exported.graph("int8_pruned").node if node.op_type == "FakeQuantize"]
    assert spec["fake_quantize_nodes"] == len(nodes) > 50
    # OpenVINO may merge those that repeat another one, as of a weight that all levels share.
    kept = said["fake_quantize_nodes"] + said["int8_weights"]
    assert count_distinct_in_onnx(exported.graph("int8_pruned")) <= kept <= len(nodes)
    assert [exported.said[name]["fake_quantize_nodes"] for name in ("plain", "pruned")] == [0, 0]


def test_a_graph_that_depends_on_the_size_is_refused(exported, tmp_path, monkeypatch):
    from core.detectors import dense

    original = dense.suppress

    def bake_in(candidates, *arguments):
        boxes, labels = original(candidates, *arguments)
        return boxes * torch.tensor(float(int(candidates.shape[1]) / 64)), labels

    monkeypatch.setattr(dense, "suppress", bake_in)
    with pytest.raises(UserError) as caught:
        export_checkpoint(exported.root / "plain.pth", tmp_path / "onnx", ExportOptions(dynamic_shape=True))
    assert (caught.value.thing, caught.value.value) == ("--dynamic-shape", "RetinaNet")
    assert "depends on the size of the input in 1 places" in caught.value.rule


def test_options_that_cannot_be_met_are_refused_before_anything_is_exported():
    with pytest.raises(UserError, match="--dynamic-shape: quantization with filter pruning"):
        check_dynamic_shape(True, ("quantization", "filter_pruning"))
    check_dynamic_shape(False, ("quantization", "filter_pruning"))
    for algorithms in (("quantization",), ("filter_pruning",), ("quantization", "magnitude_sparsity"), ()):
        check_dynamic_shape(True, algorithms)
    with pytest.raises(UserError, match="--raw-heads: FasterRCNN. Its second stage reads proposals"):
        detector = build_detector(trial_config("faster_rcnn_r50", "int8"))
        find_adapter(detector).raw_forward(detector)


class Attending(torch.nn.Module):
    """Attention of an image's pixels, key and value in one tensor."""

    def __init__(self):
        super().__init__()
        self.attention = torch.nn.MultiheadAttention(12, 3)

    def forward(self, image):
        tokens = image.reshape(1, 12, -1).permute(2, 0, 1)
        few = tokens[:5]
        return self.attention(tokens, few, few)[0], self.attention(tokens, tokens, tokens)[0]


def test_attention_of_one_tensor_for_key_and_value(tmp_path):
    torch.manual_seed(0)
    network, image = Attending().eval(), torch.randn(1, 3, 8, 8)
    write_onnx(network, tmp_path / "model.onnx", (8, 8), ("kept", "own"))
    found = run_onnx(tmp_path / "model.onnx", image)
    with torch.no_grad():
        for name, value in zip(("kept", "own"), network(image)):
            assert np.allclose(found[name], value.numpy(), atol=1e-5)


def test_a_transformer_whose_sizes_are_calculated_is_exported(tmp_path):
    from mmdet.models import build_backbone

    torch.manual_seed(0)
    network = build_backbone(dict(
        type="PyramidVisionTransformer", pretrain_img_size=64, embed_dims=8, num_layers=[1] * 4, num_heads=[1, 1, 2, 2],
        mlp_ratios=[2] * 4)).eval()
    image = torch.randn(1, 3, 64, 96)
    write_onnx(network, tmp_path / "model.onnx", (64, 96), tuple(f"level_{level}" for level in range(4)))
    found = run_onnx(tmp_path / "model.onnx", image)
    with torch.no_grad():
        for number, level in enumerate(network(image)):
            assert found[f"level_{number}"] == pytest.approx(level.numpy(), abs=1e-4)
