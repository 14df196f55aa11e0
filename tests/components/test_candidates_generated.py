"""The candidates of generated parameters: names, options, and nncf_config on its way to NNCF."""

import copy
import json
import re
from pathlib import PurePosixPath

from hypothesis import given, settings
from hypothesis import strategies as st

from components.candidates import Candidates
from core.base.errors import UserError
from core.config.adapt import nncf_config_of
from core.config.loading import load_config
from core.config.reference import ConfigRef, open_config, resolve_config
from core.training.ready_made import NAMES, expand, options_of, overridden

PATH = "configs/detectors/retinanet_r18_small_digits.py"
MODEL = load_config(PATH)
FOLDERS = st.sampled_from(["a", "b", "a/b", "configs", "Ä", "s3://bucket/a"])
STEMS = st.sampled_from(["int8", "INT8", "own-int8", "pruning", "_x", "x-", "fp32", "a b", "z" * 70, "post_training"]
                        ) | st.text(max_size=6).filter(lambda text: not set("/\0") & set(text))
PATHS = st.lists(st.builds(lambda folder, stem: f"{folder}/{stem}.py", FOLDERS, STEMS), max_size=4)
NUMBERS = st.sampled_from([0, 1, 8, 0.5, True, None, "x", [1, 2]])
# Each at a place of its own, above, at or below an option that ready-made candidates have.
CHANGES = st.fixed_dictionaries({}, optional={
    "optimizer": st.fixed_dictionaries({"weight_decay": NUMBERS}, optional={"lr": NUMBERS}),
    "optimizer_config.grad_clip": st.none() | st.just({"max_norm": 1}),
    "lr_config": st.sampled_from([{"min_lr_ratio": 0.5}, {"_delete_": True, "policy": "step", "step": [1]}]),
    "runner.max_epochs": st.integers(1, 9), "evaluation": st.fixed_dictionaries({"interval": st.integers(1, 3)}),
    "nncf_config": st.sampled_from([{"target_device": "CPU"}, {"compression": {"weights": {"bits": 4}}},
                                    {"input_info": {"_delete_": True, "sample_size": [1, 3, 8, 8]}}]),
    "model": st.fixed_dictionaries({"backbone": st.fixed_dictionaries({"depth": NUMBERS})})})
# With int8 alone `compression` is a dict, else a list.
SINGLE = [name for name in NAMES if "int8_pruned" not in name]


@given(paths=PATHS, ready=st.lists(st.sampled_from(NAMES), unique=True), options=CHANGES)
@settings(deadline=None, max_examples=25)
def test_every_name_is_one_of_its_own_and_options_of_one_never_reach_another(paths, ready, options):
    def expanded():
        asked = Candidates(compression_config="c.py", compression_configs=paths, candidates=ready,
                           compression_options=copy.deepcopy(options))
        asked.check()
        return list(asked.wanted(PATH, MODEL, {"seed": 1, "data": {"samples_per_gpu": 4}}))

    try:
        found = expanded()
    except UserError as error:
        assert error.thing.startswith(("parameter compression_configs", "parameter compression_options"))
        return
    names = [one.name for one in found]
    assert len({name.lower() for name in names} | {"fp32"}) == len(names) + 1
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name) for name in names)
    own = found[:len(paths) or not ready]
    assert [one.path for one in own] == (paths or ["c.py"][:not ready])
    assert [one.name for one in found[len(own):]] == ready
    assert all(one.options == options for one in own)
    for path, one in zip(paths, own):
        stem = re.sub(r"[^A-Za-z0-9_.-]", "-", PurePosixPath(path).stem)[:20].strip("-._")
        assert stem in one.name
    for place, one in enumerate(found):
        spoil(one.options)
        assert [other.options for other in found[place + 1:]] == [other.options for other in expanded()[place + 1:]]


def spoil(node):
    """Change everything below a value that can be."""
    for key in list(node) if isinstance(node, dict) else range(len(node)):
        if isinstance(node[key], (dict, list)):
            spoil(node[key])
        else:
            node[key] = "spoilt"
    node.clear()


@given(name=st.sampled_from(SINGLE), changes=CHANGES)
@settings(deadline=None, max_examples=25)
def test_options_of_a_run_change_a_ready_made_candidate_as_mmcv_changes_its_config(name, changes):
    (one,) = expand([name])
    options = options_of(one, MODEL)
    wanted = load_config(PATH, options)
    try:
        wanted.merge_from_dict(copy.deepcopy(changes))
    except (TypeError, KeyError, IndexError):
        return
    found = load_config(PATH, overridden(options, copy.deepcopy(changes)))
    assert found._cfg_dict.to_dict() == wanted._cfg_dict.to_dict()


@given(name=st.sampled_from(NAMES), compression=st.recursive(
    st.none() | st.booleans() | st.integers(-2 ** 53, 2 ** 53) | st.floats(-1e9, 1e9)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["bits", "mode", "params"]), inner),
    max_leaves=8))
@settings(deadline=None, max_examples=25)
def test_nncf_config_reaches_nncf_unchanged(name, compression):
    """Through the candidate's options, the reference that travels as JSON, and the config that compress opens."""
    given_config = {"_delete_": True, "input_info": {"sample_size": [1, 3, 8, 8]}, "compression": compression}
    options = overridden(options_of(expand([name])[0], MODEL), {"nncf_config": given_config})
    ref = ConfigRef.from_json(json.loads(json.dumps(resolve_config(PATH, options).to_json())))
    found = nncf_config_of(open_config(ref))
    del given_config["_delete_"]
    assert json.dumps(found, sort_keys=True) == json.dumps(with_whole_numbers(given_config), sort_keys=True)


def with_whole_numbers(value):
    """Return a value as configs hold it: KFP's structs tell 8 and 8.0 not apart."""
    if isinstance(value, dict):
        return {key: with_whole_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_whole_numbers(item) for item in value]
    return int(value) if type(value) is float and value.is_integer() else value
