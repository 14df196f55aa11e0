"""What a config asks of training and cannot get."""

import pytest

from core.base.errors import UserError
from core.config.loading import load_config
from core.training.refusals import refused_of, require_obeyed
from core.training.run_check import check_run, own_start
from core.training.settings import training_length

MODEL = "configs/detectors/retinanet_r18_small_digits.py"
COMPRESSION = "configs/nncf_compression/retinanet_r18_small/digits_int8.py"


def refused(gpus=0, remove=(), **changes):
    config = load_config(MODEL)
    for key in remove:
        config.pop(key)
    for key, value in changes.items():
        config[key] = value
    return [str(error) for error in refused_of(config, gpus)]


def test_our_own_configs_are_obeyed():
    assert refused() == []
    require_obeyed(load_config(COMPRESSION), gpus=0)


@pytest.mark.parametrize("changes, named", [
    ({"custom_hooks": [{"type": "NoSuchHookAtAll"}]}, "custom_hooks.0.type: 'NoSuchHookAtAll'"),
    ({"custom_hooks": [{"type": "ExpMomentumEMAHook", "momentun": 1}]}, "custom_hooks.0: unknown key momentun"),
    ({"custom_hooks": [{"type": "NumClassCheckHook", "priority": "SOON"}]}, "custom_hooks.0.priority"),
    ({"custom_hooks": [{"type": "RFSearchHook"}]}, "custom_hooks.0: RFSearchHook"),
    ({"custom_hooks": [{"mode": "search"}]}, "custom_hooks.0.type"),
    ({"log_config": {"interval": 1, "hooks": [{"type": "NeptuneLoggerHook"}]}}, "needs the package neptune"),
    ({"evaluation": {"interval": 0, "metric": "bbox"}}, "evaluation.interval: 0"),
    ({"optimizer": {"type": "Adan", "lr": 1}}, "optimizer.type: 'Adan'"),
    ({"optimizer": {"type": "SGD", "lr": 1, "momentumm": 1}}, "unknown key momentumm"),
    ({"lr_config": {"policy": "stepp", "step": [1]}}, "lr_config.type: 'SteppLrUpdaterHook'"),
    ({"optimizer_config": {"type": "NoHook"}}, "optimizer_config.type"),
    ({"workflow": [("val", 1)]}, "workflow"), ({"fp16": {"loss_scale": 512.0}}, "fp16"),
    ({"runner": {"type": "EpochBasedRunner"}}, "no max_epochs"),
    ({"checkpoint_config": [1]}, "checkpoint_config: [1]"), ({"lr_config": "step"}, "lr_config: 'step'"),
    ({"optimizer": "SGD"}, "optimizer: 'SGD'"), ({"optimizer_config": 5}, "optimizer_config: 5"),
    ({"log_config": 5}, "log_config: 5"), ({"log_config": {"hooks": 5}}, "log_config.hooks.0: 5"),
    ({"custom_hooks": 5}, "custom_hooks.0: 5"), ({"custom_hooks": [{"type": ["a"]}]}, "custom_hooks.0.type: ['a']"),
    ({"optimizer": {"type": "SGD", "lr": 1, "constructor": [1]}}, "optimizer.constructor"),
    ({"workflow": 5}, "workflow: 5"), ({"data": 5}, "data: 5"), ({"evaluation": "bbox"}, "evaluation: 'bbox'"),
    ({"log_level": "NOPE"}, "log_level"), ({"mp_start_method": ["x"]}, "mp_start_method"),
    ({"opencv_num_threads": 10**30}, "opencv_num_threads"),
    ({"custom_hooks": [{"type": "EMAHook", "resume_from": "http://127.0.0.1:1/e.pth"}]}, "custom_hooks.0.resume_from"),
    ({"custom_hooks": [{"type": "ExpMomentumEMAHook", "resume_from": "no/such.pth"}]}, "custom_hooks.0.resume_from"),
    ({"custom_hooks": [{"type": "CheckpointHook", "filename_tmpl": "/x/{}.pth"}]}, "custom_hooks.0.filename_tmpl"),
    ({"custom_hooks": [{"type": "TextLoggerHook", "file_client_args": {"backend": "http"}}]},
     "custom_hooks.0.file_client_args"),
    ({"checkpoint_config": {"filename_tmpl": "../{}.pth"}}, "checkpoint_config.filename_tmpl"),
    ({"checkpoint_config": {"filename_tmpl": "{:999999999}"}}, "checkpoint_config.filename_tmpl"),
    ({"log_config": {"interval": 1, "hooks": [{"type": "TextLoggerHook", "file_client_args": {"backend": "petrel"}}]}},
     "log_config.hooks.0.file_client_args"),
    ({"data": {"train": {"pipeline": [{"type": "LoadImageFromFile", "file_client_args": {"backend": "lmdb"}}]}}},
     "data.train.pipeline.0.file_client_args"),
    ({"data": {"test": {"file_client_args": {"backend": "disk", "path_mapping": {}}}}}, "data.test.file_client_args"),
    ({"data": {"train": {"dataset": {"pipeline": [{"type": "InstaBoost"}]}}}},
     "data.train.dataset.pipeline.0: InstaBoost. It needs the package instaboostfast"),
    ({"total_epochs": 5, "runner": {"type": "EpochBasedRunner", "max_epochs": 6}},
     "total_epochs: 5. runner says max_epochs=6"),
])
def test_what_cannot_be_obeyed_is_named(changes, named):
    found = refused(**changes)
    assert len(found) == 1 and named in found[0]


