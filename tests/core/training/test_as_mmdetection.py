"""First losses against MMDetection's own, from every start; tests/tools/test_as_mmdetection.py has the weights."""

import copy

import pytest
import torch

from core.config.adapt import set_classes
from core.config.loading import load_config
from core.training.trainer import Output, Trainer

SEED = 3
SMALL = {"model.backbone.depth": 18, "model.backbone.base_channels": 8, "model.backbone.frozen_stages": -1,
         "model.neck.in_channels": [8, 16, 32, 64], "model.neck.out_channels": 32}
HEAD = {"model.bbox_head.in_channels": 32, "model.bbox_head.feat_channels": 32}
DETECTORS = {
    "retinanet_r50": {**SMALL, **HEAD},
    "fcos_r50": {**SMALL, **HEAD, "model.bbox_head.norm_cfg": {"type": "GN", "num_groups": 8}},
    "atss_r50": {**SMALL, **HEAD}, "retinanet_r18_small_digits": {}, "yolox_tiny": {"model.input_size": (64, 64)}}
STARTS = ("scratch", "COCO", "EMA", "resumed", "backbone file")


@pytest.fixture
def config(tiny_data):
    """Return a function that gives a detector's config on the tiny data."""
    from core.config.adapt import set_data

    def make(name, **options):
        loaded = load_config(f"configs/detectors/{name}.py")
        loaded.merge_from_dict({"runner.max_epochs": 1, "log_config": {"interval": 1}, "data.workers_per_gpu": 0,
                                "data.samples_per_gpu": 4, **DETECTORS[name]})
        loaded.update({key: value for key, value in options.items() if not key.startswith("model.")})
        loaded.model.pop("pretrained", None)
        loaded.model.backbone.init_cfg = options.get("model.backbone.init_cfg")
        for part in (loaded.data.train, loaded.data.val, loaded.data.test):
            for step in part.pipeline:
                if "img_scale" in step:
                    step["img_scale"] = (64, 64)
                if step["type"] == "Pad" and "size" in step:
                    step["size"] = (64, 64)
        set_classes(loaded, tiny_data.classes)
        set_data(loaded, tiny_data)
        return loaded

    return make


def mmdetections_model(config):
    from mmdet.apis import set_random_seed
    from mmdet.models import build_detector

    set_random_seed(SEED)
    model = build_detector(config.model, train_cfg=config.get("train_cfg"), test_cfg=config.get("test_cfg"))
    model.init_weights()
    return model


def start(kind, config, folder):
    """Return the options that a start takes, and write its checkpoint as MMDetection would."""
    if kind == "scratch":
        return {}
    other = copy.deepcopy(config)
    if kind == "COCO":
        set_classes(other, [f"class {number}" for number in range(80)])
    model = mmdetections_model(other)
    weights = {name: value + 0.01 if value.is_floating_point() else value for name, value in model.state_dict().items()}
    if kind == "backbone file":
        torch.save({name.removeprefix("backbone."): value for name, value in weights.items()
                    if name.startswith("backbone.")}, folder / "given.pth")
        return {"model.backbone.init_cfg": {"type": "Pretrained", "checkpoint": str(folder / "given.pth")}}
    if kind == "EMA":
        weights.update({f"ema_{name.replace('.', '_')}": value * 2 for name, value in list(weights.items())})
    if kind != "resumed":
        weights = {f"module.{name}": value for name, value in weights.items()}
    from mmdet.core import build_optimizer

    optimizer = build_optimizer(model, copy.deepcopy(config.optimizer))
    torch.save({"state_dict": weights, "meta": {"epoch": 0, "iter": 0}, "optimizer": optimizer.state_dict()},
               folder / "given.pth")
    return {"resume_from" if kind == "resumed" else "load_from": str(folder / "given.pth")}


def mmdetections_first_losses(config):
    from mmcv.parallel import MMDataParallel
    from mmcv.runner import load_checkpoint as load_into
    from mmdet.datasets import build_dataloader, build_dataset

    model = mmdetections_model(config)
    given = config.get("resume_from") or config.get("load_from")
    if given:
        load_into(model, given, map_location="cpu", revise_keys=[(r"^module\.", "")])
    loader = build_dataloader(build_dataset(config.data.train), 4, 0, num_gpus=1, dist=False, seed=SEED)
    model = MMDataParallel(model, device_ids=[]).train()
    return model.train_step(next(iter(loader)), None)["log_vars"]


class FirstLosses(Exception):
    """Carries the losses of the first step."""


def our_first_losses(config, data, folder):
    trainer = Trainer(config, data, Output(folder, validate=False), seed=SEED)

    def stop(runner):
        raise FirstLosses(runner.outputs["log_vars"])

    trainer.runner.hooks[0].after_train_iter = stop
    with pytest.raises(FirstLosses) as stopped:
        trainer.run()
    return stopped.value.args[0]


@pytest.mark.parametrize("kind", STARTS)
@pytest.mark.parametrize("name", DETECTORS)
def test_the_first_losses_are_mmdetections(name, kind, config, tiny_data, tmp_path):
    given = start(kind, config(name), tmp_path)
    theirs = mmdetections_first_losses(config(name, **given))
    ours = our_first_losses(config(name, **given), tiny_data, tmp_path / "work")
    assert ours == pytest.approx(theirs, abs=1e-5)
