"""Folders as labelling tools and people leave them: found, split, or refused with the candidates."""

import json
import shutil

import pytest

from core.base.errors import UserError
from core.data.dataset import open_dataset, resolve_data
from core.data.layout import Fractions, Layout, Part, SplitNames, split_of
from core.data.reference import DataRef
from tests.core.data.conftest import SIZE, voc_object, write_image

WINDOWS = "C:\\Users\\me\\project\\images\\{}"


def coco(root, file, names, spelled="{}", places="{}", first=0, **more):
    """Write a COCO file whose images, each with one box of a cell, are spelled and placed as the patterns say."""
    images = [{"id": number, "file_name": spelled.format(name), "width": SIZE[0], "height": SIZE[1]}
              for number, name in enumerate(names)]
    boxes = [{"id": number, "image_id": number, "category_id": 1, "bbox": [2, 2, 9, 9]} for number in range(len(names))]
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "cell"}],
        **more}))
    for number, name in enumerate(names):
        write_image(root / places.format(name), seed=first + number)


def voc(root, names, annotations="{}.xml", images="{}.jpg", first=0):
    for number, name in enumerate(names):
        file = root / annotations.format(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"<annotation><folder>x</folder>{voc_object('cell', 3, 3, 12, 12)}</annotation>")
        write_image(root / images.format(name), seed=first + number)


def letters(count, prefix=""):
    return [f"{prefix}{index}.jpg" for index in range(count)]


def roboflow_coco(root):
    for number, name in enumerate(("train", "valid", "test")):
        coco(root, f"{name}/_annotations.coco.json", letters(2), places=name + "/{}", first=10 * number)


def folders_with_one_json(root):
    for number, name in enumerate(("train", "val")):
        coco(root, f"{name}/labels.json", letters(2), places=name + "/{}", first=10 * number)


def balloon(root):
    """The tutorial of MMDetection 2.x: the tool's own JSON beside the converted one."""
    for number, name in enumerate(("train", "val")):
        coco(root, f"{name}/annotation_coco.json", letters(2), places=name + "/{}", first=10 * number)
        (root / name / "via_region_data.json").write_text('{"a.jpg": {"regions": {"0": {}}}}')


def json_beside_folder(root):
    for number, name in enumerate(("train", "val")):
        coco(root, f"{name}.json", letters(2), places=name + "/{}", first=10 * number)


def coco_2017(root):
    for number, name in enumerate(("train", "val")):
        coco(root, f"annotations/instances_{name}2017.json", letters(2), places=name + "2017/{}", first=10 * number)
        (root / f"annotations/captions_{name}2017.json").write_text("[")


def nested(root):
    for number, name in enumerate(("train", "val")):
        coco(root, f"my data/labels/{name}_coco.json", letters(2), spelled="day 1/{}",
             places="my data/photos/" + name + "/day 1/{}", first=10 * number)


def windows_separators(root):
    for number, name in enumerate(("train", "val")):
        coco(root, f"annotations/{name}.json", letters(2), spelled=name + "\\{}", places="images/" + name + "/{}",
             first=10 * number)


def roboflow_voc(root):
    for number, name in enumerate(("train", "valid", "test")):
        voc(root, ["a", "b"], name + "/{}.xml", name + "/{}.jpg", first=10 * number)


def voc_split_folders(root):
    for number, name in enumerate(("train", "val")):
        voc(root, ["a", "b"], "annotations/" + name + "/{}.xml", "images/" + name + "/{}.JPG", first=10 * number)


@pytest.mark.parametrize("write, splits", [
    (roboflow_coco, ("train", "valid", "test")), (folders_with_one_json, ("train", "val", "val")),
    (balloon, ("train", "val", "val")), (json_beside_folder, ("train", "val", "val")),
    (coco_2017, ("train", "val", "val")), (nested, ("train", "val", "val")),
    (windows_separators, ("train", "val", "val")), (roboflow_voc, ("train", "valid", "test")),
    (voc_split_folders, ("train", "val", "val"))])
