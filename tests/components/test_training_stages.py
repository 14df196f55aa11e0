"""What the stages that train tell KFP of themselves."""

import importlib
import json

import pytest


@pytest.fixture(name="resolved")
def fixture_resolved(tmp_path, monkeypatch):
    """Return the folder of the built-in job's resolved inputs, with two images to train on."""
    from components.resolve.stage import STAGE

    monkeypatch.setenv("MMDET_COMPRESS_CACHE", str(tmp_path / "cache"))
    names = ("data", "model", "compression", "parent")
    assert STAGE.main([
        "--model-config", "configs/detectors/retinanet_r18_small_digits.py",
        "--compression-config", "configs/nncf_compression/retinanet_r18_small/digits_int8.py",
        "--data", "builtin://digits?train=2&val=1&test=2",
        *(item for name in names for item in (f"--resolved-{name}", str(tmp_path / name)))]) == 0
    return tmp_path


@pytest.mark.parametrize("stage, options, algorithms", [
    ("train", ("--model", "@model"), {}),
    ("compress", ("--compression", "@compression", "--fp32-checkpoint", "fp32.pth"),
     {"algorithms": ["quantization"], "candidate": "compressed"})])
def test_the_checkpoints_metadata_tell_of_the_training(resolved, monkeypatch, stage, options, algorithms):
    from core.training import fit

    result = fit.FitResult(3, 2.5, {"map": 0.5, "map50": float("nan"), "loss": 0.25}, {"map": 0.75, "epoch": 2}, 2,
                           ("quantization",))
    monkeypatch.setattr(fit, "fit", lambda *arguments, **named: result)
    monkeypatch.chdir(resolved)
    artifacts = {name: {"artifacts": [{"name": name, "uri": f"/{name}"}]} for name in ("checkpoint", "log")}
    executor_input = {"outputs": {"outputFile": "output.json", "artifacts": artifacts}}
    main = importlib.import_module(f"components.{stage}.stage").STAGE.main
    assert main(["--data", "@data", *options, "--checkpoint", "out/it.pth", "--log", "out/it.jsonl",
                 "--executor-input", json.dumps(executor_input)]) == 0
    written = json.loads((resolved / "output.json").read_text())["artifacts"]
    assert written["checkpoint"]["artifacts"][0]["metadata"] == {
        "epochs": 3, "result_epoch": 2, "seconds": 2.5, "map": 0.5, "map50": "nan", "loss": 0.25, "best_map": 0.75,
        "best_epoch": 2, **algorithms}
    assert set(written) == {"checkpoint", "log"}
