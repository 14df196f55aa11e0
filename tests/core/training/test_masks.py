"""Masks go from a COCO folder through the cleaned annotations into Mask R-CNN's training batches."""

import shutil

from core.config.adapt import set_classes, set_data
from core.config.loading import load_config
from core.data.dataset import open_dataset, resolve_data
from core.dry_run.synthetic import BOXES, HEIGHT, WIDTH, write_dataset
from core.training.samples import train_loader


def test_masks_reach_the_training_batch(tmp_path, monkeypatch):
    monkeypatch.setenv("MMDET_COMPRESS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "coco"
    write_dataset(folder, ("cat", "dog"), 2)
    (folder / "annotations").mkdir()
    for split in ("train", "test"):
        shutil.copy(folder / "truth.json", folder / "annotations" / f"{split}.json")
    dataset = open_dataset(resolve_data(str(folder), val_split="none"))
    assert (dataset.train.boxes, dataset.train.masks) == (8, 8)

    config = load_config("configs/detectors/mask_rcnn_r50.py", {"data.workers_per_gpu": 0})
    for step in config.data.train.pipeline:
        if "img_scale" in step:
            step["img_scale"] = (WIDTH, HEIGHT)
    set_classes(config, dataset.classes)
    set_data(config, dataset)
    batch = next(iter(train_loader(config, dataset, 0)))
    masks = batch["gt_masks"].data[0]
    assert [sorted(int(mask.sum()) for mask in image.masks) for image in masks] == [
        sorted(width * height for _, _, width, height in BOXES)] * 2
