import json

import pytest

from core.base.errors import UserError
from core.data import coco as format_coco
from core.data.annotations import AnnotatedImage, Box
from tests.core.data.reading import list_splits, read_split


def test_a_sound_file_is_read_as_it_is(coco):
    split = read_split(format_coco, coco.root, "train")
    assert (split.name, split.image_root, split.files) == (
        "train", coco.root / "images" / "train", (coco.root / "annotations" / "train.json",))
    assert split.classes == ("cat", "dog")
    assert split.images == (
        AnnotatedImage("0.png", 32, 24, (Box("dog", 1, 2, 10, 8, False, 80.0, "annotation 11"),
                                         Box("cat", 20.5, 2, 30, 8.25, False, None, "annotation 12"))),
        AnnotatedImage("1.png", 32, 24, (Box("dog", 0, 0, 32, 24, True, 99.5, "annotation 13"),)),
        AnnotatedImage("2.png", 32, 24, ()))
    assert split.warnings == ()


@pytest.mark.parametrize("annotations", ["annotations/{}.json", "annotations/instances_{}.json",
                                         "annotations/instances_{}2017.json", "{}/_annotations.coco.json"])
@pytest.mark.parametrize("images", ["{}", "{}2017", "images/{}", "images", "."])
def test_customary_layouts_are_found(tmp_path, coco_folder, annotations, images):
    folder = coco_folder(tmp_path / "data", annotations, images)
    (folder.root / "images").mkdir(exist_ok=True)
    assert list_splits(format_coco, folder.root) == ("test", "train", "val")
    split = read_split(format_coco, folder.root, "val")
    assert split.files == (folder.file("val"),)
    assert (split.image_root / "0.png").samefile(folder.root / images.format("val") / "0.png")


def test_companion_files_of_other_tasks_are_no_splits(coco):
    for name in ("captions_train2017", "person_keypoints_val2017", "image_info_test2017"):
        coco.write(name, {})
    assert list_splits(format_coco, coco.root) == ("test", "train", "val")


def test_the_image_folder_with_most_images_is_taken_where_none_has_all(coco):
    (coco.root / "images" / "train" / "0.png").unlink()
    (coco.root / "train").mkdir()
    assert read_split(format_coco, coco.root, "train").image_root == coco.root / "images" / "train"


def test_names_that_no_file_can_have_are_left_to_the_image_check(coco):
    coco.change("train", lambda document: document["images"][0].update(file_name="x" * 5000))
    assert read_split(format_coco, coco.root, "train").images[0].file_name == "x" * 5000


@pytest.mark.parametrize("text, named", [
    ("", "an empty file"),
    ('{"images": [', "line 1"),
    ("[" * 100_000, "nested too deeply"),
    ("[]", "list"),
    ("{}", "keys "),
    ('{"images": {}, "annotations": [], "categories": []}', "'images', 'annotations', 'categories'"),
    ('{"images": [], "categories": []}', "keys ['images', 'categories']"),
])
def test_what_is_no_coco_file_is_refused(coco, text, named):
    coco.write("train", text)
    with pytest.raises(UserError) as caught:
        read_split(format_coco, coco.root, "train")
    assert str(coco.file("train")) in str(caught.value)
    assert named in str(caught.value.value)


def test_text_that_is_not_unicode_is_refused(coco):
    coco.file("train").write_bytes(b'{"images": "\xff"}')
    with pytest.raises(UserError, match="UTF-8"):
        read_split(format_coco, coco.root, "train")


def test_a_byte_order_mark_is_no_fault(coco):
    coco.file("train").write_bytes(b"\xef\xbb\xbf" + coco.file("train").read_bytes())
    assert len(read_split(format_coco, coco.root, "train").images) == 3


