"""Text of foreign values is bounded while it is made, and holds nothing that a terminal obeys."""

import ast
import enum
from collections import OrderedDict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.base.errors import UserError
from core.base.text import bounded_repr, counted, printable, shown

ROOT = Path(__file__).resolve().parents[3]
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=20)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=5) | st.tuples(inner, inner)
                      | st.dictionaries(st.text(max_size=5), inner, max_size=4), max_leaves=60)


class Hostile:
    """Whose methods must not be called."""

    def __repr__(self):
        raise AssertionError("called")

    __str__ = __len__ = __iter__ = __eq__ = __repr__
    __hash__ = object.__hash__


class HostileText(str):
    __repr__ = __str__ = __len__ = Hostile.__repr__


class HostileList(list):
    __repr__ = __str__ = __len__ = __iter__ = Hostile.__repr__


class HostileDict(dict):
    __repr__ = __str__ = __len__ = __iter__ = __getitem__ = items = keys = Hostile.__repr__


def laughs(depth=60, width=10):
    value = ("lol",)
    for _ in range(depth):
        value = (value,) * width
    return value


@given(st.lists(LEAVES.filter(lambda leaf: not isinstance(leaf, int) or abs(leaf) < 1 << 200), max_size=6))
@settings(max_examples=100, deadline=None)
def test_small_values_have_their_own_repr(value):
    assert bounded_repr(value, 1000) == repr(value)
    assert bounded_repr({"a": tuple(value)}, 1000) == repr({"a": tuple(value)})


@given(VALUES, st.integers(1, 500))
@settings(max_examples=200, deadline=None)
def test_whatever_the_value_its_text_is_short_and_printable(value, most):
    for text in (bounded_repr(value, most), shown(value, most)):
        assert len(text) <= 12 * most + 500
        assert text.isprintable()


@pytest.mark.parametrize("value", [
    laughs(), [laughs()], {"a": laughs()}, OrderedDict(a=laughs()), ("x" * 10 ** 7,), b"x" * 10 ** 7,
    list(range(10 ** 6)), dict.fromkeys(range(10 ** 6)), set(range(10 ** 6)), 1 << 10 ** 7, -(1 << 10 ** 7)],
    ids=[f"value{number}" for number in range(11)])
def test_large_and_shared_values_are_cut_while_they_are_read(value):
    assert len(bounded_repr(value)) < 1000
    assert len(str(UserError("thing", value, "rule", "hint"))) < 5000
    assert len(shown(KeyError(value))) < 1000 and len(shown(ValueError("x", value))) < 1000


def test_what_holds_itself_comes_to_an_end():
    items = []
    items.append(items)
    entries = {"a": items}
    entries["b"] = entries
    assert bounded_repr(items) == "[[[[[...]]]]]"
    assert len(bounded_repr(entries)) < 500


def test_no_method_of_a_foreign_class_is_called():
    assert bounded_repr(HostileText("a")) == "'a'"
    assert bounded_repr(HostileList([1, 2])) == "[1, 2]"
    assert bounded_repr(HostileDict(a=1)) == "{'a': 1}"
    assert bounded_repr([Hostile()]) == f"[<{__name__}.Hostile>]"
    assert shown(Hostile()) == f"<{__name__}.Hostile>"
    assert shown(HostileText("a")) == "a"


def test_lengths_are_told_where_something_is_left_out():
    assert bounded_repr("x" * 300, 10) == "'xxxxxxxxxx'... (300 long)"
    assert bounded_repr(list(range(1000)), 12) == "[0, 1, 2, 3, ... (1,000 in all)]"
    assert bounded_repr(1 << 5000) == "<integer of 5,001 bits>"
    assert printable("x" * 300, 10) == "xxxxxxxxxx... (300 characters)"


def test_what_a_terminal_obeys_is_written_out():
    hostile = "a\x1b[2Jb\r\nc\x07\x9b\u202ed\udc80"
    expected = r"a\x1b[2Jb\r\nc\x07\x9b\u202ed\udc80"
    error = UserError(f"file {hostile}", Path(hostile), f"rule {hostile}", "hint")
    assert (error.thing, error.value) == (f"file {expected}", expected)
    # A rule of ours may have several lines.
    assert error.rule == f"rule {expected}".replace(r"\n", "\n")
    assert shown(ValueError(hostile)) == expected
    assert printable("Blutkörperchen 血小板 'a' \\") == "Blutkörperchen 血小板 'a' \\"


def test_values_of_ours_are_shown_as_they_say():
    class Colour(enum.Enum):
        RED = 1

    assert shown(OSError(2, "No such file", "x")) == "[Errno 2] No such file: 'x'"
    assert shown(KeyError("key")) == "'key'"
    assert shown(ValueError()) == "ValueError"
    assert shown(3.5) == "3.5" and shown(None) == "None" and shown("a b") == "a b" and shown([1]) == "[1]"
    assert bounded_repr(Colour.RED) == "Colour.RED"


def cut_reprs(path):
    """Return the lines where a whole ``repr`` is made and then cut."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FormattedValue) and node.conversion == ord("r") and node.format_spec is not None:
            yield node.lineno
        if (isinstance(node, ast.Subscript) and isinstance(node.value, ast.Call)
                and isinstance(node.value.func, ast.Name) and node.value.func.id == "repr"):
            yield node.lineno


def test_no_text_is_made_whole_and_then_cut():
    found = [f"{path.relative_to(ROOT)}:{line}" for room in ("core", "components", "pipelines")
             for path in sorted((ROOT / room).rglob("*.py")) for line in cut_reprs(path)]
    assert not found, "core.base.text.bounded_repr(value, most) makes it bounded"


def test_a_number_has_its_noun():
    assert [counted(1, "class", "classes"), counted(2, "class", "classes"), counted(1200, "image")] == [
        "1 class", "2 classes", "1,200 images"]
