"""What came damaged from the stage before fails the run: it is no failure of the candidate's, which KFP would keep."""

import importlib
import json

import pytest

from tests.core.training.conftest import compressed, plain, tiny_config, tiny_data, tiny_ref, trained

__all__ = ["compressed", "plain", "tiny_config", "tiny_data", "tiny_ref", "trained"]


def run(stage, given, made, folder, source):
    main = importlib.import_module(f"components.{stage}.stage").STAGE.main
    artifacts = {made: {"artifacts": [{"name": made, "uri": f"/{made}"}]}}
    return main([f"--{given}", str(source), "--candidate", json.dumps({"name": "int8"}), f"--{made}",
                 str(folder / made), "--executor-input", json.dumps({
                     "outputs": {"outputFile": str(folder / "output.json"), "artifacts": artifacts}})])


@pytest.mark.parametrize("size", [0, 1000, -1000])
def test_a_checkpoint_that_is_cut_off(compressed, tmp_path, capsys, size):
    (tmp_path / "it.pth").write_bytes(compressed.read_bytes()[:size])
    assert run("export", "checkpoint", "onnx", tmp_path, tmp_path / "it.pth") == 2
    assert "it.pth" in capsys.readouterr().err and not (tmp_path / "onnx").exists()


@pytest.mark.parametrize("name", ["model.onnx", "spec.json"])
def test_an_onnx_model_that_is_cut_off(compressed, tmp_path, capsys, name):
    assert run("export", "checkpoint", "onnx", tmp_path, compressed) == 0
    broken = tmp_path / "onnx" / name
    broken.write_bytes(broken.read_bytes()[:-50])
    assert run("convert", "onnx", "ir", tmp_path, tmp_path / "onnx") == 2
    assert name in capsys.readouterr().err and not (tmp_path / "ir").exists()