FAULTS = [
    ("images", {"id": None}, "images[1].id", "None"),
    ("images", {"id": True}, "images[1].id", "True"),
    ("images", {"id": 5.0}, "images[1].id", "5.0"),
    ("images", {"id": "7"}, "images[2].id", "7"),
    ("images", {"id": 6.5}, "images[1].id", "6.5"),
    ("images", {"file_name": 3}, "images[1].file_name", "3"),
    ("images", {"file_name": "0.png"}, "images[1].file_name", "'0.png'"),
    ("images", {"file_name": "../gone.png"}, "file name '../gone.png'", "'../gone.png'"),
    ("images", {"file_name": "../0.png"}, "images[1].file_name", "'../0.png'"),
    ("images", {"height": 23.5}, "images[1].height", "23.5"),
    ("images", {"width": float("inf")}, "images[1].width", "inf"),
    ("categories", {"id": 7}, "categories[1].id", "7"),
    ("categories", {"name": " "}, "categories[1].name", "' '"),
    ("categories", {"name": None}, "categories[1].name", "None"),
    ("categories", {"name": "\ud800"}, "categories[1].name", "'\\ud800'"),
    ("annotations", {"image_id": [5]}, "annotations[1].image_id", "[5]"),
    ("annotations", {"category_id": {}}, "annotations[1].category_id", "{}"),
    ("annotations", {"bbox": [1, 2, 3, "four"]}, "annotations[1].bbox", "[1, 2, 3, 'four']"),
    ("annotations", {"bbox": None}, "annotations[1].bbox", "None"),
    ("annotations", {"bbox": [1, 2, 3]}, "annotations[1].bbox", "[1, 2, 3]"),
    ("annotations", {"bbox": [1, 2, 3, True]}, "annotations[1].bbox", "[1, 2, 3, True]"),
    ("annotations", {"bbox": [1, 2, 3, float("nan")]}, "annotations[1].bbox", "[1, 2, 3, nan]"),
    ("annotations", {"bbox": [1, 2, float("-inf"), 4]}, "annotations[1].bbox", "[1, 2, -inf, 4]"),
    ("annotations", {"bbox": [1, 2, 10 ** 400, 4]}, "annotations[1].bbox", "[1, 2, <integer of 1,329 bits>, 4]"),
    ("annotations", {"area": -1}, "annotations[1].area", "-1"),
    ("annotations", {"area": "big"}, "annotations[1].area", "'big'"),
    ("annotations", {"iscrowd": 2}, "annotations[1].iscrowd", "2"),
]


