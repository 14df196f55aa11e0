import json
import logging
import os
import shutil
from collections import Counter

import numpy as np
import pytest

from core.base.errors import UserError
from core.data.dataset import Dataset, Split, open_dataset, resolve_data
from core.data.reference import DataRef


def load(split):
    return json.loads(split.annotation_file.read_text())


def test_a_coco_folder_is_resolved_and_opened(coco, cache):
    ref = resolve_data(str(coco.root))
    assert ref == DataRef(str(coco.root), ref.digest, "coco", ("cat", "dog"), "train", "val", "test", "", ref.layout)
    dataset = open_dataset(DataRef.from_json(json.loads(json.dumps(ref.to_json()))))
    entry = dataset.train.annotation_file.parent
    assert cache in entry.parents
    assert dataset == Dataset(("cat", "dog"), *(
        Split(name, entry / f"{name}.json", coco.root / "images" / name, 3, 2) for name in ("train", "val", "test")
    ), ref.digest, ())


def test_a_voc_folder_is_resolved_and_opened(voc, an_object):
    voc.annotate("train 0", [an_object("Blutkörperchen", 2, 3, 12, 14, "<difficult>1</difficult>"),
                             an_object("Blutkörperchen", 3, 3, 12, 14)])
    dataset = open_dataset(resolve_data(f"file://{voc.root}", val_split="none"))
    assert dataset.classes == ("Blutkörperchen", "cat", "dog")
    assert dataset.val is None
    assert (dataset.train.images, dataset.train.boxes) == (2, 3)
    assert [(box["category_id"], box["iscrowd"]) for box in load(dataset.train)["annotations"]] == [
        (1, 1), (1, 0), (3, 0), (2, 0)]


def test_one_split_can_play_two_parts(coco):
    coco.file("test").unlink()
    dataset = open_dataset(resolve_data(str(coco.root)))
    assert (dataset.val.name, dataset.test.name) == ("val", "val")
    assert load(dataset.val) == load(dataset.test)
    assert len(dataset.warnings) == 1 and "serves as the test split" in dataset.warnings[0]


def test_the_same_data_elsewhere_has_the_same_digest(coco, tmp_path):
    shutil.copytree(coco.root, tmp_path / "moved")
    here, there = resolve_data(str(coco.root)), resolve_data(str(tmp_path / "moved"))
    assert here.digest == there.digest
    assert open_dataset(there).train.image_root == tmp_path / "moved" / "images" / "train"


@pytest.mark.parametrize("change", [
    lambda coco, image: image(coco.root / "images" / "train" / "0.png", seed=77),
    lambda coco, image: coco.change("train", lambda document: document["annotations"].pop()),
    lambda coco, image: coco.change("test", lambda document: document.update(info="new")),
])
def test_any_change_gives_another_digest(coco, image, change):
    before = resolve_data(str(coco.root)).digest
    change(coco, image)
    assert resolve_data(str(coco.root)).digest != before


def test_relative_paths_become_absolute(coco, monkeypatch):
    monkeypatch.chdir(coco.root.parent)
    assert resolve_data("coco").uri == str(coco.root)


def test_opening_an_unchanged_folder_reads_no_image(coco, monkeypatch):
    for path in coco.root.rglob("*"):
        os.utime(path, (1_500_000_000, 1_500_000_000))
    ref = resolve_data(str(coco.root))
    monkeypatch.setattr("core.data.digest.read_with_facts", lambda path: pytest.fail(f"{path} was read"))
    assert open_dataset(ref).train.images == 3


def test_opening_needs_no_earlier_cache(coco, monkeypatch, tmp_path):
    ref = resolve_data(str(coco.root))
    here = open_dataset(ref)
    monkeypatch.setenv("MMDET_COMPRESS_CACHE", str(tmp_path / "another machine"))
    there = open_dataset(ref)
    assert tmp_path / "another machine" in there.train.annotation_file.parents
    assert load(there.test) == load(here.test)
    assert there.warnings == here.warnings


def test_a_changed_folder_is_refused_with_the_files_that_differ(coco, image):
    ref = resolve_data(str(coco.root))
    image(coco.root / "images" / "train" / "0.png", seed=77)
    (coco.root / "images" / "val" / "1.png").unlink()
    with pytest.raises(UserError) as caught:
        open_dataset(ref)
    assert str(caught.value.value) == (
        f"{coco.root} changed since it was resolved (2 files differ: images/train/0.png, "
        "images/val/1.png (No such file or directory))")
    assert ref.digest[:12] in str(caught.value)


def test_a_changed_folder_is_refused_without_a_cache_too(coco, image, monkeypatch, tmp_path):
    ref = resolve_data(str(coco.root))
    image(coco.root / "images" / "train" / "0.png", seed=77)
    monkeypatch.setenv("MMDET_COMPRESS_CACHE", str(tmp_path / "another machine"))
    with pytest.raises(UserError, match="changed since it was resolved .digest "):
        open_dataset(ref)


def test_warnings_are_logged_once_and_stay_with_the_data(coco, caplog):
    coco.change("train", lambda document: document["annotations"][0].update(bbox=[1, 1, 0, 5]))
    with caplog.at_level(logging.WARNING):
        ref = resolve_data(str(coco.root))
        warnings = open_dataset(ref).warnings
    found, *warned = [record.getMessage() for record in caplog.records]
    assert found == "data: coco annotations: train from annotations/train.json; val from annotations/val.json; " \
                    "test from annotations/test.json"
    assert warned == [f"data: {warning}" for warning in warnings]
    assert "0.png: annotation 11 [x 1, y 1, width 0, height 5]" in warnings[0]


