"""tools/train.py against MMDetection's own tools/train.py, on its own configs: the weights are the same bits."""

import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import mmdet
import pytest
import torch

from tools import train

MMDETECTION = Path(mmdet.__file__).parent / ".mim"
SEED = "3"
CLASSES = ("3", "5", "7")
SIDE = 64
BACKBONE = {"depth": 18, "base_channels": 8, "init_cfg": None, "frozen_stages": -1, "norm_eval": False}
PYRAMID = {"in_channels": [8, 16, 32, 64], "out_channels": 16}
LOADING = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations", "with_bbox": True}]
CUSTOMARY = [{"type": "Resize", "img_scale": (SIDE, SIDE), "keep_ratio": True},
             {"type": "RandomFlip", "flip_ratio": 0.5},
             {"type": "Normalize", "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375], "to_rgb": True},
             {"type": "Pad", "size_divisor": 32}, {"type": "DefaultFormatBundle"},
             {"type": "Collect", "keys": ["img", "gt_bboxes", "gt_labels"]}]
MIXED = [{"type": "Mosaic", "img_scale": (SIDE, SIDE), "pad_val": 114.0},
         {"type": "RandomAffine", "scaling_ratio_range": (0.5, 1.5), "border": (-SIDE // 2, -SIDE // 2)},
         {"type": "YOLOXHSVRandomAug"}, {"type": "RandomFlip", "flip_ratio": 0.5},
         {"type": "Resize", "img_scale": (SIDE, SIDE), "keep_ratio": True},
         {"type": "Pad", "pad_to_square": True, "pad_val": {"img": (114.0, 114.0, 114.0)}},
         {"type": "FilterAnnotations", "min_gt_bbox_wh": (1, 1), "keep_empty": False}, *CUSTOMARY[-2:]]
EMA = [{"type": "ExpMomentumEMAHook", "momentum": 0.01, "priority": 49}]
DETECTORS = {
    "retinanet": ("retinanet/retinanet_r18_fpn_1x_coco.py", lambda classes: {
        "backbone": BACKBONE, "neck": PYRAMID,
        "bbox_head": {"num_classes": classes, "in_channels": 16, "feat_channels": 16}}),
    "faster_rcnn": ("faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py", lambda classes: {
        "backbone": {**BACKBONE, "depth": 18}, "neck": PYRAMID, "rpn_head": {"in_channels": 16, "feat_channels": 16},
        "roi_head": {"bbox_roi_extractor": {"out_channels": 16}, "bbox_head": {
            "num_classes": classes, "in_channels": 16, "fc_out_channels": 32}}}),
    # Its hooks are EMA, the mode switch and the synchronisation of norms.
    "yolox": ("yolox/yolox_tiny_8x8_300e_coco.py", lambda classes: {
        "input_size": (SIDE, SIDE), "random_size_range": (2, 4), "random_size_interval": 1,
        "backbone": {"widen_factor": 0.125}, "neck": {"in_channels": [32, 64, 128], "out_channels": 16},
        "bbox_head": {"num_classes": classes, "in_channels": 16, "feat_channels": 16}})}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    from core.data.dataset import open_dataset, resolve_data

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMDET_COMPRESS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield open_dataset(resolve_data("builtin://digits?train=16&val=4&test=4"))


@pytest.fixture
def config_file(scenes, tmp_path):
    """Return a function that writes a config of MMDetection's with a few scenes, and returns its path."""
    def entry(split):
        return {"type": "CocoDataset", "ann_file": str(split.annotation_file), "img_prefix": f"{split.image_root}/",
                "classes": CLASSES}

    def write(name, file="own.py", classes=3, backbone=None, **options):
        base, model = DETECTORS[name][0], DETECTORS[name][1](classes)
        model["backbone"] = {**model["backbone"], **(backbone or {})}
        training = {**entry(scenes.train), "pipeline": [*LOADING, *CUSTOMARY]}
        if name == "yolox":
            training = {"type": "MultiImageMixDataset", "pipeline": MIXED, "dataset": {
                **entry(scenes.train), "pipeline": LOADING, "filter_empty_gt": False}}
        values = {"model": model, "runner": {"type": "EpochBasedRunner", "max_epochs": 1},
                  "data": {"samples_per_gpu": 8, "workers_per_gpu": int(name == "retinanet"),
                           "persistent_workers": False, "train": {**training, "_delete_": True},
                           "val": entry(scenes.val), "test": entry(scenes.test)},
                  "checkpoint_config": {"interval": 1}, "log_config": {"interval": 1}, **options}
        path = tmp_path / file
        path.write_text(f"_base_ = {str(MMDETECTION / 'configs' / base)!r}\n"
                        + "".join(f"{key} = {value!r}\n" for key, value in values.items()))
        return path

    return write


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """Let mmcv's runner go on at once: it waits two seconds for the workers of an earlier epoch."""
    monkeypatch.setattr("mmcv.runner.epoch_based_runner.time", SimpleNamespace(sleep=lambda seconds: None))


def mmdetections_training(config, folder, monkeypatch, *options):
    """Run MMDetection's own command."""
    monkeypatch.setattr(sys, "argv", ["train.py", str(config), "--work-dir", str(folder), "--seed", SEED, *options])
    # Seconds for what does not train: the versions of compilers, and the layout of the config's text.
    monkeypatch.setattr("mmdet.utils.collect_env", dict)
    monkeypatch.setattr("mmcv.Config.pretty_text", property(
        lambda config: "".join(f"{key} = {value!r}\n" for key, value in config._cfg_dict.to_dict().items())))
    runpy.run_path(str(MMDETECTION / "tools" / "train.py"), run_name="__main__")
    return folder


def our_training(config, folder, *options):
    assert train.main([str(config), "--work-dir", str(folder), "--seed", SEED, *options]) == 0
    return folder


def losses(folder):
    """Return what each step's log says of its losses."""
    log, = folder.glob("*.log.json")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [{key: value for key, value in line.items() if "loss" in key or key in ("acc", "lr", "grad_norm")}
            for line in lines if line.get("mode") == "train"]


def begun(kind, name, config_file, folder):
    """Return the config's keys of a start; a file that it names is written as MMDetection's model gives it."""
    if kind == "EMA":
        return {"custom_hooks": EMA}
    if kind not in ("COCO", "backbone file"):
        return {}
    given = folder / "given.pth"
    if kind == "COCO":
        torch.save({"state_dict": build(config_file(name, "coco.py", 80)).state_dict(), "meta": {}}, given)
        return {"load_from": str(given)}
    torch.save(build(config_file(name, "earlier.py")).backbone.state_dict(), given)
    return {"backbone": {"init_cfg": {"type": "Pretrained", "checkpoint": str(given)}}}


def build(config):
    from mmcv import Config
    from mmdet.apis import set_random_seed
    from mmdet.models import build_detector

    set_random_seed(7)
    loaded = Config.fromfile(str(config))
    model = build_detector(loaded.model, train_cfg=loaded.get("train_cfg"), test_cfg=loaded.get("test_cfg"))
    model.init_weights()
    return model


STARTS = ("scratch", "COCO", "backbone file", "EMA", "resumed")
QUICK = [*((name, "scratch") for name in DETECTORS), ("retinanet", "COCO"), ("retinanet", "backbone file"),
         ("retinanet", "resumed")]
CASES = [pytest.param(name, start, marks=[] if (name, start) in QUICK else pytest.mark.release, id=f"{name}-{start}")
         for name in DETECTORS for start in STARTS]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_start_trains_to_mmdetections_weights(name, kind, config_file, tmp_path, monkeypatch):
    config = config_file(name, **begun(kind, name, config_file, tmp_path))
    theirs, resumed = mmdetections_training(config, tmp_path / "theirs", monkeypatch), []
    if kind == "resumed":
        config = config_file(name, runner={"type": "EpochBasedRunner", "max_epochs": 2})
        resumed = ["--resume-from", str(theirs / "epoch_1.pth")]
        theirs = mmdetections_training(config, tmp_path / "on", monkeypatch, *resumed)
    ours = our_training(config, tmp_path / "ours", *resumed)
    assert losses(ours) == losses(theirs)
    first, second = (torch.load(folder / "latest.pth")["state_dict"] for folder in (theirs, ours))
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[key]) for key, value in first.items())
