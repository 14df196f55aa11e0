from hashlib import sha256

import pytest

from core.base.errors import UserError
from core.storage.parent import ParentRef, open_parent, resolve_parent


def test_no_location_stands_for_no_parent():
    assert resolve_parent("") == ParentRef("", "")
    assert open_parent(ParentRef("", "")) is None


def test_checkpoint_is_digested_and_opened(tmp_path):
    path = tmp_path / "model.pth"
    path.write_bytes(b"weights")
    parent = resolve_parent(f"file://{path}")
    assert parent == ParentRef(str(path), sha256(b"weights").hexdigest())
    assert open_parent(ParentRef.from_json(parent.to_json())) == path


def test_missing_checkpoint_is_refused(tmp_path):
    with pytest.raises(UserError, match="checkpoint: .*absent.pth. It must be a file that exists"):
        resolve_parent(str(tmp_path / "absent.pth"))


def test_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(UserError, match="It must be a file that exists"):
        resolve_parent(str(tmp_path))


def test_a_checkpoint_on_s3_is_resolved_and_fetched(s3, tmp_path, monkeypatch):
    monkeypatch.setenv("MMDET_COMPRESS_CACHE", str(tmp_path / "cache"))
    s3.put("models/epoch_9.pth", b"older")
    uri = s3.put("models/epoch_12.pth", b"weights")
    parent = resolve_parent(f"{s3.uri}/models?latest=epoch_*.pth")
    assert parent.uri == uri and len(parent.digest) == 64
    assert open_parent(parent).read_bytes() == b"weights"
    s3.put("models/epoch_12.pth", b"others")
    with pytest.raises(UserError, match=f"checkpoint: {uri}. It changed after the run had begun"):
        open_parent(parent)


def test_what_is_no_checkpoint_on_s3_is_refused(s3):
    with pytest.raises(UserError, match=f"checkpoint: {s3.uri}/none.pth. There must be such an object"):
        resolve_parent(f"{s3.uri}/none.pth")


def test_checkpoint_that_changed_since_is_refused(tmp_path):
    path = tmp_path / "model.pth"
    path.write_bytes(b"weights")
    parent = resolve_parent(str(path))
    path.write_bytes(b"others")
    with pytest.raises(UserError, match=f"digest was {parent.digest} and is now"):
        open_parent(parent)


@pytest.mark.parametrize("value", [{}, {"uri": "a"}, {"uri": "a", "digest": 1}, {"uri": "", "digest": "", "x": ""}])
def test_malformed_reference_is_refused(value):
    with pytest.raises(UserError, match="checkpoint reference"):
        ParentRef.from_json(value)
