"""Every detector can be exported for images of any size, and finds there what a graph of that size finds.

What cannot be exported so is refused: test_onnx.py.
"""

import os
import subprocess

import pytest

pytest.importorskip("mmdet", reason="needs the train environment")

import numpy as np
import torch

from core.checkpoint.checkpoint import save_checkpoint
from core.compression.matrix import CLASSES, REPOSITORY, TRIAL_SIZES, trial_config
from core.compression.preflight import find_openvino_python
from core.compression.tracing import forward_as
from core.export.onnx import ExportOptions, _write_onnx, export_checkpoint
from core.export.postprocessing import exportable_forward
from core.training.snapshot import snapshot
from tests.core.export.test_postprocessing import RUN_ONNX, lively_detector


@pytest.fixture
def exported(tmp_path):
    """Return a function that exports a plain detector of random weights, dynamic, and gives detector and ONNX file."""
    def export(name):
        torch.manual_seed(1)
        detector = lively_detector(name, torch.randn(1, 3, *TRIAL_SIZES[name]) * 2)
        config = trial_config(name, "int8")
        config.pop("nncf_config")
        save_checkpoint(snapshot(config, type("Named", (), {"classes": CLASSES}), detector, None, None),
                        tmp_path / "plain.pth")
        spec = export_checkpoint(tmp_path / "plain.pth", tmp_path / "onnx", ExportOptions(dynamic_shape=True))
        assert spec.dynamic
        return detector, tmp_path / "onnx" / "model.onnx"
    return export


def run(python, onnx, image, folder):
    """Return what OpenVINO finds with an ONNX file, by output."""
    np.savez(folder / "in.npz", image=image.numpy())
    subprocess.run([str(python), "-c", RUN_ONNX, str(onnx), str(folder / "in.npz"), str(folder / "out.npz")],
                   check=True, cwd=str(REPOSITORY), env={**os.environ})
    with np.load(folder / "out.npz") as found:
        return dict(found)


@pytest.mark.detectors
@pytest.mark.parametrize("name", sorted(TRIAL_SIZES))
def test_a_dynamic_graph_finds_at_another_size_what_a_graph_of_that_size_finds(exported, name, tmp_path):
    """That a graph of fixed size finds what PyTorch finds is shown in test_postprocessing.py."""
    python = find_openvino_python()
    if python is None:
        pytest.skip("needs the openvino environment")
    detector, dynamic = exported(name)
    # No size that the export itself has tried.
    size = (TRIAL_SIZES[name][0] + 64, TRIAL_SIZES[name][1] + 96)
    forward, names = exportable_forward(detector)
    with torch.no_grad(), forward_as(detector, forward):
        _write_onnx(detector, tmp_path / "fixed.onnx", size, names, False)
    image = torch.randn(1, 3, *size) * 2
    found, expected = (run(python, onnx, image, tmp_path) for onnx in (dynamic, tmp_path / "fixed.onnx"))
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
