import dataclasses
import json

from core.data.digest import data_digest
from core.data.examination import choose_format, examine
from core.data.layout import Layout, SplitNames
from core.data.prepared import entry_folder, read_manifest, write_entry
from core.data.reference import DataRef
from core.data.search import FileSearch

REF = DataRef("/data", "ab" * 32, "coco", ("dog", "cat"), "train", "", "test")


def layout(root, names):
    found = choose_format(FileSearch(root), "auto")[1]
    return Layout(names, {name: tuple(found[name]) for name in names if name})


def test_the_entry_depends_on_everything_but_the_place(cache):
    folder = entry_folder(REF)
    assert cache in folder.parents
    assert entry_folder(dataclasses.replace(REF, uri="/elsewhere")) == folder
    others = [dataclasses.replace(REF, **change) for change in (
        {"digest": "cd" * 32}, {"classes": ("cat", "dog")}, {"val_split": "val"}, {"format": "voc"})]
    assert len({entry_folder(other) for other in others} | {folder}) == 5


def test_cleaned_annotations_are_plain_coco(coco, tmp_path):
    entry = tmp_path / "entry"
    names = SplitNames("train", "", "test")
    examined = examine(FileSearch(coco.root), "coco", layout(coco.root, names), ("cat", "dog"))
    manifest = write_entry(entry, coco.root, examined)
    assert json.loads((entry / "train.json").read_text()) == {
        "images": [{"id": index + 1, "file_name": f"{index}.png", "width": 32, "height": 24} for index in range(3)],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 2, "bbox": [1.0, 2.0, 10.0, 8.0], "area": 80.0, "iscrowd": 0},
            {"id": 2, "image_id": 1, "category_id": 1, "bbox": [20.5, 2.0, 11.5, 8.25], "area": 94.875, "iscrowd": 0},
            {"id": 3, "image_id": 2, "category_id": 2, "bbox": [0.0, 0.0, 32.0, 24.0], "area": 99.5, "iscrowd": 1}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]}
    assert manifest["splits"]["test"] == {"name": "test", "image_root": "images/test", "images": 3, "boxes": 2,
                                          "masks": 0, "parts": []}
    assert data_digest(manifest["files"]) == data_digest(examined.rows)
    assert read_manifest(entry) == json.loads(json.dumps(manifest))


def test_masks_are_kept_and_counted(coco, tmp_path):
    triangle = [[1, 2, 10, 2, 10, 9]]
    coco.change("train", lambda document: document["annotations"][0].update(segmentation=triangle))
    names = SplitNames("train", "", "test")
    examined = examine(FileSearch(coco.root), "coco", layout(coco.root, names), ("cat", "dog"))
    manifest = write_entry(tmp_path / "entry", coco.root, examined)
    boxes = json.loads((tmp_path / "entry" / "train.json").read_text())["annotations"]
    assert [box.get("segmentation") for box in boxes] == [triangle, None, None]
    assert (manifest["splits"]["train"]["masks"], manifest["splits"]["test"]["masks"]) == (1, 0)


def test_an_entry_that_is_not_whole_counts_as_none(coco, tmp_path):
    assert read_manifest(tmp_path / "entry") is None
    examined = examine(FileSearch(coco.root), "coco", layout(coco.root, SplitNames("train", "val", "test")), ())
    write_entry(tmp_path / "entry", coco.root, examined)
    (tmp_path / "entry" / "val.json").unlink()
    assert read_manifest(tmp_path / "entry") is None
