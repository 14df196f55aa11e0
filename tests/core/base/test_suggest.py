import pytest

from core.base.suggest import did_you_mean, listed, nearest, suggestion


@pytest.mark.parametrize("name, expected", [
    ("rbc", "RBC"), ("Platelet", "Platelets"), ("zebra", ""), ("Blutkörper", "Blutkörperchen"), ("", ""),
])
def test_near_names_are_found_whatever_their_case(name, expected):
    found = suggestion(name, ["RBC", "WBC-type", "Platelets", "Blutkörperchen"])
    assert found == (f" (did you mean {expected!r}?)" if expected else "")


def test_the_question_is_left_out_where_nothing_is_near():
    assert suggestion("trian", ["train", "test"]) == " (did you mean 'train'?)"
    assert suggestion("x", ["train"]) == ""


def test_long_lists_are_cut_and_counted():
    assert listed("abc") == "a, b, c"
    assert listed(map(str, range(12)), "; ") == "0; 1; 2; 3; 4; 5; 6; 7; 8; 9; and 2 more"


def test_nearest():
    assert nearest("lrr", ["lr", "momentum"]) == "lr"
    assert nearest("something", ["lr", "momentum"]) is None
    assert did_you_mean("lrr", ["lr"], "Look it up.") == "Did you mean `lr`?"
    assert did_you_mean("something", ["lr"], "Look it up.") == "Look it up."
