import collections

import pytest

from core.base.errors import UserError
from core.data import voc as format_voc
from core.data.annotations import AnnotatedImage, Box
from tests.core.data.reading import list_splits, read_split


def test_a_sound_folder_is_read_as_mmdet_reads_it(voc):
    split = read_split(format_voc, voc.root, "train")
    assert split.image_root == voc.root / "JPEGImages"
    assert split.classes == ("cat", "dog")
    assert split.images[1] == AnnotatedImage("train 1.jpg", 32, 24, (
        Box("dog", 0, 0, 31, 23, label="object 1 (dog)"), Box("cat", 2, 3, 10, 10, label="object 2 (cat)")))
    assert [file.name for file in split.files] == ["train.txt", "train 0.xml", "train 1.xml"]


def test_lists_by_class_are_no_splits(voc):
    voc.split("dog_train", ["train 0  1", "train 1 -1"])
    voc.split("trainval", ["train 0"])
    assert list_splits(format_voc, voc.root) == ("test", "train", "trainval", "val")


def test_coordinates_are_truncated_as_mmdet_does(voc, an_object):
    voc.annotate("train 0", [an_object("dog", 2.9, "3.2", " 12.99 ", 14)])
    assert read_split(format_voc, voc.root, "train").images[0].boxes[0][1:5] == (1, 2, 10, 11)


def test_difficult_objects_are_to_be_ignored(voc, an_object):
    voc.annotate("train 0", [an_object("dog", 2, 3, 12, 14, "<difficult>1</difficult>"),
                             an_object("dog", 2, 3, 12, 14, "<difficult>0</difficult>")])
    assert [box.ignored for box in read_split(format_voc, voc.root, "train").images[0].boxes] == [True, False]


@pytest.mark.parametrize("size", ["<source/>", "<size><width>0</width><height>0</height></size>"])
def test_a_size_that_is_not_given_comes_from_the_image(voc, an_object, size):
    voc.annotate("train 0", [an_object("dog", 2, 3, 12, 14)], size=size)
    assert read_split(format_voc, voc.root, "train").images[0][1:3] == (32, 24)


def test_a_size_that_no_image_can_tell_is_refused(voc, an_object):
    voc.annotate("train 0", [an_object("dog", 2, 3, 12, 14)], size="<source/>")
    (voc.root / "JPEGImages" / "train 0.jpg").unlink()
    with pytest.raises(UserError, match="train 0.jpg .missing."):
        read_split(format_voc, voc.root, "train")


def test_images_may_have_another_ending(voc, image):
    (voc.root / "JPEGImages" / "train 0.jpg").unlink()
    image(voc.root / "JPEGImages" / "train 0.png")
    image(voc.root / "JPEGImages" / "train 1.bmp")
    assert [each.file_name for each in read_split(format_voc, voc.root, "train").images] == ["train 0.png",
                                                                                           "train 1.jpg"]


def test_class_names_need_not_be_ascii(voc, an_object):
    voc.annotate("train 0", [an_object("Blutkörperchen &amp; 血小板", 2, 3, 12, 14)])
    assert "Blutkörperchen & 血小板" in read_split(format_voc, voc.root, "train").classes


@pytest.mark.parametrize("text, named", [
    ("", "an empty file"),
    ("<annotation>", "no element found"),
    ("<annotation></b>", "mismatched tag"),
    ("plain text", "syntax error"),
    ('<?xml version="1.0" encoding="no-such"?><annotation/>', "encoding"),
    ("<!DOCTYPE a><annotation/>", "DOCTYPE"),
    ('<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;">]><annotation>&y;</annotation>', "DOCTYPE"),
    ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>', "DOCTYPE"),
])
def test_what_is_no_plain_xml_is_refused(voc, text, named):
    file = voc.raw("train 0", text)
    with pytest.raises(UserError) as caught:
        read_split(format_voc, voc.root, "train")
    assert str(caught.value.value).startswith(f"{file} (")
    assert named in str(caught.value.value)


def test_a_document_type_is_found_in_any_encoding(voc):
    voc.raw("train 0", "").write_bytes('<!DOCTYPE a [<!ENTITY x "ha">]><annotation>&x;</annotation>'.encode("utf-16"))
    with pytest.raises(UserError, match="DOCTYPE"):
        read_split(format_voc, voc.root, "train")


