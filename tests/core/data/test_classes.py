from pathlib import Path

import pytest

from core.base.errors import UserError
from core.data.annotations import AnnotatedImage, AnnotatedSplit, Box
from core.data.classes import choose_classes, class_warnings

KNOWN = ("RBC", "WBC", "Blutplättchen")


def split(name, *categories, ignored=False):
    boxes = tuple(Box(category, 1, 1, 2, 2, ignored) for category in categories)
    return AnnotatedSplit(name, Path("/data"), (), KNOWN, (AnnotatedImage("a.png", 32, 24, boxes),))


def test_without_a_wish_all_classes_are_used_in_the_order_of_the_data():
    assert choose_classes((), KNOWN) == KNOWN


def test_a_wish_decides_the_order():
    assert choose_classes(["Blutplättchen", "RBC"], KNOWN) == ("Blutplättchen", "RBC")


def test_missing_classes_are_named_with_what_is_near_and_what_there_is():
    with pytest.raises(UserError) as caught:
        choose_classes(["rbc", "zebra", "WBC", "Blutplattchen"], KNOWN)
    assert str(caught.value) == (
        "parameter classes: 'rbc' (did you mean 'RBC' or 'WBC'?), 'zebra', 'Blutplattchen' (did you mean "
        "'Blutplättchen'?) not in the data. The data has the classes 'RBC', 'WBC', 'Blutplättchen'. "
        "Write the names as the data has them, or leave `classes` empty to use all.")


def test_a_class_asked_for_twice_is_refused():
    with pytest.raises(UserError, match="parameter classes: 'RBC'. Each class must be given once"):
        choose_classes(["RBC", "WBC", "RBC"], KNOWN)


def test_boxes_of_other_classes_are_counted():
    splits = [split("train", "RBC", "WBC", "WBC", "Blutplättchen"), split("test", "WBC")]
    assert class_warnings(("RBC",), splits) == (
        "4 boxes of 2 classes that were not asked for are left out: 'WBC' (3), 'Blutplättchen' (1)",)


def test_classes_that_training_never_sees_are_named():
    splits = [split("train", "RBC"), split("test", "RBC", "WBC")]
    assert class_warnings(("RBC", "WBC"), splits) == ("split 'train' has no box to train on of 'WBC'",)
    assert class_warnings(("RBC",), [split("train", "RBC", ignored=True)]) == (
        "split 'train' has no box to train on of 'RBC'",)


def test_nothing_odd_gives_no_warning():
    assert class_warnings(KNOWN, [split("train", *KNOWN), split("test", "RBC")]) == ()
