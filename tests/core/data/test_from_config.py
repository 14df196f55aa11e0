"""A config's own data: found where MMDetection finds them, each entry with its annotations, wrappers as they are."""

import copy
import json
import shutil

import pytest

from core.base.errors import UserError
from core.config.adapt import set_data
from core.data.dataset import open_dataset
from core.data.from_config import resolve_config_data
from core.data.reference import DataRef
from tests.core.data.conftest import coco_document, write_image

PIPELINE = [{"type": "LoadImageFromFile"}]


def entry(ann_file, img_prefix="", **more):
    return {"type": "CocoDataset", "ann_file": ann_file, "img_prefix": img_prefix, "pipeline": PIPELINE, **more}


def annotations(dataset_file):
    return json.loads(dataset_file.read_text())


@pytest.fixture
def project(tmp_path, monkeypatch, coco_folder):
    """Data in ``data/cells``, as MMDetection's configs have them, seen from the folder above."""
    coco_folder(tmp_path / "data" / "cells")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def section():
    return {name: entry(f"data/cells/annotations/{name}.json", f"data/cells/images/{name}/")
            for name in ("train", "val", "test")}


def test_the_configs_own_paths_are_used(project, section):
    ref = resolve_config_data({"data": section}, classes=("dog", "cat"))
    assert ref.uri == str(project / "data" / "cells")
    dataset = open_dataset(DataRef.from_json(json.loads(json.dumps(ref.to_json()))))
    assert dataset.classes == ("cat", "dog")  # the file's order, as MMDetection numbers them
    assert [split.images for split in (dataset.train, dataset.val, dataset.test)] == [3, 3, 3]
    assert dataset.train.image_root == project / "data/cells/images/train"
    assert dataset.train.parts == ()


def test_data_root_goes_before_relative_paths_alone(project, section):
    section["train"] = entry("annotations/train.json", "images/train", data_root="data/cells/")
    section["val"] = entry(str(project / "data/cells/annotations/val.json"), "images/val", data_root="data/cells")
    dataset = open_dataset(resolve_config_data({"data": section}))
    assert [split.images for split in (dataset.train, dataset.val, dataset.test)] == [3, 3, 3]


@pytest.mark.parametrize("config", ["configs/cells/x.py", "x.py"])
def test_paths_from_the_folder_of_the_config(project, section, monkeypatch, tmp_path_factory, config):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert resolve_config_data({"data": section}, project / config).uri == str(project / "data" / "cells")


def test_several_files_and_wrappers_keep_their_parts(project, section, coco_folder):
    more = coco_folder(project / "more")
    more.change("train", lambda document: document["annotations"].pop(0))
    section["train"] = {"type": "RepeatDataset", "times": 2, "dataset": {"type": "ConcatDataset", "datasets": [
        entry(["data/cells/annotations/train.json", "more/annotations/train.json"],
              ["data/cells/images/train", "more/images/train"]),
        {"type": "ClassBalancedDataset", "oversample_thr": 0.1, "dataset": dict(section["val"])}]}}
    untouched = copy.deepcopy(section)
    dataset = open_dataset(resolve_config_data({"data": section}))
    assert section == untouched
    assert dataset.train.images == 9
    assert [len(annotations(part)["annotations"]) for part in dataset.train.parts] == [3, 2, 3]
    for part in dataset.train.parts:
        assert all((dataset.train.image_root / image["file_name"]).is_file() for image in annotations(part)["images"])
    config = {"data": section}
    set_data(config, dataset)
    repeated = config["data"]["train"]
    assert (repeated["type"], repeated["times"]) == ("RepeatDataset", 2)
    first, second = repeated["dataset"]["datasets"]
    assert first["ann_file"] == [str(part) for part in dataset.train.parts[:2]]
    assert second["dataset"]["ann_file"] == str(dataset.train.parts[2]) and second["oversample_thr"] == 0.1


def test_mmdetection_builds_several_files_from_their_parts(project, section):
    from core.detectors.building import build_dataset

    section["train"] = {"type": "RepeatDataset", "times": 2, "dataset": {
        **entry([section[name]["ann_file"] for name in ("train", "val")],
                [section[name]["img_prefix"] for name in ("train", "val")]), "test_mode": True}}
    dataset = open_dataset(resolve_config_data({"data": section}))
    config = {"data": section}
    set_data(config, dataset)
    built = build_dataset(config["data"]["train"], dataset.train)
    assert [len(part) for part in built.dataset.datasets] == [3, 3] and len(built) == 12


