import copy

import pytest

from core.base.errors import UserError
from core.config.options import MAX_NESTING, apply_options, parse_options

CONFIG = {
    "model": {"type": "X", "bbox_head": {"num_classes": 80, "loss_cls": {"type": "FocalLoss", "gamma": 2.0}}},
    "data": {"samples_per_gpu": 8, "train": {"pipeline": [
        {"type": "Resize", "img_scale": (1333, 800)}, {"type": "RandomFlip", "scales": [(1, 2), (3, 4)]}]}},
    "optimizer_config": {"grad_clip": None},
    "lr_config": {"policy": "step", "step": [8, 11]},
    "img_scale": (1333, 800),
}


def apply(options):
    return apply_options(CONFIG, options, "config x")


@pytest.mark.parametrize("text, value", [
    ("1", 1), ("-2", -2), ("1e-3", 0.001), ("true", True), ("False", False), ("None", None), ("none", "none"), ("", ""),
    ("text", "text"), ("a=b", "a=b"), ("1,2,3", [1, 2, 3]), ("[1, 2.5,x]", [1, 2.5, "x"]), ("(1,2)", (1, 2)),
    ("1,", [1]), ("(1,)", (1,)), ("[]", []), ("()", ()), ("[(1,2),[a,b],c]", [(1, 2), ["a", "b"], "c"]),
    ("(1,2),(3,4)", [(1, 2), (3, 4)]), ('"[(1,2)]"', [(1, 2)]), ("'text'", "text"), ("['a,b', \"c\"]", ["a,b", "c"]),
    ('{"a": [1, {"b": null}]}', {"a": [1, {"b": None}]}), ("{}", {}), ("two words", "two words"), ("it's", "it's"),
    (r"{re}.*NNCFConv2d\[21\].*", r"{re}.*NNCFConv2d\[21\].*"), (r"[{re}a[0],b(c,d)]", ["{re}a[0]", "b(c,d)"]),
])
def test_values(text, value):
    parsed = parse_options([f"key={text}"])
    assert parsed == {"key": value}
    assert repr(parsed["key"]) == repr(value)


@pytest.mark.parametrize("text", ["1", "-2", "1e-3", "true", "None", "text", "1,2,3", "[1,2.5,x]", "(1,2)", "1,",
                                  "(1,)", "[]", "[(1,2),[a,b],c]", '"[(1,2)]"', "'3'", "", "a=b"])
def test_same_values_as_mmcv(text):
    import mmcv
    assert repr(parse_options([f"key={text}"])["key"]) == repr(mmcv.DictAction._parse_iterable(text))


def test_several_options_and_one_json_object():
    assert parse_options(["model.depth=18", " optimizer.lr = 0.1"]) == {"model.depth": 18, "optimizer.lr": 0.1}
    assert parse_options(['{"model.depth": 18, "data": {"x": "1"}}']) == {"model.depth": 18, "data": {"x": "1"}}
    assert parse_options('{"a": 1}') == {"a": 1}
    assert parse_options([]) == {}


@pytest.mark.parametrize("items, problem", [
    (["model.depth"], "written key=value"), (["=1"], "the key ''"), (["a..b=1"], "the key 'a..b'"),
    (["a b=1"], "the key 'a b'"), (["a.=1"], "the key 'a.'"), (["a=1", "a=2"], "the key a is given twice"),
    (["a=[1,2"], r"`\]` is missing"), (["a=(1,[2)"], r"`\]` is missing"), (["a=1]"], r"`\]` follows a complete value"),
    (["a=[1]2"], "`2` follows a complete value"), (["a=[1,,2]"], "an item is missing"),
    (["a=,1"], "an item is missing"),
    (["a='x"], "`'` is missing"), (["a=[x(y]"], r"`\)` is missing"), (["a='b'c"], "`c` follows a complete value"),
    (["a=" + "[" * (MAX_NESTING + 1)], f"brackets deeper than {MAX_NESTING}"), (["a=nan"], "the number nan"),
    (["a=" + "9" * 30], "an integer of 100 bits"), (["a=" + "9" * 600], "bits"),
    (['a={"b"}'], "must be valid JSON"), (['{"a": 1'], "must be valid JSON"), (['{"a..b": 1}'], "the key 'a..b'"),
])
def test_malformed_options_are_refused(items, problem):
    with pytest.raises(UserError, match=problem) as caught:
        parse_options(items)
    assert "--cfg-options" in caught.value.thing


def test_paths_through_dicts_and_lists():
    changed = apply({"model.bbox_head.num_classes": 3, "data.train.pipeline.1.type": "Flip", "lr_config.step.0": 5})
    assert changed["model"]["bbox_head"]["num_classes"] == 3
    assert changed["model"]["bbox_head"]["loss_cls"] == {"type": "FocalLoss", "gamma": 2.0}
    assert [step["type"] for step in changed["data"]["train"]["pipeline"]] == ["Resize", "Flip"]
    assert changed["lr_config"]["step"] == [5, 11]
    assert CONFIG["model"]["bbox_head"]["num_classes"] == 80


