from pathlib import Path
from typing import Any

import pytest

from core.base.errors import UserError
from core.config.cost import MAX_STEPS
from core.config.python_text import NotData
from core.config.statements import Statements

MASK2FORMER = """
depths = [2, 2, 18, 2]
backbone_norm_multi = dict(lr_mult=0.1, decay_mult=0.0)
custom_keys = {'backbone': dict(lr_mult=0.1)}
custom_keys.update({
    f'backbone.stages.{stage_id}.blocks.{block_id}.norm': backbone_norm_multi
    for stage_id, num_blocks in enumerate(depths)
    for block_id in range(num_blocks)
})
"""
DUMP = """
model = dict(type='RetinaNet', custom_keys=dict({'absolute_pos_embed': dict(decay_mult=0.0), 'a.b': dict(x=1)}))
optimizer = dict(type='AdamW', lr=1e-05, betas=(0.9, 0.999))
regress_ranges = ((-1, 64), (64, inf))
work_dir = './work_dirs/x'
auto_resume = False
gpu_ids = range(0, 1)
device = 'cuda'
seed = None
"""


def run(text: str) -> dict[str, Any]:
    return Statements("config x", lambda names: {}, lambda value: value).run(text)


def test_comprehensions_that_mmdets_own_configs_write():
    values = run(MASK2FORMER)
    assert set(values) == {"depths", "backbone_norm_multi", "custom_keys"}
    assert len(values["custom_keys"]) == 1 + 24
    assert values["custom_keys"]["backbone.stages.2.blocks.17.norm"] == {"lr_mult": 0.1, "decay_mult": 0.0}


def test_a_dumped_config_is_read():
    values = run(DUMP)
    assert values["gpu_ids"] == [0] and values["device"] == "cuda" and values["optimizer"]["lr"] == 1e-5
    assert values["model"]["custom_keys"] == {"absolute_pos_embed": {"decay_mult": 0.0}, "a.b": {"x": 1}}
    assert values["regress_ranges"][1] == (64, float("inf"))


@pytest.mark.parametrize("text", [
    "a = [1, 2]\na.append(3)\na += (4,)\nb = a\nb += [5]\nb *= 2", "a = 1\na += 2\na *= 3\nb = 'x'\nb += 'y'",
    "a: int = 1\nb: list\nc, (d, e) = 1, [2, 3]\n[f, g] = 'xy'",
    "a = {}\na['b'] = 1\na['c'] = a['d'] = [0]\na['c'][0] = 2",
    "a = dict(x=[1, 2])\na['x'][1] += 5\ndel a['x'][0]\nb = 3\ndel b", "a = []\nfor i in range(3):\n    a += [i]",
    "a = dict(n=1)\na |= dict(m=2)\na.setdefault('k', []).append(1)\na.update(n=3, q=4)\nx = a.pop('m')",
    "a = []\nfor k, v in dict(x=1, y=2).items():\n    if v > 1:\n        a.append(k)\n    elif v == 1: a.insert(0, v)\n"
    "    else:\n        pass",
    "a = 0\nfor i in range(9):\n    if i == 2: continue\n    if i == 5: break\n    a += i\nelse:\n    a = -1",
    "a = 0\nfor i in range(3):\n    for j in range(3):\n        if j > i: break\n        a += 1\nelse:\n    a += 100",
    "train = dict(type='X', pipeline=[dict(type='A')])\nval = train.copy()\nval['pipeline'][0]['type'] = 'B'",
    "a = [1]\nfor x in a:\n    if x < 4: a.append(x + 1)",
    "a = [3, 1, 2]\na.sort()\na.reverse()\na.remove(2)\na.extend('z')",
    "lr = 0.02\nlr = lr / 8 * 2\nstep = [int(e * 0.75) for e in (12, 24)]\nname = f'r{50}_{step[0]}e'",
    "x = 1\na = [x for x in range(3)]\nb = [[x for x in range(y)] for y in (x, 2)]",
])
def test_the_values_are_pythons_own(text):
    expected: dict[str, Any] = {}
    exec(text, {}, expected)
    expected.pop("__annotations__", None)
    assert run(text) == expected


@pytest.mark.parametrize("text, construct", [
    ("a = [1]\na.x = 2", "assigned is only to names and items"), ("a, *b = 1, 2", "unpacking"),
    ("a = [1, 2]\na[0:1] = [3]", "a slice"), ("del a", "deleted are only"), ("for x in open('y'):\n    pass", "a call"),
    ("a = 1\na |= 2", "an operator other than"), ("print('x')", "a call other than"), ("a.b += 1", "attribute access"),
])
def test_more_than_data_is_refused(text, construct):
    with pytest.raises(NotData, match=f"config x, line [12]: .*{construct}"):
        run(text)


@pytest.mark.parametrize("text, problem", [
    ("for i in range(99999):\n    for j in range(99999):\n        pass", "steps|items and characters"),
    ("a = [1]\nfor x in a:\n    a.append(x)", f"more than {MAX_STEPS} steps"),
    ("a = [0]\nfor i in range(60):\n    a = [a, a]\nb = [0]\nfor i in range(60):\n    b = [b, b]\nc = a == b",
    "too large"),
    ("a = [0]\nfor i in range(60):\n    a = [a, a]\nc = f'{a}'", "too large"),
    ("a = (0,)\nfor i in range(60):\n    a = (a, a)\nc = {a}", "too large"),
    ("a = []\na.append(a)\nb = str(a)", "too large"),
    ("a = []\nfor i in range(50000):\n    a = [a]\nb = a == a", "too large"),
    ("a = 'x'\nfor i in range(99):\n    a += a", "items and characters"),
    ("a = [0]\nfor i in range(99):\n    a += a", "items and characters"),
    ("a = [0]\nfor i in range(99):\n    a *= 9", "items and characters"),
    ("a = 'ab' * 9999\nb = a.replace('', a)", "items"),
    ("a = 2\nfor i in range(99):\n    a *= a", "beyond bounds"),
    ("a = dict(x=1)\nfor k in a:\n    a[k + 'y'] = 1", "size"),
    ("break", "outside a loop"), ("for x in (1,):\n    pass\ncontinue", "outside a loop"),
    ("a, b = 1, 2, 3", "3 values"),
    ("a = (1,)\na[0] = 2", "no item of a tuple"), ("a = {}\na[1] = 2", "no item of a dict"),
    ("a = [1]\ndel a[3]", "no item"),
    ("a, b = 3", "TypeError"), ("x = '-'.join(['y' * 90000] * 9)", "items and characters"),
    ("for x in 1: pass", "iterable"),
])
def test_what_cannot_be_is_refused(text, problem):
    with pytest.raises(UserError, match=problem) as caught:
        run(text)
    assert not isinstance(caught.value, NotData)
    assert len(str(caught.value)) < 600


def test_deep_blocks_end_with_a_message():
    nested = "".join("    " * depth + "for x in (1,):\n" for depth in range(90)) + "    " * 90 + "a = 1"
    try:
        assert run(nested)["a"] == 1
    except UserError as error:
        assert "nested" in str(error)


def test_nothing_is_executed(tmp_path: Path):
    target = tmp_path / "touched"
    for text in (f"open({str(target)!r}, 'w')", f"a = [open({str(target)!r}, 'w') for x in (1,)]",
                 f"a = f'{{open(\"{target}\")}}'"):
        with pytest.raises(NotData):
            run(text)
    assert not target.exists()
