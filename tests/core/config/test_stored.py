import pytest

from core.base.errors import UserError
from core.config.loading import load_data
from core.config.reference import ConfigRef, open_config, resolve_config


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MMDET_COMPRESS_CACHE", str(tmp_path / "cache"))


def test_a_config_on_s3_is_read_with_its_bases(detector, s3):
    s3.put("mine/configs/base/detector.py", detector.read_bytes())
    location = s3.put("mine/configs/cells/int8.py", b"_base_ = '../base/detector.py'\noptimizer = dict(lr=0.5)\n")
    data = load_data(location)
    assert data["optimizer"]["lr"] == 0.5 and data["model"]["type"] == "RetinaNet"
    alone = s3.put("alone/detector.py", detector.read_bytes())
    assert load_data(alone)["model"] == data["model"]


@pytest.mark.parametrize("trust", [False, True])
def test_a_config_on_s3_is_never_run(detector, s3, tmp_path, trust):
    code = f"open({str(tmp_path / 'executed')!r}, 'w')\n".encode()
    imports = b"custom_imports = dict(imports=['antigravity'])\n"
    for text in (code, imports):
        with pytest.raises(UserError):
            load_data(s3.put("configs/evil.py", text + detector.read_bytes()), trust=trust)
    assert not (tmp_path / "executed").exists()


def test_bases_outside_its_configs_are_refused(detector, s3):
    s3.put("other.py", detector.read_bytes())
    with pytest.raises(UserError, match="other.py"):
        load_data(s3.put("mine/configs/a.py", b"_base_ = '../../other.py'\n"))


def test_a_config_that_is_not_there_is_named(s3):
    with pytest.raises(UserError, match=f"config: {s3.uri}/configs/none.py. There is no such object"):
        load_data(f"{s3.uri}/configs/none.py")


def test_a_reference_holds_the_location_and_notices_a_change(detector, s3):
    s3.put("configs/v1.py", b"")
    location = s3.put("configs/v2.py", detector.read_bytes())
    ref = resolve_config(f"{s3.uri}/configs?latest=v*.py")
    assert ref.path == location
    assert open_config(ConfigRef.from_json(ref.to_json())).model.type == "RetinaNet"
    s3.put("configs/v2.py", detector.read_bytes() + b"optimizer = dict(type='SGD', lr=9.0)\n")
    with pytest.raises(UserError, match="must not change while a run uses it"):
        open_config(ref)
