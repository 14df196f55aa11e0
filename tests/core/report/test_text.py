import math

import pytest

from core.report.text import difference, displayable, fraction, listed, quantity, ratio


@pytest.mark.parametrize("name, shown", [
    ("Platelets", "Platelets"), ("\u7ea2\u7ec6\u80de", "\u7ea2\u7ec6\u80de"),
    ("caf\u00e9 au lait", "caf\u00e9 au lait"), ("a\x00b\x1bc", "a\ufffdb\ufffdc"), ("two\nlines", "two lines"),
    ("lone\ud800surrogate", "lone\ufffdsurrogate"),
    ("right\u202eto left", "right\ufffdto left"), ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e")])
def test_names_are_printable_in_xml_and_utf8(name, shown):
    assert displayable(name) == shown
    displayable(name).encode("utf-8")


def test_long_names_are_cut():
    assert displayable("x" * 500, limit=10) == "x" * 9 + "\u2026"


@pytest.mark.parametrize("write", [fraction, difference, quantity, ratio])
@pytest.mark.parametrize("absent", [None, math.nan, math.inf])
def test_unmeasured_numbers_say_so(write, absent):
    assert write(absent) == "n/a"


def test_numbers():
    assert fraction(0.40471) == "0.4047"
    assert [difference(value) for value in (0.0084, -0.0032, -0.00001)] == ["+0.0084", "-0.0032", "0.0000"]
    assert [quantity(value) for value in (213.9, 91.24, 9.017, 0.456)] == ["214", "91.2", "9.02", "0.46"]
    assert ratio(2.344) == "2.34x"


def test_long_lists_are_counted():
    assert listed(["a.jpg", "b.jpg"]) == "a.jpg, b.jpg"
    assert listed([f"{number}.jpg" for number in range(25)], limit=2) == "0.jpg, 1.jpg and 23 more"
