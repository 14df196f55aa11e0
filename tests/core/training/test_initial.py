"""A compressed model before its first training step, and what must not be continued."""

import dataclasses
import json
import logging
import math

import pytest
import torch

from core.base.errors import UserError
from core.checkpoint.checkpoint import load_checkpoint, save_checkpoint
from core.config.adapt import plain_config
from core.results.accuracy import DetectionMetrics
from core.training import initial
from core.training.initial import InitialScore, initial_split, min_initial_map_ratio, require_good_start
from tests.core.training.conftest import run


def metrics(value):
    figures = [name for name, field in DetectionMetrics.model_fields.items() if field.annotation is float]
    return DetectionMetrics(**dict.fromkeys(figures, value), per_class_ap={}, per_class_voc_ap={}, images=4,
                            detections=0)


def log_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_compressed_run_begins_with_a_checkpoint_and_a_validation_of_epoch_0(compressed, trained):
    lines = log_of(trained / "int8.log")
    modes = [(line["mode"], line.get("epoch")) for line in lines]
    iterations = lines[0]["iters_per_epoch"]
    assert modes == [("env", None), ("val", 0), *[("train", 1)] * iterations, ("val", 1)]
    assert {"map", "map50"} < set(lines[1])
    assert (lines[1]["split"], lines[1]["images"]) == ("val", 4)
    assert "map_parent" not in lines[1]
    saved = load_checkpoint(trained / "work-int8" / "before_training.pth")
    assert saved.training["epoch"] == 0
    assert saved.compression.config == load_checkpoint(compressed).compression.config


def test_a_plain_run_has_no_initial_evaluation(plain, trained):
    assert not (trained / "work-plain" / "before_training.pth").exists()
    assert all(line.get("epoch") != 0 for line in log_of(trained / "plain.log"))


def test_the_initial_evaluation_does_not_change_the_training(plain, tiny_config, tiny_data, tmp_path, monkeypatch):
    run(tiny_config(min_initial_map_ratio=0.01), tiny_data, tmp_path, "with", parent=plain)
    monkeypatch.setattr("core.training.trainer.Trainer._score_start", lambda trainer: None)
    run(tiny_config(), tiny_data, tmp_path, "without", parent=plain)
    first, second = (load_checkpoint(tmp_path / f"{name}.pth").state_dict for name in ("with", "without"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_bad_start_stops_the_run_and_leaves_checkpoint_and_log(plain, tiny_config, tiny_data, tmp_path, monkeypatch):
    found = iter([metrics(0.8), metrics(0.3)])
    monkeypatch.setattr("core.training.trainer.score", lambda *arguments: next(found))
    with pytest.raises(UserError, match=r"mAP 0\.3000 before training, 0\.8000 without.*0\.5 of it.*0\.4000"):
        run(tiny_config(min_initial_map_ratio=0.5), tiny_data, tmp_path, parent=plain)
    assert (tmp_path / "work-out" / "before_training.pth").exists()
    assert not (tmp_path / "out.pth").exists()
    lines = log_of(tmp_path / "out.log")
    assert [line["mode"] for line in lines] == ["env", "val"]
    assert (lines[1]["map"], lines[1]["map_parent"]) == (0.3, 0.8)


def test_a_start_at_the_limit_or_without_a_parent_is_good(tmp_path):
    require_good_start(InitialScore("val", metrics(0.4), 0.8), 0.5, tmp_path)
    require_good_start(InitialScore("val", metrics(0.0), None), 0.5, tmp_path)
    require_good_start(InitialScore("val", metrics(math.nan), math.nan), 0.5, tmp_path)


def test_a_metric_that_is_not_a_number_is_null_in_the_log():
    line = InitialScore("val", metrics(math.nan), None).to_log()
    assert json.loads(json.dumps(line, allow_nan=False))["map"] is None


@pytest.mark.parametrize("value", [-0.1, 1.5, "half", True, None, math.nan])
def test_a_ratio_out_of_its_range_is_refused(value):
    with pytest.raises(UserError, match="min_initial_map_ratio.*from 0"):
        min_initial_map_ratio({"min_initial_map_ratio": value})
    assert min_initial_map_ratio({}) == 0.0


def test_plain_training_knows_no_ratio(tiny_config):
    assert "min_initial_map_ratio" not in plain_config(tiny_config(min_initial_map_ratio=0.5))


def test_without_a_val_split_some_training_images_are_scored(tiny_data, tmp_path, monkeypatch, caplog):
    assert initial_split(tiny_data, tmp_path) is tiny_data.val
    monkeypatch.setattr(initial, "MOST_TRAINING_IMAGES", 5)
    with caplog.at_level(logging.INFO):
        split = initial_split(dataclasses.replace(tiny_data, val=None), tmp_path)
    truth = json.loads(split.annotation_file.read_text())
    assert [image["id"] for image in truth["images"]] == [1, 5, 9, 13]
    assert {box["image_id"] for box in truth["annotations"]} <= {1, 5, 9, 13}
    assert (split.name, split.images, split.boxes) == ("train", 4, len(truth["annotations"]))
    assert "4 of the 16 training images" in caplog.text


def test_the_ratio_is_not_checked_on_a_compressed_parent(compressed, tiny_config, tiny_data, tmp_path, caplog):
    run(tiny_config(min_initial_map_ratio=1.0), tiny_data, tmp_path, parent=compressed)
    assert "min_initial_map_ratio is not checked" in caplog.text


def test_a_resumed_run_is_not_scored_again(compressed, tiny_config, tiny_data, tmp_path):
    run(tiny_config(**{"runner.max_epochs": 2, "resume_from": str(compressed)}), tiny_data, tmp_path)
    assert not (tmp_path / "work-out" / "before_training.pth").exists()
    assert [line["epoch"] for line in log_of(tmp_path / "out.log") if line["mode"] == "val"] == [2]


def test_another_nncf_config_than_the_checkpoints_stops_with_the_key(compressed, tiny_config, tiny_data, tmp_path):
    for key in ("load_from", "resume_from"):
        config = tiny_config(**{key: str(compressed)})
        config.nncf_config.compression["activations"] = {"mode": "asymmetric"}
        with pytest.raises(UserError, match="activations.mode"):
            run(config, tiny_data, tmp_path)


def test_a_checkpoint_of_another_nncf_is_named_in_a_warning(compressed, tiny_config, tiny_data, tmp_path, caplog):
    checkpoint = load_checkpoint(compressed)
    other = dataclasses.replace(checkpoint, versions={**checkpoint.versions, "nncf": "1.7.1"})
    save_checkpoint(other, tmp_path / "old.pth")
    run(tiny_config(), tiny_data, tmp_path, parent=tmp_path / "old.pth")
    assert "was written with NNCF 1.7.1" in caplog.text


def test_an_nncf_config_with_errors_stops_before_anything_is_read(tiny_config, tiny_data, tmp_path):
    config = tiny_config(load_from="/absent.pth")
    config.nncf_config.compression.initializer.range = {"num_init_steps": 10}
    with pytest.raises(UserError, match="num_init_steps"):
        run(config, tiny_data, tmp_path)
    assert not (tmp_path / "work-out").exists()
