import pytest

from core.base.errors import UserError
from core.data.examination import choose_format, examine
from core.data.layout import Layout, SplitNames
from core.data.search import FileSearch

NAMES = SplitNames("train", "val", "test")


def layout(root, names):
    found = choose_format(FileSearch(root), "auto")[1]
    return Layout(names, {name: tuple(found[name]) for name in names if name})


def chosen(root, asked):
    return choose_format(FileSearch(root), asked)[0]


def test_the_format_is_found_out(coco, voc):
    assert chosen(coco.root, "auto") == "coco"
    assert chosen(voc.root, "auto") == "voc"
    assert chosen(voc.root, "voc") == "voc"


def test_an_unknown_format_is_refused(coco):
    with pytest.raises(UserError, match="'cocoo' .did you mean 'coco'.*auto, coco or voc"):
        chosen(coco.root, "cocoo")


def test_a_folder_in_both_formats_needs_a_decision(tmp_path, coco_folder, voc):
    coco_folder(voc.root)
    with pytest.raises(UserError, match="both formats.*Set data_format to coco or voc"):
        chosen(voc.root, "auto")
    assert chosen(voc.root, "coco") == "coco"


@pytest.mark.parametrize("asked, layouts", [
    ("auto", ["coco: annotations/<split>.json", "voc: ImageSets/Main/<split>.txt"]),
    ("coco", ["coco: annotations/<split>.json"]),
    ("voc", ["voc: ImageSets/Main/<split>.txt"]),
])
def test_a_folder_without_annotations_says_what_was_looked_for(tmp_path, asked, layouts):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(UserError) as caught:
        chosen(tmp_path, asked)
    assert str(caught.value.value) == f"{tmp_path} has no annotations (it holds pictures)"
    for layout in layouts:
        assert layout in caught.value.rule
    assert caught.value.rule.count(": ") == len(layouts)


def test_splits_are_cleaned_and_every_file_is_hashed(coco):
    examined = examine(FileSearch(coco.root), "coco", layout(coco.root, NAMES), ())
    assert examined.classes == ("cat", "dog")
    assert list(examined.splits) == ["train", "val", "test"]
    assert examined.splits["train"].images[0].boxes[1][:5] == ("cat", 20.5, 2, 11.5, 8.25)
    assert [row[0] for row in examined.rows] == [
        "annotations/test.json", "annotations/train.json", "annotations/val.json",
        *[f"images/{split}/{index}.png" for split in ("test", "train", "val") for index in range(3)]]
    assert examined.warnings == ()


def test_files_that_no_split_uses_do_not_matter(coco, image):
    before = examine(FileSearch(coco.root), "coco", layout(coco.root, SplitNames("train", "", "test")), ())
    image(coco.root / "images" / "train" / "more.png", seed=99)
    coco.write("val", "broken")
    assert examine(FileSearch(coco.root), "coco", layout(coco.root, SplitNames("train", "", "test")), ()) == before


def test_voc_classes_are_sorted_whichever_split_has_them(voc, an_object):
    voc.annotate("test 0", [an_object("ant", 1, 1, 5, 5)])
    examined = examine(FileSearch(voc.root), "voc", layout(voc.root, NAMES), ())
    assert examined.classes == ("ant", "cat", "dog")
    assert examined.warnings == ("split 'train' has no box to train on of 'ant'",)


def test_classes_of_a_later_coco_split_come_last(coco):
    coco.change("test", lambda document: document["categories"].append({"id": 1, "name": "ant"}))
    assert examine(FileSearch(coco.root), "coco", layout(coco.root, NAMES), ()).classes == ("cat", "dog", "ant")


def test_all_warnings_come_together(coco, image):
    coco.change("train", lambda document: document["annotations"].append(
        {"id": 14, "image_id": 7, "category_id": 3, "bbox": [4, 4, 0, 4]}))
    image(coco.root / "images" / "val" / "2.png", seed=1)
    examined = examine(FileSearch(coco.root), "coco", layout(coco.root, SplitNames("train", "val", "val")), ("dog",))
    assert examined.warnings == (
        "split 'val' serves as the test split: what is chosen by it is also measured by it",
        "2 boxes of 1 classes that were not asked for are left out: 'cat' (2)",
        "split 'train': box without area dropped: 2.png: annotation 14 [x 4, y 4, width 0, height 4]",
        "1 images of split 'val' are also in 'train': figures measured on them flatter the model")


def test_bad_images_of_all_splits_are_listed_together(coco, image):
    (coco.root / "images" / "train" / "1.png").unlink()
    image(coco.root / "images" / "test" / "0.png", size=(24, 32))
    (coco.root / "images" / "val" / "2.png").write_bytes(b"")
    with pytest.raises(UserError) as caught:
        examine(FileSearch(coco.root), "coco", layout(coco.root, NAMES), ())
    assert str(caught.value.value) == (
        f"3 of 9 in {coco.root} cannot be used: "
        "images/test/0.png (decodes to 24x32 pixels, annotated as 32x24); images/train/1.png (missing); "
        "images/val/2.png (empty file)")


def test_a_split_that_has_gone_is_named(coco):
    found = layout(coco.root, NAMES)
    coco.file("val").unlink()
    with pytest.raises(UserError, match="val.json .No such file"):
        examine(FileSearch(coco.root), "coco", found, ())


def test_faults_of_all_splits_are_listed_together(coco):
    for name in ("train", "test"):
        coco.change(name, lambda document: document["annotations"][0].update(bbox=None))
    with pytest.raises(UserError, match="2 faults: .*train.json, annotations.0..bbox.*test.json, annotations.0..bbox"):
        examine(FileSearch(coco.root), "coco", layout(coco.root, NAMES), ())
