"""Every detector can be exported for images of any size, and finds there what a graph of that size finds.

What cannot be exported so is refused: test_onnx.py.
"""

import numpy as np
import pytest
import torch

from core.checkpoint.checkpoint import save_checkpoint
from core.detectors.building import build_detector
from core.detectors.graph import forward_as
from core.detectors.registry import find_adapter
from core.export.onnx import ExportOptions, export_checkpoint, write_onnx
from core.training.snapshot import snapshot
from scripts.trial_configs import CLASSES, detectors, trial_config
from tests.core.detectors.comparing import enliven, run_onnx


def size_of(config):
    return config.nncf_config.input_info.sample_size[-2:]


@pytest.fixture
def exported(tmp_path):
    """Return a function that exports a plain detector of random weights, dynamic, and gives detector and ONNX file."""
    def export(name):
        config = trial_config(name, "int8")
        torch.manual_seed(1)
        image = torch.randn(1, 3, *size_of(config)) * 2
        torch.manual_seed(0)
        detector = enliven(build_detector(config), image)
        config.pop("nncf_config")
        save_checkpoint(snapshot(config, type("Named", (), {"classes": CLASSES}), detector, None, None),
                        tmp_path / "plain.pth")
        spec = export_checkpoint(tmp_path / "plain.pth", tmp_path / "onnx", ExportOptions(dynamic_shape=True))
        assert spec.dynamic
        return detector, tmp_path / "onnx" / "model.onnx"
    return export


@pytest.mark.detectors
@pytest.mark.parametrize("name", detectors())
def test_a_dynamic_graph_finds_at_another_size_what_a_graph_of_that_size_finds(exported, name, tmp_path):
    """That a graph of fixed size finds what PyTorch finds is shown in tests/core/detectors."""
    detector, dynamic = exported(name)
    # No size that the export itself has tried.
    height, width = size_of(trial_config(name, "int8"))
    size = (height + 64, width + 96)
    forward, names = find_adapter(detector).exported_forward(detector)
    with torch.no_grad(), forward_as(detector, forward):
        write_onnx(detector, tmp_path / "fixed.onnx", size, names, False)
    image = torch.randn(1, 3, *size) * 2
    found, expected = (run_onnx(onnx, image) for onnx in (dynamic, tmp_path / "fixed.onnx"))
    assert {key: value.shape for key, value in found.items()} == {key: value.shape for key, value in expected.items()}
    assert sorted(found) == sorted(names)
    assert (found["boxes"][..., 4] > 0).sum() >= 5
    # The last bit decides the order of equal scores, and which of two boxes suppresses the other.
    rows, others = (np.concatenate([one["boxes"][0], one["labels"][0][:, None]], axis=1) for one in (found, expected))
    # Sides of random weights can be infinite, in both.
    near = abs(rows[:, None] - others[None]) < (0.05, 0.05, 0.05, 0.05, 1e-3, 0.5)
    same = (near | (rows[:, None] == others[None])).all(axis=2)
    assert same.any(axis=1).mean() > 0.9
    if "masks" in names:
        assert abs(found["masks"] - expected["masks"])[0, np.diag(same)].max() < 1e-2
