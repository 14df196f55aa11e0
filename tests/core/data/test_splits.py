from pathlib import Path

import pytest

from core.base.errors import UserError
from core.data.splits import SplitNames, choose_splits, split_warnings

ROOT = Path("/data")


@pytest.mark.parametrize("found, expected", [
    (("train", "val", "trainval", "test"), ("train", "val", "test")),
    (("trainval", "test"), ("trainval", "", "test")),
    (("train", "test"), ("train", "", "test")),
    (("train", "val"), ("train", "val", "val")),
    (("train", "valid", "test"), ("train", "valid", "test")),
    (("train", "valid"), ("train", "valid", "valid")),
    (("train",), ("train", "", "")), (("result",), ("result", "", "")), (("test",), ("test", "", "")),
    (("train", "extra"), ("train", "", "")),
])
def test_auto_takes_the_customary_names(found, expected):
    assert choose_splits("auto", "auto", "auto", found, ROOT) == SplitNames(*expected)


@pytest.mark.parametrize("val", ["", "none"])
def test_validation_can_be_left_out(val):
    assert choose_splits("a", val, "b", ("a", "b", "val"), ROOT) == SplitNames("a", "", "b")


@pytest.mark.parametrize("asked, found, message", [
    (("trian", "auto", "auto"), ("train", "test"),
     "parameter train_split: 'trian' is not in /data (did you mean 'train'?). The splits found are 'train', 'test'. "
     "Set train_split to one of them."),
    (("train", "dev", "auto"), ("train", "test"),
     "parameter val_split: 'dev' is not in /data. The splits found are 'train', 'test'. "
     "Set val_split to one of them."),
    (("", "auto", "auto"), ("train",),
     "parameter train_split: '' is not in /data. The splits found are 'train'. Set train_split to one of them."),
    (("auto", "auto", "auto"), ("all", "some"),
     "parameter train_split: /data has no split named train or trainval. The splits found are 'all', 'some'. "
     "Set train_split to one of them."),
    (("auto", "auto", "tset"), ("train", "test"),
     "parameter test_split: 'tset' is not in /data (did you mean 'test'?). The splits found are 'train', 'test'. "
     "Set test_split to one of them."),
])
def test_a_split_that_is_not_there_is_refused_with_those_that_are(asked, found, message):
    with pytest.raises(UserError) as caught:
        choose_splits(*asked, found, ROOT)
    assert str(caught.value) == message


def test_a_test_split_that_is_also_followed_gives_a_warning():
    expected = ("split 'val' serves as the test split: what is chosen by it is also measured by it",)
    assert split_warnings(SplitNames("train", "val", "val")) == expected
    assert split_warnings(SplitNames("train", "", "val")) == expected
    assert split_warnings(SplitNames("train", "val", "test")) == ()
    assert split_warnings(SplitNames("train", "", "test")) == ()
