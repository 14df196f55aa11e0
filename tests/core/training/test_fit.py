"""The training loop: plain, compressed, restored and resumed, with what must stop it."""

import copy
import json
import logging
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from core.base.errors import UserError
from core.checkpoint.checkpoint import load_checkpoint, save_checkpoint
from core.config.adapt import nncf_config_of, plain_config
from core.training.fit import adopt
from core.training.model import restore_detector
from tests.core.training.conftest import run

ROOT = Path(__file__).parents[3]


def test_a_plain_config_trains_without_nncf(tiny_config, tiny_data, tmp_path):
    code = "import sys; sys.modules['nncf'] = None\n" + \
           "import pytest; sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', sys.argv[1]]))"
    target = f"{__file__}::test_training_writes_a_checkpoint_a_log_and_the_newest_state"
    done = subprocess.run([sys.executable, "-c", code, target], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_training_writes_a_checkpoint_a_log_and_the_newest_state(tiny_config, tiny_data, tmp_path):
    result = run(plain_config(tiny_config()), tiny_data, tmp_path)

    assert (result.epochs, result.algorithms) == (1, ())
    assert {"loss", "map", "map50"} <= set(result.metrics)
    checkpoint = load_checkpoint(tmp_path / "out.pth")
    assert checkpoint.classes == tiny_data.classes
    assert checkpoint.compression is None
    assert str(tiny_data.train.annotation_file) not in checkpoint.config_text
    lines = [json.loads(line) for line in (tmp_path / "out.log").read_text().splitlines()]
    iterations = 16 // tiny_config().data.samples_per_gpu
    assert [line["mode"] for line in lines] == ["env", *["train"] * iterations, "val"]
    assert lines[0]["iters_per_epoch"] == iterations
    assert load_checkpoint(tmp_path / "work-out" / "latest.pth").training["epoch"] == 1


def test_the_same_seed_gives_the_same_weights(tiny_config, tiny_data, tmp_path):
    weights = []
    for name in ("first", "second"):
        run(plain_config(tiny_config()), tiny_data, tmp_path, name, seed=3)
        weights.append(load_checkpoint(tmp_path / f"{name}.pth").state_dict)
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_compression_starts_from_the_given_weights_and_is_restored_from_the_checkpoint_alone(compressed, tiny_config):
    checkpoint = load_checkpoint(compressed)
    assert checkpoint.compression.config["compression"]["algorithm"] == "quantization"
    restored = restore_detector(compressed)
    saved = restored.network.state_dict()
    assert all(torch.equal(saved[name], value) for name, value in checkpoint.state_dict.items())


def test_the_nncf_config_reaches_nncf_unchanged(plain, tiny_config, tiny_data, tmp_path, monkeypatch):
    import nncf.torch as nncf_torch
    received = {}

    class Reached(Exception):
        """Ends the run where NNCF would begin."""

    def record(detector, config, **options):
        received.update(config)
        raise Reached

    monkeypatch.setattr(nncf_torch, "create_compressed_model", record)
    config = tiny_config(nncf_compress_postprocessing=False)
    config.nncf_config.log_dir = str(tmp_path / "logs")
    given = copy.deepcopy(nncf_config_of(config))
    with pytest.raises(Reached):
        run(config, tiny_data, tmp_path, parent=plain)
    assert received == given


def test_strict_in_the_config_stops_where_postprocessing_stays_outside(plain, tiny_config, tiny_data, tmp_path,
                                                                       monkeypatch):
    monkeypatch.setattr("core.compression.wrap.postprocessing_obstacle", lambda detector: "its head is made so")
    with pytest.raises(UserError, match="its head is made so.*nncf_compress_postprocessing=False"):
        run(tiny_config(nncf_strict=True), tiny_data, tmp_path, parent=plain)


def test_a_compressed_parent_is_restored_not_initialised(compressed, tiny_config, tiny_data, tmp_path, monkeypatch):
    from core.compression import wrap

    def no_initialisation(*arguments):
        raise AssertionError("compression was initialised again")

    monkeypatch.setattr(wrap, "_register_initialisation", no_initialisation)
    result = run(tiny_config(**{"optimizer.lr": 1e-9}), tiny_data, tmp_path, parent=compressed)

    assert result.algorithms == ("quantization",)
    before, after = load_checkpoint(compressed).state_dict, load_checkpoint(tmp_path / "out.pth").state_dict
    scales = [name for name in before if name.endswith("scale")]
    assert scales and all(torch.allclose(before[name], after[name], rtol=1e-3) for name in scales)


def test_resume_goes_on_with_epoch_and_optimizer(compressed, tiny_config, tiny_data, tmp_path):
    config = tiny_config(**{"runner.max_epochs": 2, "resume_from": str(compressed)})
    result = run(config, tiny_data, tmp_path)
    assert result.epochs == 2
    modes = [json.loads(line) for line in (tmp_path / "out.log").read_text().splitlines()]
    assert {line["epoch"] for line in modes if line["mode"] == "train"} == {2}


def test_resuming_compression_from_a_plain_checkpoint_is_refused(plain, tiny_config, tiny_data, tmp_path):
    with pytest.raises(UserError, match="load_from"):
        run(tiny_config(resume_from=str(plain)), tiny_data, tmp_path)


def test_a_compressed_checkpoint_needs_its_nncf_config(compressed, tiny_config, tiny_data, tmp_path):
    with pytest.raises(UserError, match="nncf_config"):
        run(plain_config(tiny_config()), tiny_data, tmp_path, parent=compressed)


def test_a_missing_nncf_is_named_with_the_way_to_install_it(plain, tiny_config, tiny_data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(UserError, match=r"pip install nncf==2\.0\.0"):
        run(tiny_config(), tiny_data, tmp_path, parent=plain)


def renamed(path, source, **parts):
    """Write a checkpoint whose names begin otherwise."""
    weights = load_checkpoint(source).state_dict
    names = {name: name.partition(".") for name in weights}
    torch.save({"state_dict": {parts.get(head, head) + dot + rest: weights[name]
                               for name, (head, dot, rest) in names.items()}}, str(path))
    return path


def test_fine_tuning_loads_what_fits_and_lists_the_rest(plain, tiny_config, tiny_data, tmp_path, caplog):
    other = renamed(tmp_path / "other.pth", plain, backbone="trunk")
    with caplog.at_level(logging.INFO):
        run(plain_config(tiny_config(load_from=str(other))), tiny_data, tmp_path)
    assert "backbone.conv1.weight (missing)" in caplog.text and "trunk.conv1.weight" in caplog.text


def test_a_checkpoint_of_which_nothing_fits_is_refused(plain, tiny_config, tiny_data, tmp_path):
    other = renamed(tmp_path / "other.pth", plain, backbone="a", neck="b", bbox_head="c")
    with pytest.raises(UserError, match="load_from.*None of its"):
        run(plain_config(tiny_config(load_from=str(other))), tiny_data, tmp_path)


def test_a_model_that_is_not_trained_plain_must_fit_whole(plain, tiny_config, tiny_data, tmp_path):
    other = renamed(tmp_path / "other.pth", plain, backbone="trunk")
    with pytest.raises(UserError, match=r"of the model's \d+ weights are not in it.*backbone.conv1.weight"):
        run(tiny_config(), tiny_data, tmp_path, parent=other)
    with pytest.raises(UserError, match="backbone.conv1.weight"):
        adopt(other, plain_config(tiny_config()), tiny_data, tmp_path / "a.pth", tmp_path / "a.log")


def test_adopting_stores_a_given_checkpoint_with_our_metadata(plain, tiny_config, tiny_data, tmp_path):
    given = load_checkpoint(plain)
    torch.save({"state_dict": dict(given.state_dict)}, str(tmp_path / "bare.pth"))

    result = adopt(tmp_path / "bare.pth", plain_config(tiny_config()), tiny_data, tmp_path / "a.pth",
                   tmp_path / "a.log")

    adopted = load_checkpoint(tmp_path / "a.pth")
    assert result.epochs == 0
    assert adopted.classes == tiny_data.classes and adopted.config_text
    assert all(torch.equal(adopted.state_dict[name], value) for name, value in given.state_dict.items())
    assert json.loads((tmp_path / "a.log").read_text())["epochs"] == 0


def test_adopting_a_compressed_checkpoint_or_other_classes_is_refused(compressed, plain, tiny_config, tiny_data,
                                                                      tmp_path):
    arguments = (plain_config(tiny_config()), tiny_data, tmp_path / "a.pth", tmp_path / "a.log")
    with pytest.raises(UserError, match="compressed"):
        adopt(compressed, *arguments)
    torch.save({"state_dict": dict(load_checkpoint(plain).state_dict), "meta": {"CLASSES": ("cat", "dog")}},
               str(tmp_path / "pets.pth"))
    with pytest.raises(UserError, match="cat, dog"):
        adopt(tmp_path / "pets.pth", *arguments)


def test_a_loss_that_is_not_finite_stops_training(plain, tiny_config, tiny_data, tmp_path):
    broken = load_checkpoint(plain)
    broken.state_dict["bbox_head.retina_cls.bias"].fill_(math.nan)
    save_checkpoint(broken, tmp_path / "nan.pth")
    with pytest.raises(UserError, match="loss: nan in epoch 1, iteration 1"):
        run(plain_config(tiny_config()), tiny_data, tmp_path, parent=tmp_path / "nan.pth")
    assert not (tmp_path / "out.pth").exists()


def test_training_starts_from_the_weights_that_the_config_names(plain, tiny_config, tiny_data, tmp_path):
    from core.training.trainer import Output, Trainer

    weights = load_checkpoint(plain).state_dict
    config = plain_config(tiny_config(**{"model.backbone.init_cfg": {
        "type": "Pretrained", "checkpoint": str(plain), "prefix": "backbone."}}))
    network = Trainer(config, tiny_data, Output(tmp_path / "pretrained")).network
    assert all(torch.equal(value, weights[f"backbone.{name}"]) for name, value in network.backbone.state_dict().items())
    assert not torch.equal(network.bbox_head.retina_cls.weight, weights["bbox_head.retina_cls.weight"])

    config = plain_config(tiny_config(load_from=f"https://download.openmmlab.com/x/{plain.name}"))
    with pytest.raises(UserError, match="^load_from: .*plain.pth into a folder"):
        Trainer(config, tiny_data, Output(tmp_path / "url"))
    config.pretrained_weights = str(plain.parent)
    network = Trainer(config, tiny_data, Output(tmp_path / "url")).network
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())


def test_one_image_a_batch_is_refused_where_a_map_is_1x1(tiny_config, tiny_data, tmp_path):
    config = plain_config(tiny_config("detectors/ssdlite_mobilenetv2.py", **{"data.samples_per_gpu": 1}))
    with pytest.raises(UserError, match="samples_per_gpu=2") as refused:
        run(config, tiny_data, tmp_path)
    assert refused.value.thing == "data.samples_per_gpu"
