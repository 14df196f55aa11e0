from pathlib import Path
from typing import Any

import pytest

from core.base.errors import UserError
from core.config.expressions import base_value
from core.config.python_text import NotData
from core.config.statements import Statements

BASES = {"model": {"head": {"num_classes": 80}}, "root": "data/"}


def evaluate(text: str) -> dict[str, Any]:
    return Statements("config x", lambda names: BASES, lambda value: value).run(text)


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


@pytest.mark.parametrize("text, value", [
    ("range(0, 1)", [0]), ("dict({'a.b': 1}, c=2)", {"a.b": 1, "c": 2}), ("dict([('b', 1)])", {"b": 1}),
    ("OrderedDict([('b', (1,))])", {"b": (1,)}), ("1e-05", 1e-5), ("float('inf')", float("inf")),
    ("-float('inf')", -float("inf")), ("inf", float("inf")), ("{2, 1, 2}", [2, 1]), ("set((1, 1))", [1]),
    ("[(1333, x) for x in (480, 800)]", [(1333, 480), (1333, 800)]), ("[550.0 / x for x in [1, 2]]", [550.0, 275.0]),
    ("[x + y for x in 'ab' if x > 'a' for y in 'cd']", ["bc", "bd"]), ("{x: len(x) for x in ('a', 'bb')}",
                                                                       {"a": 1, "bb": 2}),
    ("{x % 2 for x in range(4)}", [0, 1]), ("f'{1}-{2.5:.2f}-{\"x\"!r:>4}-{{}}'", "1-2.50- 'x'-{}"),
    ("f'{[1, (2,)]}'", "[1, (2,)]"), ("'%s_%03d.pth' % ('a', 7)", "a_007.pth"), ("'%d%%' % 5", "5%"),
    ("'{}/{0}'.format(1) if False else '{}/{b:>2}'.format(1, b=2)", "1/ 2"), ("'{0}{0}'.format('x')", "xx"),
    ("[1, 2, 3][::-1]", [3, 2, 1]), ("'train2017'[:-4]", "train"), ("(1, *[2, 3])", (1, 2, 3)),
    ("dict(**{'a': 1})['a'] + len([1])", 2), ("1 < 2 <= 2", True), ("'a' in dict(a=1)", True),
    ("3 not in (1, 2)", True),
    ("None is None and not 0", True), ("0 or 'x'", "x"), ("1 if '' else 2", 2), ("max(1, 2) + min([3, 4])", 5),
    ("sum([1, 2]) + round(2.4) + abs(-1)", 6), ("sorted([2, 1], reverse=True)", [2, 1]), ("tuple('ab')", ("a", "b")),
    ("list(zip('ab', range(2)))", [("a", 0), ("b", 1)]), ("list(enumerate('a', 1))", [(1, "a")]),
    ("','.join(['a', 'b']).split(',')", ["a", "b"]), ("'a-b'.replace('-', '_').upper()", "A_B"),
    ("dict(a=1).copy()", {"a": 1}), ("dict(a=1).pop('b', 3)", 3), ("list(dict(a=1).items())", [("a", 1)]),
    ("dict(a=1) | dict(b=2)", {"a": 1, "b": 2}), ("dict(node=1, bill=2, self=3, function=4)",
                                                  {"node": 1, "bill": 2, "self": 3, "function": 4}),
    ("[[j for j in range(i)] for i in range(3)]", [[], [0], [0, 1]]), ("any([0, 1]) and all([])", True),
    ("int('7') + int(2.5)", 9), ("str(1.0)", "1.0"), ("(1, 2).index(2)", 1), ("bool([0])", True),
])
def test_python_on_plain_data(text, value):
    result = evaluate(f"a = {text}")["a"]
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize("text, construct", [
    ("a = open('x')", "a call other than of dict"), ("a = dict.fromkeys('ab')", "a call other than of dict"),
    ("a = print(1)", "a call other than of dict"), ("a = getattr(1, 'real')", "a call other than of dict"),
    ("a = (1).bit_length()", "a call other than of dict"), ("a = 'x'.encode()", "a call other than of dict"),
    ("a = [].__class__()", "a call other than of dict"), ("a = 'x'.__len__()", "a call other than of dict"),
    ("a = dict(b=1)\nc = a.__class__.__base__()", "attribute access"), ("a = ().__class__", "attribute access"),
    ("a = f'{().__class__}'", "attribute access"), ("a = [x.real for x in (1,)]", "attribute access"),
    ("a = (b := 1)", "inside an exp"), ("a = ~1", "more than the sign"), ("a = -'x'", "more than the sign"),
    ("a = -True", "more than the sign"), ("a = 1 << 3", "an operator other than"), ("a = 1 | 2", "an operator other"),
    ("a = [1] + (2,)", "an operator on list and tuple"), ("a = 'x' * 1.5", "an operator on str and float"),
    ("a = [1, 2][0:1, 1]", "a slice|Slice"), ("a = b'x'", "a literal of type bytes"), ("a = 1j", "type complex"),
    ("a = ...", "type ellipsis"), ("a = b", "the name `b` is not assigned"), ("a = __file__", "not assigned"),
    ("a = sorted([1], key=len)", "the name `len` is not assigned"), ("a = 1 is 1", "identity"),
    ("len = 3\na = len('x')", "a call other than of dict"), ("a = [x for x in (1,)]\nb = x", "the name `x`"),
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
    ("a = {x: 1 for x in range(2)}", "a key that is not text"), ("a = dict([(1, 2)])", "every key of a config is text"),
    ("a = [x for x in 3]", "a int is not iterable"), ("a = int('x')", "ValueError"), ("a = len(3)", "TypeError"),
    ("a = '{0.real}'.format(1)", "only a plain name or number"), ("a = '{0[0]}'.format([1])", "only a plain name"),
    ("a = '{:{}}'.format(1, 2)", "the format"), ("a = f'{1:99999}'", "the format '99999' is not read"),
    ("a = '%99999d' % 1", "a format after %"), ("a = '%*d' % (3, 1)", "a format after %"),
    ("a = round(5, -10 ** 18)", "at most 64 digits"), ("a = float('nan')", "a number beyond bounds"),
    ("a = int(1e300)", "a number beyond bounds"), ("a = int('9' * 80)", "at most 64 characters"),
    ("a = list(range(10 ** 9))", "items and characters copied"), ("a = range(2 ** 63, -2 ** 63, -1)", "Error|beyond"),
    ("a = 1 < 'x'", "TypeError"), ("a = [1, 2].remove(3)", "ValueError"), ("a = {[1]}", "unhashable"),
    ("a = (1).x if 0 else dict(b=1).pop('c')", "KeyError"), ("a = float('inf') * 2", "arithmetic on float"),
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
    assert len(str(caught.value)) < 500


def test_base_value_of_something_that_is_no_dict():
    with pytest.raises(UserError, match="The base has no `x` there"):
        base_value(BASES, ["root", "x"], "config x")
