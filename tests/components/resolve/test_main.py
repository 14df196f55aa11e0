import json

import pytest

from components.resolve.stage import STAGE

DIGITS = tuple("0123456789")


@pytest.fixture(name="options")
def fixture_options(tmp_path, monkeypatch):
    monkeypatch.setenv("MMDET_COMPRESS_CACHE", str(tmp_path / "cache"))
    return ["--model-config", "configs/detectors/retinanet_r18_small_digits.py",
            "--compression-config", "configs/nncf_compression/retinanet_r18_small/digits_int8.py",
            "--data", "builtin://digits?train=2&val=1&test=2",
            *(item for name in ("data", "model", "compression", "parent")
              for item in (f"--resolved-{name}", str(tmp_path / "out" / name)))]


@pytest.fixture(name="parent")
def fixture_parent(tmp_path):
    """Return a function that writes a checkpoint of the built-in detector, untrained."""

    def write(classes, **changes):
        from core.checkpoint.checkpoint import Checkpoint, save_checkpoint
        from core.config.adapt import plain_config, set_classes
        from core.config.loading import load_config
        from core.detectors.building import build_detector

        config = load_config("configs/detectors/retinanet_r18_small_digits.py")
        set_classes(config, classes)
        weights = build_detector(plain_config(config)).state_dict()
        save_checkpoint(Checkpoint(state_dict=weights, classes=classes, **changes), tmp_path / "parent.pth")
        return ["--checkpoint", str(tmp_path / "parent.pth")]

    return write


def test_every_input_becomes_a_reference_that_stays_the_same(options, parent, tmp_path):
    options += [*parent(DIGITS), "--model-options", '{"runner.max_epochs": 3.0}']
    found = []
    for _ in range(2):
        assert STAGE.main(options) == 0
        found.append({path.name: json.loads(path.read_text()) for path in (tmp_path / "out").iterdir()})
    assert found[0] == found[1]
    assert sorted(found[0]) == ["compression", "data", "model", "parent"]
    assert found[0]["data"]["uri"] == "builtin://digits?seed=0&train=2&val=1&test=2"
    assert found[0]["model"]["path"] == "configs/detectors/retinanet_r18_small_digits.py"
    assert found[0]["parent"]["uri"] == str(tmp_path / "parent.pth")
    assert all(len(reference["digest"]) == 64 for reference in found[0].values())


def test_without_data_those_of_the_config_are_used(options, tmp_path):
    from tests.core.data.conftest import CocoFolder

    folder = CocoFolder(tmp_path / "cells").root
    own = {f"data.{name}": {"type": "CocoDataset", "ann_file": f"annotations/{name}.json",
                            "img_prefix": f"images/{name}", "data_root": str(folder), "classes": ["dog"]}
           for name in ("train", "val", "test")}
    at = options.index("--data")
    options[at:at + 2] = ["--model-options", json.dumps(own)]
    assert STAGE.main(options) == 0
    found = json.loads((tmp_path / "out" / "data").read_text())
    assert (found["uri"], found["classes"]) == (str(folder), ["dog"])


@pytest.mark.parametrize(("option", "value", "message"), [
    ("--max-map-drop", "7", "parameter max_map_drop: 7.0"), ("--min-speedup", "-1", "parameter min_speedup: -1.0"),
    ("--destination", "gs://models", "destination: gs://models"), ("--model-name", "../x", "parameter model_name"),
    ("--checkpoint", "/absent.pth", "checkpoint: /absent.pth"), ("--data", "/absent", "/absent"),
    ("--model-config", "configs/absent.py", "configs/absent.py"),
    ("--model-options", '{"runner.max_epoch": 1}', "max_epoch"),
    ("--min-initial-map-ratio", "1.5", "parameter min_initial_map_ratio: 1.5"),
    ("--gpus", "9", "parameter gpus: 9"), ("--gpus", "-1", "parameter gpus: -1"),
    ("--gpu-node-selector", '{"gpu": true}', "parameter gpu_node_selector"),
    ("--compression-options", '{"nncf_config.target_device": "TOASTER"}', "TOASTER"),
    ("--compression-options", '{"model.test_cfg.nms.type": "soft_nms"}', "model.test_cfg.nms.type: 'soft_nms'"),
    ("--model-options", '{"model.bbox_head.bbox_coder.type": "LegacyDeltaXYWHBBoxCoder"}', "detector: RetinaNet"),
    # The last --compression-config counts.
    ("--dynamic-shape=true", "--compression-config=configs/nncf_compression/retinanet_r18_small/int8_pruning.py",
     "--dynamic-shape: quantization with filter pruning. The Model Optimizer")])