def test_classes_are_taken_in_the_order_asked_for(coco):
    dataset = open_dataset(resolve_data(str(coco.root), classes=["cat"]))
    assert dataset.classes == ("cat",)
    assert load(dataset.train)["categories"] == [{"id": 1, "name": "cat"}]
    assert (dataset.train.images, dataset.train.boxes) == (3, 1)
    assert dataset.warnings == ("6 boxes of 1 classes that were not asked for are left out: 'dog' (6)",)


def test_classes_that_the_data_lacks_are_refused(coco):
    with pytest.raises(UserError, match="parameter classes: 'Cat' .did you mean 'cat'.. not in the data"):
        resolve_data(str(coco.root), classes=["Cat"])


def test_a_split_that_the_data_lacks_is_refused(voc):
    with pytest.raises(UserError, match="parameter test_split: 'tset' .*did you mean 'test'"):
        resolve_data(str(voc.root), test_split="tset")


def test_empty_annotations_are_refused(coco):
    coco.change("test", lambda document: document.update(annotations=[]))
    with pytest.raises(UserError, match="annotations of split 'test': .*test.json has no box of cat, dog"):
        resolve_data(str(coco.root))


def test_an_empty_split_file_is_refused(voc):
    voc.split("val", [])
    with pytest.raises(UserError, match="annotations of split 'val': .*val.txt has no image"):
        resolve_data(str(voc.root))


def test_a_missing_folder_is_named_with_what_is_near(coco):
    with pytest.raises(UserError) as caught:
        resolve_data(str(coco.root.parent / "cooc"))
    assert str(caught.value) == (f"data folder: {coco.root.parent / 'cooc'}. It does not exist (did you mean 'coco'?). "
                                 "Pass the data set's folder, or builtin://digits.")


def test_a_missing_parent_is_named_too(tmp_path):
    with pytest.raises(UserError, match=f"It does not exist, nor does {tmp_path / 'no'}."):
        resolve_data(str(tmp_path / "no" / "data"))


def test_a_folder_that_goes_away_is_named_when_opened(coco):
    ref = resolve_data(str(coco.root))
    shutil.rmtree(coco.root)
    with pytest.raises(UserError, match="data folder: .* does not exist"):
        open_dataset(ref)


def test_a_damaged_archive_is_refused(tmp_path):
    (tmp_path / "data.zip").write_bytes(b"PK")
    with pytest.raises(UserError, match="archive: .*data.zip. It must be a sound archive"):
        resolve_data(str(tmp_path / "data.zip"))


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    (tmp_path / "data.csv").write_text("a,b")
    with pytest.raises(UserError, match="data.csv. It must be a folder in COCO or Pascal VOC layout, or an archive"):
        resolve_data(str(tmp_path / "data.csv"))


def test_only_digits_are_built_in():
    with pytest.raises(UserError, match="'builtin://letters'. The only built-in data set is builtin://digits"):
        resolve_data("builtin://letters")


def test_the_built_in_sample_is_resolved_and_opened(cache):
    ref = resolve_data("builtin://digits?train=20&test=12&val=0")
    assert ref.uri == "builtin://digits?seed=0&train=20&val=0&test=12"
    assert ref.classes == tuple("0123456789")
    assert ref.val_split == ""
    dataset = open_dataset(ref)
    assert (dataset.train.images, dataset.test.images) == (20, 12)
    assert (dataset.test.image_root / "000012.bmp").is_file()
    shutil.rmtree(cache)
    assert open_dataset(ref) == dataset


def test_bccd_is_read_whole_and_its_two_faults_are_named(bccd):
    dataset = open_dataset(resolve_data(str(bccd)))
    assert dataset.classes == ("Platelets", "RBC", "WBC")
    assert [split.images for split in (dataset.train, dataset.val, dataset.test)] == [205, 87, 72]
    assert dataset.warnings == (
        "split 'train': box without area dropped: BloodImage_00343.jpg: object 4 (RBC) "
        "[x 180, y 328, width 0, height 0]",
        "split 'val': box without area dropped: BloodImage_00338.jpg: object 13 (RBC) "
        "[x 503, y 336, width 0, height 0]")
    counts = Counter(dataset.classes[box["category_id"] - 1] for split in (dataset.train, dataset.val, dataset.test)
                     for box in load(split)["annotations"])
    assert counts == {"RBC": 4155 - 2, "WBC": 372, "Platelets": 361}


def test_mmdet_reads_the_same_boxes_from_the_cleaned_file_as_from_the_voc_folder(bccd):
    from mmdet import datasets
    dataset = open_dataset(resolve_data(str(bccd)))
    pipeline, classes = [], dataset.classes
    theirs = datasets.XMLDataset(ann_file=str(bccd / "ImageSets/Main/test.txt"), img_prefix=str(bccd),
                                 classes=classes, pipeline=pipeline, test_mode=True)
    ours = datasets.CocoDataset(ann_file=str(dataset.test.annotation_file), img_prefix=str(dataset.test.image_root),
                                classes=classes, pipeline=pipeline, test_mode=True)
    assert len(ours) == len(theirs) == 72
    for index in range(72):
        expected, found = theirs.get_ann_info(index), ours.get_ann_info(index)
        assert np.array_equal(found["bboxes"], expected["bboxes"])
        assert np.array_equal(found["labels"], expected["labels"])
