from collections import OrderedDict
from pathlib import Path

import pytest

from core.base.errors import UserError
from core.config.plain_data import MAX_DEPTH, MAX_SIZE, is_plain_number, plain_data


def test_containers_become_plain_copies():
    inner = OrderedDict(a=(1, [2.5, None]))
    copied = plain_data({"x": inner, "y": "text", "z": True, "far": -float("inf")}, "value")
    assert copied == {"x": {"a": (1, [2.5, None])}, "y": "text", "z": True, "far": -float("inf")}
    assert type(copied["x"]) is dict
    assert copied["x"] is not inner


@pytest.mark.parametrize("value, shown", [
    ({"a": {"b": [1, {2, 3}]}}, r"value, a.b.1: a value of type set"),
    ({"a": b"x"}, "type bytes"), ({"a": 1j}, "type complex"), ({"a": Path("x")}, "type PosixPath"),
    ({"a": len}, "type builtin_function_or_method"), ({1: 2}, "top level: the key 1 is not text"),
    ({"a": float("nan")}, "the number nan"),
    ({"a": 1 << 64}, "an integer of 65 bits"),
])
def test_anything_but_data_is_refused(value, shown):
    with pytest.raises(UserError, match=shown):
        plain_data(value, "value")


def test_depth_is_bounded():
    value = 1
    for _ in range(MAX_DEPTH):
        value = [value]
    assert plain_data(value, "value") == value
    with pytest.raises(UserError, match=f"deeper than {MAX_DEPTH} levels"):
        plain_data([value], "value")


def test_a_value_that_contains_itself_is_refused():
    value = {}
    value["again"] = value
    with pytest.raises(UserError, match="nested deeper"):
        plain_data(value, "value")


def test_shared_values_count_each_time():
    value = [0]
    for _ in range(10):
        value = [value] * 10
    with pytest.raises(UserError, match=f"more than {MAX_SIZE} values"):
        plain_data(value, "value")


def test_text_counts_by_its_length():
    with pytest.raises(UserError, match="more than"):
        plain_data(["x" * (MAX_SIZE // 2)] * 3, "value")


def test_numbers():
    assert all(is_plain_number(value) for value in (0, -5, 1.5, True, (1 << 64) - 1))
    assert not any(is_plain_number(value) for value in (1 << 64, float("inf"), "1", None, 1j))