def test_what_would_fail_late_fails_now(options, option, value, message, capsys, tmp_path):
    assert STAGE.main([*options, option, value]) == 2
    error = capsys.readouterr().err.strip()
    assert "resolve: " in error and message in error
    assert not (tmp_path / "out").exists()


def test_a_fault_of_each_kind_is_in_one_list(options, capsys, tmp_path):
    at = options.index("--data")
    options[at + 1] = str(tmp_path / "no data")
    assert STAGE.main([
        *options, "--max-map-drop", "7", "--gpus", "9", "--destination", "gs://models", "--checkpoint", "/absent.pth",
        "--model-options", '{"optimizer.type": "NoSuchOptimizer"}',
        "--compression-options", '{"nncf_config.target_device": "TOASTER", "model.test_cfg.nms.type": "soft_nms"}',
        ]) == 2
    error = capsys.readouterr().err
    assert "resolve: 8 faults." in error, error
    for fault in ("parameter max_map_drop: 7.0", "parameter gpus: 9", "destination: gs://models",
                  "checkpoint: /absent.pth", "NoSuchOptimizer", "TOASTER", "soft_nms", "no data"):
        assert fault in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("classes", "message"), [
    (tuple("9876543210"), "checkpoint classes: 9, 8, 7"), (("cat", "dog"), "checkpoint classes: cat, dog")])
