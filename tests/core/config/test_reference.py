import json

import pytest

from core.base.errors import UserError
from core.config import reference
from core.config.fingerprint import config_digest
from core.config.loading import load_data
from core.config.reference import ConfigRef, open_config, resolve_config

OPTIONS = {"data.train.pipeline.2.img_scale": (256, 192), "data.samples_per_gpu": 4, "lr_config.step": [(1, 2), [3.0]]}


def test_json_round_trip_keeps_types():
    ref = ConfigRef("configs/x.py", "0" * 64, OPTIONS, {"backbone.pth": "1" * 64})
    text = json.dumps(ref.to_json())
    assert all(isinstance(value, str) for value in json.loads(text).values())
    again = ConfigRef.from_json(json.loads(text))
    assert again == ref
    assert repr(again.options) == repr(dict(sorted(OPTIONS.items())))


@pytest.mark.parametrize("value", [
    {}, {"path": "x", "digest": "y"}, "text", {"path": "x", "digest": "y", "options": "{}"}, *(
        {"path": "x", "digest": "y", "options": options, "files": "{}"}
        for options in ("{", "[1]", {"a": 1}, "[" * 100000, '{"a": NaN}')), *(
        {"path": "x", "digest": "y", "options": "{}", "files": files} for files in ("[]", '{"a": 1}')),
])
def test_a_malformed_reference_is_refused(value):
    with pytest.raises(UserError, match="config reference"):
        ConfigRef.from_json(value)


def test_resolve_and_open(detector):
    ref = resolve_config(detector, OPTIONS)
    assert ref == ConfigRef(str(detector), config_digest(load_data(detector, OPTIONS)), OPTIONS)
    config = open_config(ConfigRef.from_json(json.loads(json.dumps(ref.to_json()))))
    assert config.data.train.pipeline[2].img_scale == (256, 192)
    assert config.data.samples_per_gpu == 4


def test_a_config_of_the_repository_travels_by_relative_path(detector, monkeypatch):
    from core.config import loading

    for module in (loading, reference):
        monkeypatch.setattr(module, "REPOSITORY", detector.parents[1])
    assert resolve_config("configs/detector.py").path == "configs/detector.py"
    assert resolve_config(detector).path == "configs/detector.py"


def test_a_config_that_changed_under_the_run_is_refused(write):
    path = write(child="_base_ = 'base.py'\nmodel = dict(type='X')",
                 base="data = dict(train=dict(pipeline=[1]), test=dict(pipeline=[2]))")
    ref = resolve_config(path)
    base = path.with_name("base.py")
    base.write_text(base.read_text() + "\n# a comment changes nothing\n")
    assert open_config(ref).model.type == "X"
    base.write_text(base.read_text().replace("[2]", "[3]"))
    with pytest.raises(UserError, match=f"instead of {ref.digest[:12]}. A config must not change"):
        open_config(ref)


def test_a_trusted_config_needs_trust_again(detector):
    detector.write_text(detector.read_text() + "import math\nextra = math.floor(1.5)\n")
    ref = resolve_config(detector, trust=True)
    assert open_config(ref, trust=True).extra == 1
    with pytest.raises(UserError, match="--trust-config"):
        open_config(ref)
