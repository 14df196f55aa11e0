"""Checkpoints are written whole or not at all, and read back with what they carry."""

import errno

import pytest
import torch

from core.base.errors import UserError
from core.checkpoint.checkpoint import (
    Checkpoint,
    CompressionRecord,
    load_checkpoint,
    save_checkpoint,
    weights_digest,
)


def test_everything_comes_back(tmp_path):
    record = CompressionRecord({"compression": {"algorithm": "quantization"}}, {"builder": {"a": 1}}, False)
    training = {"optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}, "epoch": 2, "iter": 40}
    saved = Checkpoint({"w": torch.ones(2)}, ("cat", "dög"), "model = {}", record, {"torch": "2.1.2"}, training)
    save_checkpoint(saved, tmp_path / "sub" / "c.pth")

    loaded = load_checkpoint(tmp_path / "sub" / "c.pth")

    assert loaded.state_dict["w"].tolist() == [1.0, 1.0]
    assert loaded.classes == ("cat", "dög")
    assert loaded.config_text == "model = {}"
    assert loaded.compression == record
    assert loaded.versions == {"torch": "2.1.2"}
    assert loaded.training == {**training, "hook_msgs": {}}


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


def test_a_full_disk_keeps_its_name_and_leaves_the_earlier_file_and_nothing_else(tmp_path, file_size_limit):
    path = tmp_path / "c.pth"
    save_checkpoint(Checkpoint({"w": torch.zeros(1)}), path)

    with file_size_limit(64 << 10), pytest.raises(OSError) as raised:
        save_checkpoint(Checkpoint({"w": torch.ones(100_000)}), path)

    assert raised.value.errno == errno.EFBIG
    assert [item.name for item in tmp_path.iterdir()] == ["c.pth"]
    assert load_checkpoint(path).state_dict["w"].item() == 0.0


def test_weights_have_one_digest_whatever_the_file_or_the_order():
    weights = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(1)}
    digest = weights_digest(weights)
    assert weights_digest(dict(reversed(list(weights.items())))) == digest
    assert weights_digest({**weights, "a": weights["a"].t().contiguous().t()}) == digest
    for other in (weights["a"].reshape(3, 2), weights["a"].double(), weights["a"] + 1e-6):
        assert weights_digest({**weights, "a": other}) != digest
    assert weights_digest({"a": weights["a"], "c": weights["b"]}) != digest


def test_a_checkpoint_keeps_the_progress_of_its_training(tmp_path):
    training = {"optimizer": {"state": {}, "param_groups": []}, "epoch": 1, "iter": 9, "progress": {"log": "x"}}
    save_checkpoint(Checkpoint({"w": torch.zeros(1)}, training=training), tmp_path / "c.pth")
    assert load_checkpoint(tmp_path / "c.pth").training == {**training, "hook_msgs": {}}