@pytest.mark.parametrize("key, change, where, value", FAULTS, ids=[f"{fault[2]}={fault[3]}" for fault in FAULTS])
def test_a_fault_is_named_by_file_place_and_value(coco, key, change, where, value):
    coco.change("train", lambda document: document[key][1].update(change))
    with pytest.raises(UserError) as caught:
        read_split(format_coco, coco.root, "train")
    assert caught.value.thing == f"{coco.file('train')}, {where}"
    assert str(caught.value.value).startswith(value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("key", ["images", "categories", "annotations"])
def test_an_entry_that_is_no_object_is_refused(coco, key):
    coco.change("train", lambda document: document[key].append("x"))
    with pytest.raises(UserError, match="It must be an object"):
        read_split(format_coco, coco.root, "train")


def test_a_file_without_categories_is_refused(coco):
    coco.change("train", lambda document: document.update(categories=[]))
    with pytest.raises(UserError, match="at least one category"):
        read_split(format_coco, coco.root, "train")


def test_image_ids_may_be_texts(coco):
    text = coco.file("train").read_text()
    document = json.loads(text)
    for entry in document["images"]:
        entry["id"] = f"image {entry['id']}"
    for entry in document["annotations"]:
        entry["image_id"] = f"image {entry['image_id']}"
    coco.write("train", document)
    assert [len(image.boxes) for image in read_split(format_coco, coco.root, "train").images] == [2, 1, 0]


def test_all_faults_of_a_file_are_one_message(coco):
    def spoil(document):
        document["annotations"][0].update(bbox=None)
        document["annotations"][1].update(iscrowd="maybe")
        document["images"][2].update(width=-1)

    coco.change("train", spoil)
    with pytest.raises(UserError) as caught:
        read_split(format_coco, coco.root, "train")
    assert caught.value.thing == str(coco.file("train"))
    assert caught.value.value.startswith("3 faults: images[2].width is -1")
    assert "annotations[0].bbox is None" in caught.value.value and "annotations[1].iscrowd" in caught.value.value


LOOSE = [
    ("images", {"id": 6.0}), ("images", {"id": "6"}), ("images", {"width": "32", "height": 24.0}),
    ("images", {"width": None, "height": 0}), ("categories", {"id": "3"}), ("annotations", {"id": 11}),
    ("annotations", {"id": None}), ("annotations", {"id": [1]}), ("annotations", {"iscrowd": "0", "area": "94.5"}),
    ("annotations", {"iscrowd": False, "area": None}), ("annotations", {"bbox": ["20.5", "2", "30", "8.25"]}),
    ("annotations", {"image_id": "5", "category_id": 7.0}), ("annotations", {"extra": {"tool": [1]}}),
]


@pytest.mark.parametrize("key, change", LOOSE, ids=str)
def test_what_tools_write_otherwise_is_read(coco, key, change):
    expected = read_split(format_coco, coco.root, "train").images
    coco.change("train", lambda document: document[key][1].update(change))
    images = read_split(format_coco, coco.root, "train").images
    assert [image[:3] for image in images] == [image[:3] for image in expected]
    assert [[box[:6] for box in image.boxes] for image in images] == [[box[:6] for box in image.boxes]
                                                                      for image in expected]


def test_boxes_of_what_is_not_listed_are_left_out_with_a_word(coco):
    def orphan(document):
        document["annotations"][0]["image_id"] = 99
        document["annotations"][1]["category_id"] = 2

    coco.change("train", orphan)
    split = read_split(format_coco, coco.root, "train")
    assert [len(image.boxes) for image in split.images] == [0, 1, 0]
    assert split.warnings == tuple(f"split 'train': 1 annotations of train.json are of {what} that it does not list: "
                                   "left out" for what in ("images", "categories"))


def test_an_ignored_box_is_neither_trained_on_nor_counted(coco):
    coco.change("train", lambda document: document["annotations"][0].update(ignore=1))
    assert read_split(format_coco, coco.root, "train").images[0].boxes[0].ignored


def test_a_polygon_without_a_box_has_its_bounds(coco):
    coco.change("train", lambda document: document["annotations"][0].update(bbox=[], segmentation=[[1, 2, 11, 2, 5,
        10]]))
    assert read_split(format_coco, coco.root, "train").images[0].boxes[0][1:5] == (1, 2, 10, 8)


def test_of_two_categories_of_one_name_the_unused_one_is_left_out(coco):
    coco.change("train", lambda document: document["categories"].insert(0, {"id": 0, "name": "dog",
                                                                            "supercategory": "none"}))
    split = read_split(format_coco, coco.root, "train")
    assert split.classes == ("cat", "dog")
    assert split.warnings == ("split 'train': category 0 'dog' has no box and the name of category 3: it is left out",)


def test_two_used_categories_of_one_name_are_one_class(coco):
    coco.change("train", lambda document: document["categories"][0].update(name="dog"))
    split = read_split(format_coco, coco.root, "train")
    assert split.classes == ("dog",)
    assert {box.category for image in split.images for box in image.boxes} == {"dog"}
    assert split.warnings == ("split 'train': categories 7, 3 are all named 'dog': they are one class",)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_files_as_windows_saves_them(coco, encoding):
    text = coco.file("train").read_text().replace(", ", ",\r\n")
    coco.file("train").write_bytes(text.encode(encoding))
    assert len(read_split(format_coco, coco.root, "train").images) == 3
