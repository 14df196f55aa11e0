from pathlib import Path

import pytest

from core.base.errors import UserError
from core.data.annotations import AnnotatedImage, AnnotatedSplit, Box, check_relative, clean_boxes, clean_split


def image(*boxes, name="a.png"):
    return AnnotatedImage(name, 32, 24, boxes)


def split(*images):
    return AnnotatedSplit("train", Path("/data"), (Path("/data/train.json"),), ("cat", "dog"), images)


@pytest.mark.parametrize("box, clipped", [
    ((-4, -5, 10, 10), (0, 0, 6, 5)),
    ((30, 20, 10, 10), (30, 20, 2, 4)),
    ((-1e300, -1e300, 1.7e308, 1.7e308), (0, 0, 32, 24)),
])
def test_boxes_that_reach_out_are_clipped_and_lose_their_area(box, clipped):
    kept, dropped = clean_boxes(image(Box("cat", *box, area=7.0)))
    assert kept == [Box("cat", *clipped)]
    assert dropped == []


def test_boxes_inside_stay_as_they_are_to_the_last_bit():
    box = Box("cat", 0.1, 0.2, 0.7, 0.1, area=0.05)
    assert clean_boxes(image(box)) == ([box], [])


@pytest.mark.parametrize("shape", [(3, 4, 0, 5), (3, 4, 5, 0), (3, 4, -2, 5), (32, 0, 5, 5), (-5, 3, 5, 5),
                                   (0, 90, 3, 3)])
def test_boxes_without_area_are_dropped_by_name(shape):
    kept, dropped = clean_boxes(image(Box("cat", *shape, label="annotation 3"), name="süß 1.png"))
    assert kept == []
    assert dropped == [f"süß 1.png: annotation 3 [x {shape[0]}, y {shape[1]}, width {shape[2]}, height {shape[3]}]"]


def test_a_split_says_what_was_dropped_ten_boxes_by_name_the_rest_by_count():
    flat = [Box("cat", 1, 1, 0, 4, label=f"annotation {number}") for number in range(13)]
    cleaned = clean_split(split(image(*flat, Box("cat", 1, 1, 2, 2))), ("cat",))
    assert len(cleaned.warnings) == 11
    assert cleaned.warnings[0] == ("split 'train': box without area dropped: "
                                   "a.png: annotation 0 [x 1, y 1, width 0, height 4]")
    assert cleaned.warnings[10] == "split 'train': 3 more boxes without area dropped"


def test_other_classes_are_left_out_but_their_images_stay():
    cleaned = clean_split(split(image(Box("cat", 1, 1, 2, 2)), image(Box("dog", 1, 1, 0, 0), name="b.png")), ("cat",))
    assert [len(each.boxes) for each in cleaned.images] == [1, 0]
    assert cleaned.warnings == ()


@pytest.mark.parametrize("images, what", [
    ((), "no image"),
    ((image(),), "no box of cat on its 1 image(s)"),
    ((image(Box("dog", 1, 1, 2, 2)), image(name="b.png")), "no box of cat on its 2 image(s)"),
    ((image(Box("cat", 1, 1, 2, 2, ignored=True)),), "no box of cat on its 1 image(s)"),
    ((image(Box("cat", 1, 1, 2, 0)),), "no box of cat on its 1 image(s)"),
])
def test_a_split_without_anything_to_learn_is_refused(images, what):
    with pytest.raises(UserError) as caught:
        clean_split(split(*images), ("cat",))
    assert f"annotations of split 'train': /data/train.json has {what}. " in str(caught.value)


@pytest.mark.parametrize("name", ["a.png", "sub folder/größe.png", "..a/b..png"])
def test_names_inside_the_folder_pass(name):
    check_relative(name, Path("x.json"), "images[0]")


@pytest.mark.parametrize("name", ["", ".", "/etc/passwd", "../a.png", "a/../../b.png", "a\0.png", "\ud800.png"])
def test_names_that_lead_out_or_cannot_be_are_refused(name):
    with pytest.raises(UserError) as caught:
        check_relative(name, Path("x.json"), "images[0].file_name")
    assert caught.value.thing == "x.json, images[0].file_name"
    assert caught.value.value == repr(name)
