import hashlib

import pytest

from core.base.errors import UserError
from core.config.fingerprint import (
    config_digest,
    config_from_text,
    config_to_text,
    data_from_text,
    file_digest,
    json_digest,
)
from core.config.loading import load_data

CONFIG = {"model": {"type": "X", "scales": [(1, 2)], "rate": 0.1, "none": None, "flag": True},
          "nncf_config": {"compression": {"algorithm": "quantization"}, "log_dir": "runs/1"}, "work_dir": "runs/1"}


def test_the_digest_ignores_order_and_where_a_run_writes():
    nncf_config = {"log_dir": "d", "compression": CONFIG["nncf_config"]["compression"]}
    other = {"work_dir": "b", "log_dir": "c", "nncf_config": nncf_config,
             "model": dict(reversed(list(CONFIG["model"].items())))}
    assert config_digest(other) == config_digest(CONFIG)
    canonical = ('{"model":{"flag":true,"none":null,"rate":0.1,"scales":[[1,2]],"type":"X"},'
                 '"nncf_config":{"compression":{"algorithm":"quantization"}}}')
    assert config_digest(CONFIG) == hashlib.sha256(canonical.encode()).hexdigest()


@pytest.mark.parametrize("change", [{"type": "Y"}, {"rate": 0.2}, {"none": False}, {"scales": [(2, 1)]}, {"new": 1}])
def test_the_digest_tells_configs_apart(change):
    assert config_digest({**CONFIG, "model": {**CONFIG["model"], **change}}) != config_digest(CONFIG)


def test_json_digest():
    assert json_digest({"b": (1,), "a": "\u00e9"}) == json_digest({"a": "\u00e9", "b": [1]})
    assert json_digest({"b": 1}) == hashlib.sha256(b'{"b":1}').hexdigest()
    with pytest.raises(UserError, match="value to digest, a: a value of type set"):
        json_digest({"a": {1}})


def test_file_digest(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(b"x" * (3 << 20))
    assert file_digest(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(UserError, match="It must exist to be digested"):
        file_digest(tmp_path / "none.bin")


def test_text_round_trips(detector):
    data = load_data(detector)
    text = config_to_text(data)
    assert repr(data_from_text(text)) == repr(data)
    assert [line.split(":")[0] for line in text.splitlines()[1:-1]] == [repr(key) for key in data]
    awkward = {"s": "a'\"\n\\\u00e9\ud800{{_base_.x}}", "n": [-1, 1e-300, 2 ** 64 - 1, -0.0], "t": ((), (1,))}
    assert repr(data_from_text(config_to_text(awkward))) == repr(awkward)


def test_config_round_trips_through_mmcv(detector):
    import mmcv
    data = load_data(detector)
    config = config_from_text(config_to_text(mmcv.Config(data)))
    assert isinstance(config, mmcv.Config)
    assert repr(config._cfg_dict.to_dict()) == repr(data)
    assert config_digest(config) == config_digest(data)


@pytest.mark.parametrize("text, problem", [
    ("__import__('os').system('echo')", "more than literals"), ("{'a': open}", "more than literals"),
    ("{'a': [b for b in c]}", "more than literals"), ("{'a': f'{b}'}", "more than literals"),
    ("{'a': 1}['a']", "more than literals"),
    ("a = 1", "invalid syntax"), ("[1]", "a list"), ("", "line 1"), ("{'a': {1}}", "type set"),
    ("{1: 2}", "is not text"), ("{'filename': 'x'}", "the key `filename`"), ("{'modle': 1}", "unknown key `modle`"),
    ("{'a': b'x'}", "type bytes"), ("{[]: 1}", "more than literals"),
    ("{'a': " + "[" * 200, "nested deeper"), ("1" + "+1" * 100000, "operators"), ("#" * (2 << 20), "longer than"),
    ("{" * 30 + "}" * 30, "more than literals"), ("{'a': (lambda: 1)()}", "`lambda` begins"),
])
def test_text_that_is_no_literal_dict_is_refused(text, problem):
    with pytest.raises(UserError, match=problem) as caught:
        data_from_text(text)
    assert "stored config" in caught.value.thing


def test_configs_that_are_no_data_have_no_text():
    with pytest.raises(UserError, match="config, a: a value of type object"):
        config_to_text({"a": object()})
    with pytest.raises(UserError, match="longer than"):
        config_to_text({"a": ["\n" * 100_000] * 9})