def test_parent_of_other_classes_is_refused_before_anything_is_trained(options, parent, classes, message, capsys,
                                                                       tmp_path):
    assert STAGE.main([*options, *parent(classes)]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_parent_of_another_model_is_refused_before_anything_is_trained(options, parent, capsys):
    other = '{"model.bbox_head.stacked_convs": 3}'
    assert STAGE.main([*options, "--model-options", other, "--compression-options", other, *parent(DIGITS)]) == 2
    assert "bbox_head.cls_convs.2.conv.weight (missing)" in capsys.readouterr().err


def test_another_detector_than_the_compression_configs_is_refused(options, capsys):
    options[1] = "configs/detectors/retinanet_r18.py"
    assert STAGE.main(options) == 2
    assert "another detector than model_config" in capsys.readouterr().err


PRETRAINED = '{"model.backbone.init_cfg": {"type": "Pretrained", "checkpoint": "torchvision://resnet18"}}'


@pytest.mark.parametrize(("model_options", "message"), [
    (PRETRAINED, "pretrained weights: torchvision://resnet18. Nothing is downloaded"),
    ('{"model.backbone.frozen_stages": 1}', "backbone.frozen_stages=1"),
    ('{"load_from": "https://download.openmmlab.com/x/retinanet.pth"}', "retinanet.pth into a folder")])
def test_weights_that_training_would_miss_are_named_now(options, model_options, message, capsys, tmp_path):
    assert STAGE.main([*options, "--model-options", model_options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("by_variable", [False, True])
def test_the_place_of_published_weights_reaches_the_later_stages(options, by_variable, tmp_path, monkeypatch):
    import torch

    from core.config.loading import load_config
    from core.config.reference import ConfigRef, open_config
    from core.detectors.building import build_detector
    from core.detectors.initialising import initialise

    kept = tmp_path / "kept"
    kept.mkdir()
    backbone = build_detector(load_config("configs/detectors/retinanet_r18_small_digits.py")).backbone.state_dict()
    torch.save(backbone, kept / "resnet18-f37072fd.pth")
    if by_variable:
        monkeypatch.setenv("MMDET_COMPRESS_WEIGHTS", str(kept))
    else:
        options += ["--weights", str(kept)]
    assert STAGE.main([*options, "--model-options", PRETRAINED]) == 0
    monkeypatch.delenv("MMDET_COMPRESS_WEIGHTS", raising=False)
    for name in ("model", "compression"):
        ref = ConfigRef.from_json(json.loads((tmp_path / "out" / name).read_text()))
        assert open_config(ref).pretrained_weights == str(kept)
        # The content is in what later stages are given, so that another file is trained anew.
        assert list(ref.files) == (["torchvision://resnet18"] if name == "model" else [])
    config = open_config(ConfigRef.from_json(json.loads((tmp_path / "out" / "model").read_text())))
    detector = build_detector(config)
    initialise(detector, config)
    assert torch.equal(detector.backbone.conv1.weight, backbone["conv1.weight"])


def test_version_that_is_published_already_is_refused(options, tmp_path, capsys):
    (tmp_path / "models" / "detector" / "3").mkdir(parents=True)
    options += ["--destination", str(tmp_path / "models")]
    assert STAGE.main([*options, "--model-version", "3"]) == 2
    assert "parameter model_version: 3. " in capsys.readouterr().err


def test_number_of_gpus_is_passed_on_as_text(options, tmp_path):
    assert STAGE.main([*options, "--gpus", "2", "--gpu-count", str(tmp_path / "gpu_count")]) == 0
    assert (tmp_path / "gpu_count").read_text() == "2"


def test_classes_come_from_the_config_where_it_names_them(options, tmp_path, capsys):
    options += ["--model-options", '{"data.train.classes": ["3", "7"]}']
    assert STAGE.main(options) == 0
    assert json.loads((tmp_path / "out" / "data").read_text())["classes"] == ["3", "7"]

    assert STAGE.main([*options, "--model-options", '{"data.train.classes": ["3", "seven"]}']) == 2
    assert "seven" in capsys.readouterr().err


@pytest.mark.parametrize(("failed", "code"), [(False, 0), (True, 2)])
def test_preflight_is_run_where_it_is_asked_for(options, failed, code, monkeypatch, capsys, tmp_path):
    from core.dry_run import preflight

    def run(config, classes, on_stage, dynamic_shape):
        assert config.nncf_config and len(classes) == 10
        row = preflight.StageResult("wrap", preflight.Outcome.FAILED if failed else preflight.Outcome.OK, "why so", 1.0)
        on_stage(row)
        return preflight.PreflightReport((row,))

    monkeypatch.setattr(preflight, "run_preflight", run)
    assert STAGE.main(options) == 0
    assert "preflight" not in capsys.readouterr().out

    assert STAGE.main([*options, "--preflight", "true"]) == code
    shown = capsys.readouterr()
    assert "why so" in shown.out
    assert ("preflight, stage wrap: why so" in shown.err) == failed


def test_layers_that_the_nncf_config_does_not_fit_are_refused_without_the_whole_preflight(options, capsys, tmp_path):
    options[3] = "configs/nncf_compression/retinanet_r18_small/pruning.py"
    idle = {"nncf_config.compression.params.pruning_target": 0.02, "nncf_config.compression.pruning_init": 0.01}
    assert STAGE.main([*options, "--compression-options", json.dumps(idle)]) == 2
    assert "preflight, stage layers" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_strict_and_dynamic_shape_reach_the_preflight(options, monkeypatch):
    from core.dry_run import preflight

    seen = []

    def run(config, classes, on_stage, dynamic_shape):
        seen.append((config.get("nncf_strict"), dynamic_shape))
        return preflight.PreflightReport(())

    monkeypatch.setattr(preflight, "run_preflight", run)
    assert STAGE.main([*options, "--preflight", "true"]) == 0
    assert STAGE.main([*options, "--preflight", "true", "--strict", "true", "--dynamic-shape", "true"]) == 0
    assert seen == [(None, False), (True, True)]


def test_a_candidate_that_was_named_is_refused_though_one_of_its_kind_was_left_out_before(monkeypatch):
    from types import SimpleNamespace

    from components.candidates import Wanted
    from components.resolve import stage as resolving
    from core.base.errors import UserError

    def refuse(config, classes):
        raise UserError("nncf_config", "no layer", "It prunes none.", "Name another.")

    monkeypatch.setattr(resolving, "check_layers", refuse)
    stage = SimpleNamespace(preflight=False, compression_limits=SimpleNamespace(put_into=lambda config: None))
    automatic, other, named = (resolving._Candidate(Wanted(name, "x.py", may_fail=may_fail, kind="pruned"))
                               for name, may_fail in (("pruned_40", True), ("pruned_20", True), ("pruned_60", False)))
    left_out = list(resolving._tried(stage, [automatic, other], ()))
    assert ["prunes none" in one.wanted.refused for one in left_out] == [True, True]
    with pytest.raises(UserError, match="prunes none"):
        list(resolving._tried(stage, [automatic, named], ()))


def test_a_compressed_checkpoint_that_a_candidate_cannot_resume_is_refused_before_anything_is_trained(options, parent,
                                                                                                      capsys):
    from core.checkpoint.checkpoint import CompressionRecord
    from core.config.adapt import nncf_config_of
    from core.config.loading import load_config

    own = nncf_config_of(load_config("configs/nncf_compression/retinanet_r18_small/digits_int8.py"))
    options += parent(DIGITS, compression=CompressionRecord(dict(own), {}))
    assert STAGE.main(options) == 0
    assert STAGE.main([*options, "--candidates", "pruned_40"]) == 2
    assert "from the compressed checkpoint's" in capsys.readouterr().err
