from pathlib import Path
from typing import Any

import pytest

from core.base.errors import UserError
from core.config.expressions import Assignments, base_value
from core.config.python_text import NotData

BASES = {"model": {"head": {"num_classes": 80}}, "root": "data/"}


def evaluate(text: str) -> dict[str, Any]:
    return Assignments("config x", lambda names: BASES, lambda value: value).run(text)


@pytest.mark.parametrize("text, value", [
    ("1", 1), ("-2.5e3", -2500.0), ("+1", 1), ("'a' \"b\"", "ab"), ("None", None), ("True", True),
    ("(1, [2, {'k': ()}])", (1, [2, {"k": ()}])), ("dict(a=1, **{'b': 2})", {"a": 1, "b": 2}),
    ("{'a': 1, **dict(a=2, b=3)}", {"a": 2, "b": 3}), ("2 * 3 + 1 / 4", 6.25), ("-7 // 2", -4), ("7 % 4", 3),
    ("2 ** -1", 0.5), ("[1] + [2]", [1, 2]), ("(1,) * 3", (1, 1, 1)), ("2 * [0]", [0, 0]), ("'a' * -1", ""),
    ("'data/' + 'x.json'", "data/x.json"), ("[[1, 2], 3][0][-1]", 2), ("dict(a='xyz')['a'][1]", "y"),
])
def test_expressions(text, value):
    result = evaluate(f"a = {text}")["a"]
    assert result == value
    assert type(result) is type(value)


def test_names_refer_to_what_is_above():
    text = '"""A docstring."""\nnorm = dict(mean=[1.0, 2.0])\nx = y = dict(type="Normalize", **norm)\nz = x["mean"][1]'
    norm = {"mean": [1.0, 2.0]}
    full = {"type": "Normalize", "mean": [1.0, 2.0]}
    assert evaluate(text) == {"norm": norm, "x": full, "y": full, "z": 2.0}


def test_base_references():
    values = evaluate("_base_ = 'b.py'\na = {{_base_.root}} + 'x'\n"
                      "b = [{{ _base_.model.head }}, {{_base_.model.head.num_classes}} * 2]")
    assert values["a"] == "data/x"
    assert values["b"] == [{"num_classes": 80}, 160]


@pytest.mark.parametrize("text, construct", [
    ("a = open('x')", "a call other than dict"), ("a = dict([('b', 1)])", "a call other than dict"),
    ("a = dict.fromkeys('ab')", "a call other than dict"), ("a = ().__class__", "attribute access"),
    ("a = [1, 2]\na.append(3)", "only plain assignments"), ("a = 1\na += 1", "only plain assignments"),
    ("a: int = 1", "only plain assignments"), ("a, b = 1, 2", "only a name of its own"),
    ("a = {}\na['b'] = 1", "only a name of its own"), ("dict = {}", "only a name of its own"),
    ("a = [*(1, 2)]", "unpacking"), ("a = {1, 2}", "a set"), ("a = {{b}}", "a set"), ("a = (b := 1)", "inside an exp"),
    ("a = 1 < 2", "a comparison"), ("a = ~1", "more than the sign"), ("a = -'x'", "more than the sign"),
    ("a = -True", "more than the sign"), ("a = 1 << 3", "an operator other than"), ("a = 1 | 2", "an operator other"),
    ("a = '%09d' % 3", "an operator on str and int"), ("a = [1] + (2,)", "an operator on list and tuple"),
    ("a = 'x' * 1.5", "an operator on str and float"), ("a = [1, 2][::-1]", "a slice"),
    ("a = [1, 2][0:1, 1]", "a slice|Slice"), ("a = b'x'", "a literal of type bytes"), ("a = 1j", "type complex"),
    ("a = ...", "type ellipsis"), ("a = b", "the name `b` is not assigned"), ("a = __file__", "not assigned"),
])
def test_more_than_data_is_refused(text, construct):
    with pytest.raises(NotData, match=f"config x, line [12]: .*{construct}"):
        evaluate(text)


@pytest.mark.parametrize("text, problem", [
    ("a = 9 ** 9 ** 9", "a power with exponent 387420489"), ("a = 2 ** 64", "a number beyond bounds"),
    ("a = 10 ** -400.0", "exponent -400.0"), ("a = 1e308 * 10", "beyond bounds"), ("a = (-1) ** 0.5", "beyond bounds"),
    ("a = 1e999", "beyond bounds"), ("a = 36893488147419103232", "beyond bounds"), ("a = 1 / 0", "division by zero"),
    ("a = 1e300 ** 2", "Arithmetic must have a finite result"), ("a = None + 1", "arithmetic on NoneType and int"),
    ("a = 'x' * 1000000000", "1000000000 items and characters"), ("a = [0] * 10 ** 9", "items and characters"),
    ("a = 'x' * 60000\nb = 'x' * 60000", "line 2: .*120000 items and characters"),
    ("a = {}[0]", "a subscript of type int on a dict"), ("a = [1]['0']", "a subscript of type str on a list"),
    ("a = 1[0]", "on a int"), ("a = [1][5]", "nothing is there under 5"), ("a = [1][True]", "type bool"),
    ("a = dict(mean=1)['maen']", "Did you mean `mean`"), ("a = {1: 2}", "a key that is not text"),
    ("a = dict(**[1])", r"`\*\*` of a list"), ("a = dict(b=1, **{'b': 2})", "the key `b` is given twice"),
    ("_base_ = 'b.py'\na = '{{_base_.root}}x'", "a reference to a base inside quotes"),
    ("a = {{_base_.root}}", "no `_base_` is assigned above"),
    ("_base_ = 'b.py'\na = {{_base_.model.haed}}", "no `haed` there. Did you mean `head`"),
    ("_base_ = 'b.py'\n_base_ = 'c.py'", "a second assignment"),
])
def test_values_that_cannot_be_are_refused(text, problem):
    with pytest.raises(UserError, match=problem) as caught:
        evaluate(text)
    assert not isinstance(caught.value, NotData)


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(NotData, match="Did you mean `img_scale`"):
        evaluate("img_scale = (1, 2)\na = img_scal")


def test_nothing_is_executed(tmp_path: Path):
    target = tmp_path / "touched"
    with pytest.raises(NotData):
        evaluate(f"a = __import__('os').system('touch {target}')")
    assert not target.exists()


def test_long_constructs_are_cut_in_the_message():
    with pytest.raises(NotData) as caught:
        evaluate("a = open('" + "x" * 500 + "')")
    assert len(str(caught.value)) < 400


def test_base_value_of_something_that_is_no_dict():
    with pytest.raises(UserError, match="The base has no `x` there"):
        base_value(BASES, ["root", "x"], "config x")