@pytest.mark.parametrize("objects, where, value", [
    ([("", 1, 2, 3, 4)], "object 1", "no name"),
    ([("dog", 1, 2, 3, 4), ("dog", "", 2, 3, 4)], "object 2 (dog), bndbox/xmin", "''"),
    ([("dog", 1, "nan", 3, 4)], "object 1 (dog), bndbox/ymin", "'nan'"),
    ([("dog", 1, 2, "1e999", 4)], "object 1 (dog), bndbox/xmax", "'1e999'"),
    ([("dog", 1, 2, 3, "4 px")], "object 1 (dog), bndbox/ymax", "'4 px'"),
])
def test_a_fault_is_named_by_file_object_and_value(voc, an_object, objects, where, value):
    voc.annotate("train 0", [an_object(*each) for each in objects])
    with pytest.raises(UserError) as caught:
        read_split(format_voc, voc.root, "train")
    assert caught.value.thing == f"{voc.root / 'Annotations' / 'train 0.xml'}, {where}"
    assert caught.value.value == value


@pytest.mark.parametrize("body, where", [
    ("<object><name>dog</name></object>", "bndbox/xmin"),
    ("<object><name>dog</name><difficult>maybe</difficult><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax>"
     "<ymax>2</ymax></bndbox></object>", "difficult"),
    ("<size><width>32</width></size>", "size/height"),
    ("<size><width>-</width><height>24</height></size>", "size/width"),
])
def test_a_part_that_is_missing_or_no_number_is_named(voc, body, where):
    size = "" if "size" in body else "<size><width>32</width><height>24</height></size>"
    voc.raw("train 0", f"<annotation>{size}{body}</annotation>")
    with pytest.raises(UserError) as caught:
        read_split(format_voc, voc.root, "train")
    assert caught.value.thing.endswith(where)


def test_an_annotation_that_is_missing_is_named(voc):
    voc.split("train", ["train 0", "gone"])
    with pytest.raises(UserError, match="gone.xml. It is missing"):
        read_split(format_voc, voc.root, "train")


@pytest.mark.parametrize("stems, where", [
    (["train 0", "", "train 0"], "train.txt, line 3"),
    (["../train 0"], "train.txt, line 1"),
    (["train 0", "/etc/hosts"], "train.txt, line 2"),
])
def test_names_in_a_split_file_must_be_plain_and_unique(voc, stems, where):
    voc.split("train", stems)
    with pytest.raises(UserError) as caught:
        read_split(format_voc, voc.root, "train")
    assert caught.value.thing.endswith(where)


def test_a_split_file_that_is_not_unicode_is_refused(voc):
    (voc.root / "ImageSets" / "Main" / "train.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UserError, match="UTF-8"):
        read_split(format_voc, voc.root, "train")


def test_swapped_corners_are_put_right_with_a_word(voc, an_object):
    voc.annotate("train 0", [an_object("dog", 12, 14, 2, 3)])
    split = read_split(format_voc, voc.root, "train")
    assert split.images[0].boxes[0][1:5] == (1, 2, 10, 11)
    assert split.warnings == (
        "split 'train': train 0.xml: object 1 (dog) has its corners in the wrong order: they are swapped",)


@pytest.mark.parametrize("polygon", [
    "<x1>2.0</x1><y1>3</y1><x2>12</x2><y2>3.5</y2><x3>7</x3><y3>14</y3>",
    "<pt><x>2</x><y>3</y></pt><pt><x>12</x><y>14</y></pt><username>me</username>"])
def test_a_polygon_without_a_box_has_its_bounds(voc, polygon):
    voc.annotate("train 0", [f"<object><name>dog</name><polygon>{polygon}</polygon></object>"])
    assert read_split(format_voc, voc.root, "train").images[0].boxes[0][1:5] == (1, 2, 10, 11)


@pytest.mark.parametrize("text, ignored", [("", False), ("Unspecified", False), (" true ", True), ("0.0", False)])
def test_difficult_as_tools_write_it(voc, an_object, text, ignored):
    voc.annotate("train 0", [an_object("dog", 2, 3, 12, 14, f"<difficult>{text}</difficult>")])
    assert read_split(format_voc, voc.root, "train").images[0].boxes[0].ignored is ignored


def test_all_faults_of_a_split_are_one_message(voc):
    voc.raw("train 0", "<annotation>")
    voc.raw("train 1", "<annotation><object/></annotation>")
    with pytest.raises(UserError, match="2 faults: .*train 0.xml.*train 1.xml, object 1: no name"):
        read_split(format_voc, voc.root, "train")


def test_bccd_has_the_counts_it_is_known_for(bccd):
    splits = [read_split(format_voc, bccd, name) for name in ("train", "val", "test")]
    assert [len(split.images) for split in splits] == [205, 87, 72]
    counts = collections.Counter(box.category for split in splits for image in split.images for box in image.boxes)
    assert counts == {"RBC": 4155, "WBC": 372, "Platelets": 361}


def test_a_split_that_names_a_file_too_long_for_any_is_refused(voc):
    (voc.root / "ImageSets" / "Main" / "train.txt").write_text("x" * 3000 + "\n")
    with pytest.raises(UserError, match="It is missing, though a split names it"):
        read_split(format_voc, voc.root, "train")
