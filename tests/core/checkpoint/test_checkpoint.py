"""Checkpoints are written whole or not at all, and read back with what they carry."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the train environment")

from core.checkpoint import checkpoint as module  # noqa: E402
from core.checkpoint.checkpoint import Checkpoint, CompressionRecord, load_checkpoint, save_checkpoint  # noqa: E402
from core.errors import UserError  # noqa: E402


def test_everything_comes_back(tmp_path):
    record = CompressionRecord({"compression": {"algorithm": "quantization"}}, {"builder": {"a": 1}}, False)
    training = {"optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}, "epoch": 2, "iter": 40}
    saved = Checkpoint({"w": torch.ones(2)}, ("cat", "dög"), "model = {}", record, {"torch": "1.8.1"}, training)
    save_checkpoint(saved, tmp_path / "sub" / "c.pth")

    loaded = load_checkpoint(tmp_path / "sub" / "c.pth")

    assert loaded.state_dict["w"].tolist() == [1.0, 1.0]
    assert loaded.classes == ("cat", "dög")
    assert loaded.config_text == "model = {}"
    assert loaded.compression == record
    assert loaded.versions == {"torch": "1.8.1"}
    assert loaded.training == training


def test_a_bare_state_dict_and_a_data_parallel_prefix_are_understood(tmp_path):
    torch.save({"module.layer.weight": torch.zeros(1)}, str(tmp_path / "bare.pth"))
    loaded = load_checkpoint(tmp_path / "bare.pth")
    assert list(loaded.state_dict) == ["layer.weight"]
    assert (loaded.classes, loaded.config_text, loaded.compression, loaded.training) == ((), "", None, None)


@pytest.mark.parametrize("contents", [[1, 2], {"epoch": 3}, {"state_dict": {}}, {"state_dict": {"w": 3}}])
def test_a_file_without_weights_is_refused(tmp_path, contents):
    torch.save(contents, str(tmp_path / "none.pth"))
    with pytest.raises(UserError, match="none.pth"):
        load_checkpoint(tmp_path / "none.pth")


def test_a_failing_save_leaves_the_earlier_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "c.pth"
    save_checkpoint(Checkpoint({"w": torch.zeros(1)}), path)

    def disk_full(contents, target):
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device", target)

    monkeypatch.setattr(torch, "save", disk_full)
    with pytest.raises(OSError):
        save_checkpoint(Checkpoint({"w": torch.ones(1)}), path)

    assert [item.name for item in tmp_path.iterdir()] == ["c.pth"]
    assert module.load_checkpoint(path).state_dict["w"].item() == 0.0