def test_other_data_make_one_of_a_concatenation(project, section):
    dataset = open_dataset(resolve_config_data({"data": section}))
    config = {"data": {**section, "train": [section["train"], section["train"]]}}
    set_data(config, dataset)
    assert config["data"]["train"]["ann_file"] == str(dataset.train.annotation_file)


def test_validation_and_test_of_one_file_are_one_split(project, section):
    ref = resolve_config_data({"data": {**section, "test": dict(section["val"], pipeline=[])}})
    assert (ref.val_split, ref.test_split) == ("val", "val")
    assert (resolve_config_data({"data": {key: section[key] for key in ("train", "test")}}).val_split) == ""


def test_training_data_alone_are_split(project, section):
    for index in range(3, 12):
        write_image(project / f"data/cells/images/train/{index}.png", seed=index)
    document = coco_document()
    document["images"] = [{"id": index, "file_name": f"{index}.png", "width": 32, "height": 24} for index in range(12)]
    document["annotations"] = [{"id": index, "image_id": index, "category_id": 3, "bbox": [1, 1, 5, 5]}
                               for index in range(12)]
    (project / "data/cells/annotations/train.json").write_text(json.dumps(document))
    dataset = open_dataset(resolve_config_data({"data": {"train": section["train"], "test": {"pipeline": []}}},
                                               val_fraction=0.25, test_fraction=0.25))
    assert [split.images for split in (dataset.train, dataset.val, dataset.test)] == [6, 3, 3]


def test_pascal_voc(tmp_path, monkeypatch, voc):
    shutil.move(voc.root, tmp_path / "VOCdevkit")
    monkeypatch.chdir(tmp_path)
    section = {name: dict(type="VOCDataset", ann_file=f"VOCdevkit/ImageSets/Main/{name}.txt", img_prefix="VOCdevkit/")
               for name in ("train", "val", "test")}
    dataset = open_dataset(resolve_config_data({"data": section}))
    assert [split.images for split in (dataset.train, dataset.val, dataset.test)] == [2, 2, 2]


def test_every_file_that_is_missing_is_named(project, section):
    section["train"]["ann_file"] = "data/gone/train.json"
    section["test"]["img_prefix"] = "data/none"
    with pytest.raises(UserError) as caught:
        resolve_config_data({"data": section})
    for named in ("data.train: ", "data/gone/train.json", "data.test: ", "data/none"):
        assert named in caught.value.value
    assert "val" not in caught.value.value


@pytest.mark.parametrize("change, problem", [
    ({"type": "OpenImagesDataset"}, "data.train.type: OpenImagesDataset. It reads tables"),
    ({"type": "CustomDataset"}, "own form"), ({"ann_file": "x.pkl"}, "data.train.ann_file: x.pkl"),
    ({"ann_file": ["a.json", "b.json"], "img_prefix": ["x"]}, "2 ann_file and 1 img_prefix"),
    ({"ann_file": 3}, "are paths"), ({"ann_file": None}, "no ann_file"), ({"ann_file": "a\0.json"}, "are paths"),
    ({"type": "VOCDataset"}, "formats coco, voc"), ({"ann_file": "s3://bucket/a.json"}, "this machine and on S3"),
])
def test_entries_that_are_refused(project, section, change, problem):
    section["train"].update(change)
    with pytest.raises(UserError, match=problem):
        resolve_config_data({"data": section})


def test_images_of_other_machines_are_looked_for_in_the_prefix_alone(project, section):
    for name in ("train", "val"):
        file = project / f"data/cells/annotations/{name}.json"
        document = json.loads(file.read_text())
        for image in document["images"]:
            image["file_name"] = f"C:\\work\\{image['file_name']}"
        file.write_text(json.dumps(document))
    dataset = open_dataset(resolve_config_data({"data": section}))
    assert {image["file_name"] for image in annotations(dataset.train.annotation_file)["images"]} == {
        f"images/train/{index}.png" for index in range(3)}


def test_data_on_s3(s3, section, coco, monkeypatch):
    for file in coco.root.rglob("*.*"):
        s3.put(f"cells/{file.relative_to(coco.root).as_posix()}", file.read_bytes())
    section = {name: entry(f"annotations/{name}.json", f"images/{name}", data_root=f"{s3.uri}/cells")
               for name in ("train", "val", "test")}
    ref = resolve_config_data({"data": section})
    assert ref.uri == f"{s3.uri}/cells"
    assert open_dataset(ref).train.images == 3