def test_dict_values_merge_and_delete_replaces():
    changed = apply({"model": {"bbox_head": {"num_classes": 3}}, "data.train.pipeline": {"0": {"type": "Y"}}})
    assert changed["model"]["type"] == "X"
    assert changed["model"]["bbox_head"]["num_classes"] == 3
    assert changed["data"]["train"]["pipeline"][0] == {"type": "Y", "img_scale": (1333, 800)}
    assert apply({"model.bbox_head": {"_delete_": True, "type": "Z"}})["model"]["bbox_head"] == {"type": "Z"}
    assert apply({"model.bbox_head._delete_": True, "model.bbox_head.type": "Z"})["model"]["bbox_head"] == {"type": "Z"}
    assert apply({"optimizer_config.grad_clip": {"_delete_": True, "max_norm": 1}})["optimizer_config"] == {
        "grad_clip": {"max_norm": 1}}


def test_new_keys():
    assert apply({"model.bbox_head.alpha": 0.5})["model"]["bbox_head"]["alpha"] == 0.5
    assert apply({"nncf_config": {"_delete_": True, "log_dir": "x"}})["nncf_config"] == {"log_dir": "x"}
    assert apply({"work_dir": "runs"})["work_dir"] == "runs"


@pytest.mark.parametrize("value, expected", [
    ([320, 240], (320, 240)), ([320.0, 240.0], (320, 240)), ([[320, 240], [640, 480]], [(320, 240), (640, 480)]),
    ((320, 240), (320, 240)), (5, 5), ("x", "x"), (None, None),
])
def test_json_lists_become_tuples_where_the_config_has_tuples(value, expected):
    changed = apply({"data.train.pipeline.0.img_scale": value})
    assert repr(changed["data"]["train"]["pipeline"][0]["img_scale"]) == repr(expected)


def test_kinds_follow_the_config():
    changed = apply({"data.train.pipeline.1.scales": [[5, 6]], "data.samples_per_gpu": 4.0,
                     "lr_config.step": [6.0, 9.0], "model.bbox_head.loss_cls.gamma": 3})
    assert changed["data"]["train"]["pipeline"][1]["scales"] == [(5, 6)]
    assert type(changed["data"]["samples_per_gpu"]) is int
    assert repr(changed["lr_config"]["step"]) == "[6, 9]"
    assert changed["model"]["bbox_head"]["loss_cls"]["gamma"] == 3
    assert apply({"data.samples_per_gpu": 4.5})["data"]["samples_per_gpu"] == 4.5


@pytest.mark.parametrize("options, problem", [
    ({"model.bbox_hed.num_classes": 3}, "model.bbox_hed. config x has nothing there. Did you mean `bbox_head`"),
    ({"model.neck.out_channels": 3}, "model.neck. config x has nothing there. Give model.neck a whole dict"),
    ({"model.bbox_head.num_clases": 3}, "unknown key model.bbox_head.num_clases.*Did you mean `num_classes`"),
    ({"model": {"bbox_head": {"num_clases": 3}}}, "unknown key model.bbox_head.num_clases"),
    ({"modle.type": 3}, "unknown key modle.*Did you mean `model`"), ({"something": 3}, "unknown key something"),
    ({"optimizer.lr": 1}, "optimizer. config x has nothing there"),
    ({"img_scale": [1, 2]}, "In config x it is a variable"),
    ({"data.train.pipeline.2.type": "x"}, "data.train.pipeline.2. In config x that is a list of 2 items"),
    ({"data.train.pipeline.first": 1}, "a list of 2 items"), ({"data.train.pipeline.-1": 1}, "a list of 2 items"),
    ({"data.train.pipeline.\u00b2": 1}, "a list of 2 items"),
    ({"data.train.pipeline.0.img_scale.0": 1}, r"it is \(1333, 800\), no dict to merge into. Give the whole tuple"),
    ({"optimizer_config.grad_clip.max_norm": 1}, "it is None, no dict to merge into. Give the whole dict.*_delete_"),
    ({"optimizer_config": {"grad_clip": {"max_norm": 1}}}, "it is None, no dict"),
    ({"model.type": 1, "model.type.x": 2}, "Another option sets"),
    ({"model": 1, "model.type": 2}, "Another option sets"),
    ({"model.type.x": 2, "model.type": 1}, "Another option sets"), ({"a..b": 1}, "the key 'a..b'"),
    ({"work_dir": {1, 2}}, "type set"), ({"work_dir": float("nan")}, "the number nan"),
])
def test_options_that_do_not_fit_the_config_are_refused(options, problem):
    with pytest.raises(UserError, match=problem):
        apply(options)


@pytest.mark.parametrize("options", [
    {"model.bbox_head.num_classes": 3, "model.bbox_head.new": {"a": 1}}, {"data.train.pipeline.0.type": "Y"},
    {"data.train.pipeline": {"1": {"type": "Y"}}}, {"lr_config.step": [1, 2, 3]}, {"model.bbox_head": 5},
    {"data.train.pipeline.0.img_scale": (5, 6)}, {"model.bbox_head.loss_cls": {"_delete_": True, "type": "L1Loss"}},
    {"lr_config": {}}, {"nncf_config": {"compression": []}},
])
def test_same_as_mmcv(options):
    import mmcv
    reference = mmcv.Config(copy.deepcopy(CONFIG))
    ours = apply(options)
    reference.merge_from_dict(options)
    assert repr(ours) == repr(reference._cfg_dict.to_dict())