def test_splits_are_found(tmp_path, write, splits):
    write(tmp_path)
    ref = resolve_data(str(tmp_path))
    assert (ref.train_split, ref.val_split, ref.test_split) == splits
    dataset = open_dataset(DataRef.from_json(json.loads(json.dumps(ref.to_json()))))
    contents = []
    for split in (dataset.train, dataset.val, dataset.test):
        images = json.loads(split.annotation_file.read_text())["images"]
        files = [split.image_root / image["file_name"] for image in images]
        assert len(files) == split.images == split.boxes == 2
        contents.append({file.read_bytes() for file in files})
    # Each split has its own images, not those of the same name in another.
    assert not contents[0] & contents[1]


def labelimg(root):
    voc(root, [f"cell {index}" for index in range(10)], "annotations/{}.xml", "images/{}.jpg")
    write_image(root / "images" / "not labelled.jpg")
    (root / "images" / "predefined_classes.txt").write_text("cell")


def labelimg_flat(root):
    voc(root, [f"cell {index}" for index in range(10)], images="{}.jpeg")


def label_studio(root):
    coco(root, "result.json", letters(10), spelled="images\\{}", places="images/{}")


def cvat(root):
    coco(root, "annotations/instances_default.json", letters(10), places="images/default/{}")


def cvat_voc(root):
    voc(root, [str(index) for index in range(10)], "Annotations/{}.xml", "JPEGImages/{}.jpg")
    (root / "ImageSets/Main").mkdir(parents=True)
    (root / "ImageSets/Main/default.txt").write_text("\n".join(str(index) for index in range(10)))


def other_machine(root):
    coco(root, "export.json", letters(10), spelled=WINDOWS, places="pictures/{}")


def other_case(root):
    coco(root, "export.json", letters(10), spelled="images/{}", places="images/{}")
    for file in (root / "images").iterdir():
        file.rename(file.with_suffix(".JPG"))


def only_train(root):
    coco(root, "train/_annotations.coco.json", letters(10), places="train/{}")


@pytest.mark.parametrize("write", [labelimg, labelimg_flat, label_studio, cvat, cvat_voc, other_machine, other_case,
                                   only_train])
def test_data_without_splits_are_split_by_the_seed(tmp_path, write, caplog):
    write(tmp_path)
    caplog.set_level("INFO")
    ref = resolve_data(str(tmp_path), val_fraction=0.2, test_fraction=0.3)
    assert "by seed 0 20% of the images are kept for validation and 30% for the test" in caplog.text
    dataset = open_dataset(ref)
    assert [split.images for split in (dataset.train, dataset.val, dataset.test)] == [5, 2, 3]
    names = [image["file_name"] for split in (dataset.train, dataset.val, dataset.test)
             for image in json.loads(split.annotation_file.read_text())["images"]]
    assert len(set(names)) == 10
    assert resolve_data(str(tmp_path), val_fraction=0.2, test_fraction=0.3).digest == ref.digest
    for change in ({"split_seed": 1}, {"val_fraction": 0.3}, {"val_split": "none"}):
        other = resolve_data(str(tmp_path), **{"val_fraction": 0.2, "test_fraction": 0.3, **change})
        assert other.digest != ref.digest
    assert open_dataset(other).val is None


def test_images_without_annotation_are_named(tmp_path):
    labelimg(tmp_path)
    assert any("1 images without an annotation file are not used: images/not labelled.jpg" in warning
               for warning in open_dataset(resolve_data(str(tmp_path))).warnings)


def test_names_of_another_machine_are_found_with_a_word(tmp_path):
    other_machine(tmp_path)
    warning = open_dataset(resolve_data(str(tmp_path))).warnings[0]
    assert "10 images of export.json were found by the end of their path" in warning
    assert "as pictures/0.jpg" in warning


