import pytest

from core.base.errors import UserError
from core.config.merging import merge


def test_dicts_inherit_and_everything_else_replaces():
    base = {"a": {"x": 1, "y": {"z": 2}}, "b": [1, 2], "c": 3}
    child = {"a": {"y": {"z": 5}, "new": 6}, "b": [7], "d": 8}
    assert merge(child, base, "config") == {"a": {"x": 1, "y": {"z": 5}, "new": 6}, "b": [7], "c": 3, "d": 8}
    assert base == {"a": {"x": 1, "y": {"z": 2}}, "b": [1, 2], "c": 3}


def test_delete_replaces_the_base():
    assert merge({"a": {"_delete_": True, "y": 2}}, {"a": {"x": 1}}, "config") == {"a": {"y": 2}}
    assert merge({"a": {"_delete_": False, "y": 2}}, {"a": {"x": 1}}, "config") == {"a": {"x": 1, "y": 2}}


def test_a_dict_replaces_another_value_only_by_delete():
    with pytest.raises(UserError, match=r"config, optimizer_config.grad_clip: .*from None.*`_delete_=True`"):
        merge({"optimizer_config": {"grad_clip": {"max_norm": 1}}}, {"optimizer_config": {"grad_clip": None}}, "config")
    assert merge({"a": {"_delete_": True, "x": 1}}, {"a": None}, "config") == {"a": {"x": 1}}


CASES = [
    ({"a": {"x": 1}}, {}), ({"a": {"_delete_": True, "x": 1}}, {}),
    ({"a": {"b": {"_delete_": True, "x": 1}}}, {"a": {}}),
    ({"a": {"_delete_": True, "b": {"_delete_": True}}}, {"a": {"b": {"c": 1}}}), ({"a": {}}, {"a": {"x": 1}}),
    ({"a": 1}, {"a": {"x": 1}}), ({"a": {"x": [1]}, "b": None}, {"a": {"x": {"y": 1}}, "b": 2}),
]


@pytest.mark.parametrize("child, base", CASES)
def test_same_as_mmcv(child, base):
    """mmcv takes `_delete_` out of the child in place, so it gets the values second."""
    import mmcv
    ours = merge(child, base, "config")
    assert ours == mmcv.Config._merge_a_into_b(child, base)
