"""The boxes and labels that a config's own data give, against those of MMDetection's own data sets."""

import json

import pytest

from core.config.adapt import set_data
from core.data.dataset import open_dataset
from core.data.from_config import resolve_config_data

SIZE = 64
FILE_ORDER = ("cow", "ant", "bee")
BOXES = {"cow": [3, 5, 20, 10], "ant": [8, 30, 12, 22], "bee": [40, 6, 9, 40]}
PIPELINE = [{"type": "LoadImageFromFile"}]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two images with a box of each class, as COCO and as Pascal VOC."""
    import cv2
    import numpy as np

    monkeypatch.setenv("MMDET_COMPRESS_CACHE", str(tmp_path / "cache"))
    for name in ("JPEGImages", "Annotations"):
        (tmp_path / name).mkdir()
    images = [{"id": number, "file_name": f"{number}.jpg", "width": SIZE, "height": SIZE} for number in (1, 2)]
    for image in images:
        cv2.imwrite(str(tmp_path / "JPEGImages" / image["file_name"]),
                    np.full((SIZE, SIZE, 3), image["id"] * 40, np.uint8))
        objects = "".join(
            f"<object><name>{name}</name><bndbox><xmin>{x + 1}</xmin><ymin>{y + 1}</ymin><xmax>{x + width}</xmax>"
            f"<ymax>{y + height}</ymax></bndbox></object>" for name, (x, y, width, height) in BOXES.items())
        (tmp_path / "Annotations" / f"{image['id']}.xml").write_text(
            f"<annotation><filename>{image['file_name']}</filename><size><width>{SIZE}</width><height>{SIZE}</height>"
            f"<depth>3</depth></size>{objects}</annotation>")
    # Category ids say nothing of the order.
    ids = dict(zip(FILE_ORDER, (7, 2, 5)))
    annotations = [{"id": len(BOXES) * image["id"] + place, "image_id": image["id"], "category_id": ids[name],
                    "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
                   for image in images for place, (name, box) in enumerate(BOXES.items())]
    (tmp_path / "labels.json").write_text(json.dumps({
        "images": images, "annotations": annotations,
        "categories": [{"id": ids[name], "name": name} for name in FILE_ORDER]}))
    (tmp_path / "names.txt").write_text("1\n2\n")
    return tmp_path


def found(split):
    """Return each image's boxes with their labels, whatever their order."""
    from mmdet.datasets import build_dataset

    images = build_dataset(split)
    notes = [images.get_ann_info(number) for number in range(len(images))]
    return [sorted(zip(map(tuple, note["bboxes"].tolist()), note["labels"].tolist())) for note in notes]


@pytest.mark.parametrize("classes", [FILE_ORDER, ("ant", "bee", "cow"), ("bee", "cow")], ids="-".join)
@pytest.mark.parametrize("kind", ["CocoDataset", "VOCDataset", "XMLDataset"])
def test_labels_are_mmdetections_whatever_the_order_of_classes(kind, classes, folder):
    from mmcv import Config

    files = {"ann_file": str(folder / "labels.json"), "img_prefix": str(folder / "JPEGImages")}
    if kind != "CocoDataset":
        files = {"ann_file": str(folder / "names.txt"), "img_prefix": str(folder)}
        if kind == "VOCDataset":
            # It looks for the year in the path alone.
            (folder / "VOC2007").symlink_to(folder)
            files = {key: value.replace(str(folder), str(folder / "VOC2007")) for key, value in files.items()}
    split = {"type": kind, "classes": classes, "pipeline": PIPELINE, **files}
    config = Config({"model": {"type": "X"}, "data": {name: dict(split) for name in ("train", "val", "test")}})
    theirs = found(dict(config.data.train))
    dataset = open_dataset(resolve_config_data(config, None, classes))
    set_data(config, dataset)
    assert found(config.data.train) == theirs
    assert set(dataset.classes) == set(classes)
    by_box = dict(theirs[0])
    if kind == "CocoDataset":
        # The names are those of the boxes; in MMDetection they are not, where the orders differ.
        for name, (x, y, width, height) in BOXES.items():
            if name in classes:
                assert dataset.classes[by_box[(x, y, x + width, y + height)]] == name


@pytest.mark.parametrize(("key", "value"), [("min_size", 10), ("separate_eval", True)])
def test_what_would_not_be_obeyed_is_refused_by_name(key, value):
    from core.config.decisions import refusals

    assert [error.thing for error in refusals({"data": {"val": {key: value}}})] == [f"config, data.val.{key}"]
    assert not refusals({"data": {"val": {key: None}}})