def test_an_image_that_fits_twice_is_refused_with_the_candidates(tmp_path):
    other_machine(tmp_path)
    (tmp_path / "copy").mkdir()
    shutil.copy(tmp_path / "pictures/3.jpg", tmp_path / "copy/3.jpg")
    with pytest.raises(UserError, match="Several files could be meant: copy/3.jpg, pictures/3.jpg"):
        resolve_data(str(tmp_path))


def test_a_missing_image_is_not_taken_from_another_split(tmp_path):
    folders_with_one_json(tmp_path)
    (tmp_path / "train/0.jpg").unlink()
    with pytest.raises(UserError, match="train/0.jpg .missing."):
        resolve_data(str(tmp_path))


def test_several_files_for_one_split_are_refused_until_one_is_named(tmp_path):
    json_beside_folder(tmp_path)
    shutil.copy(tmp_path / "train.json", tmp_path / "train/old.json")
    with pytest.raises(UserError, match="split 'train': 2 annotation files could be meant: train.json, train/old.json"):
        resolve_data(str(tmp_path))
    assert resolve_data(str(tmp_path), train_split="train/old.json").train_split == "train/old.json"
    assert open_dataset(resolve_data(str(tmp_path), train_split="old")).train.images == 2


def test_two_files_that_name_no_split_are_refused(tmp_path):
    coco(tmp_path, "first.json", letters(3, "a"))
    coco(tmp_path, "second.json", letters(3, "b"))
    with pytest.raises(UserError, match="The splits found are 'first', 'second'"):
        resolve_data(str(tmp_path))


@pytest.mark.parametrize("fractions, problem", [
    ({"val_fraction": 1.5}, "val_fraction: 1.5"), ({"test_fraction": 0}, "test_fraction: 0"),
    ({"val_fraction": 0.5, "test_fraction": 0.5}, "Together"), ({"split_seed": -1}, "split_seed"),
    ({"val_fraction": float("nan")}, "val_fraction: nan")])
def test_fractions_that_cannot_be(tmp_path, fractions, problem):
    with pytest.raises(UserError, match=problem):
        resolve_data(str(tmp_path), **fractions)


def test_too_few_images_to_share_out(tmp_path):
    coco(tmp_path, "export.json", letters(2))
    with pytest.raises(UserError, match="2 image.s. with a box and no split for train, val, test"):
        resolve_data(str(tmp_path))
    assert open_dataset(resolve_data(str(tmp_path), val_split="none")).test.images == 1


@pytest.mark.parametrize("path, split", [
    ("annotations/instances_train2017.json", "train"), ("val2017/x.json", "val"), ("a/Train_Set/labels.json", "train"),
    ("trained.json", "trained"), ("result.json", "result"), ("annotations/instances_default.json", "default"),
    ("test/labels-v2.json", "test"), ("train_val.json", "train_val")])
def test_the_split_that_a_path_names(path, split):
    from pathlib import PurePosixPath

    assert split_of(PurePosixPath(path)) == split


LAYOUT = Layout(SplitNames("train", "val", "test"), {"train": (Part("a.json"), Part("b", "images", "c.txt"))},
    Fractions())


def test_a_layout_survives_as_text():
    assert Layout.from_text(LAYOUT.names, LAYOUT.to_text()) == LAYOUT


@pytest.mark.parametrize("text", [
    "", "[]", "{}", '{"parts": {}, "fractions": null}', '{"parts": {"other": [["a"]]}, "fractions": null}',
    '{"parts": {"train": [["/etc/x.json"]]}, "fractions": null}', '{"parts": {"train": [["../x"]]}, "fractions": null}',
    '{"parts": {"train": [[1]]}, "fractions": null}', '{"parts": {"train": [["a"]]}, "fractions": ["x"]}'])
def test_what_is_no_layout_is_refused(text):
    with pytest.raises(UserError):
        Layout.from_text(LAYOUT.names, text)