@pytest.mark.parametrize(("key", "value"), [("persistent_workers", True), ("prefetch_factor", 4)])
def test_what_is_for_workers_is_refused_where_there_are_none(key, value):
    data = load_config(MODEL).data
    found = refused(data={**data, "workers_per_gpu": 0, "train_dataloader": {key: value}})
    assert len(found) == 1 and f"{key} of train_dataloader: {value}" in found[0]
    assert refused(data={**data, "workers_per_gpu": 1, "train_dataloader": {key: value}}) == []


@pytest.mark.parametrize("changes", [
    {"custom_hooks": [{"type": "YOLOXModeSwitchHook", "num_last_epochs": 15, "priority": 48},
                      {"type": "SyncNormHook", "num_last_epochs": 15, "interval": 10, "priority": 48},
                      {"type": "ExpMomentumEMAHook", "resume_from": None, "momentum": 0.0001, "priority": 49}]},
    {"custom_hooks": [{"type": "NumClassCheckHook"}, {"type": "CheckInvalidLossHook", "interval": 50}]},
    {"optimizer_config": {"type": "GradientCumulativeOptimizerHook", "cumulative_iters": 4, "grad_clip": None}},
    {"lr_config": {"policy": "CosineAnnealing", "min_lr": 0, "warmup": "linear", "by_epoch": False}},
    {"momentum_config": {"policy": "cyclic", "target_ratio": (0.85 / 0.95, 1), "cyclic_times": 1}},
    {"optimizer": {"type": "AdamW", "lr": 1e-4, "paramwise_cfg": {"custom_keys": {}}}},
    {"evaluation": {"interval": 1, "save_best": "auto", "metric": "mAP"}, "checkpoint_config": {"max_keep_ckpts": 2}},
])
def test_what_mmdetections_configs_use_is_obeyed(changes):
    assert refused(**changes) == []


def test_all_refusals_come_at_once():
    with pytest.raises(UserError, match="(?s)fp16.*total_epochs.*NoSuchHook") as raised:
        config = load_config(MODEL)
        config.update(custom_hooks=[{"type": "NoSuchHook"}], fp16={"loss_scale": 1.0}, total_epochs=5,
                      runner={"type": "EpochBasedRunner", "max_epochs": 6})
        require_obeyed(config, gpus=0)
    assert all(word in str(raised.value) for word in ("NoSuchHook", "fp16", "total_epochs"))


def test_total_epochs_is_the_length_where_there_is_no_runner():
    config = load_config(MODEL)
    config.pop("runner")
    config.total_epochs = 12
    assert training_length(config).number == 12
    config.pop("total_epochs")
    with pytest.raises(UserError, match="neither runner nor total_epochs"):
        training_length(config)


def test_a_runs_two_configs_are_judged_without_training():
    model, compression = load_config(MODEL), load_config(COMPRESSION)
    check_run(model, compression, 0)
    with pytest.raises(UserError, match="another detector than model_config"):
        check_run(model, load_config("configs/nncf_compression/ssd300/int8.py"), 0)
    with pytest.raises(UserError, match="model_config: has an nncf_config"):
        check_run(compression, compression, 0)
    flipped = load_config(COMPRESSION)
    flipped.data.test.pipeline[1].flip = True
    with pytest.raises(UserError, match="compression_config.*sees an image once"):
        check_run(model, flipped, 0)


def test_a_start_that_is_inherited_is_not_where_compression_starts():
    assert own_start({"load_from": "coco.pth"}, {"load_from": "coco.pth"}) == {"load_from": None}
    assert own_start({"load_from": "int8.pth"}, {"load_from": "coco.pth"}) == {}
