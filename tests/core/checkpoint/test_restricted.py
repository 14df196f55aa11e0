"""A checkpoint is data: weights come back, gadgets and rubbish are refused by name."""

import os
import pickle
from collections import OrderedDict

import pytest

torch = pytest.importorskip("torch", reason="needs the train environment")

from core.base.errors import UserError  # noqa: E402
from core.checkpoint.restricted import load_restricted  # noqa: E402


class Gadget:
    """Runs a command where it is unpickled the ordinary way."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_weights_and_plain_containers_come_back(tmp_path):
    numpy = pytest.importorskip("numpy")
    contents = {"state_dict": OrderedDict(weight=torch.arange(6.0).reshape(2, 3), count=torch.tensor(7)),
                "meta": {"CLASSES": ("a", "b"), "epoch": 3, "mean": numpy.array([1.5, 2.5]), "scale": numpy.float32(2)}}
    torch.save(contents, str(tmp_path / "good.pth"))

    loaded = load_restricted(tmp_path / "good.pth")

    assert torch.equal(loaded["state_dict"]["weight"], contents["state_dict"]["weight"])
    assert loaded["state_dict"]["count"].item() == 7
    assert loaded["meta"]["CLASSES"] == ("a", "b")
    assert loaded["meta"]["mean"].tolist() == [1.5, 2.5]
    assert float(loaded["meta"]["scale"]) == 2.0


def test_the_legacy_format_is_read_too(tmp_path):
    torch.save({"state_dict": {"w": torch.ones(3)}}, str(tmp_path / "old.pth"), _use_new_zipfile_serialization=False)
    assert load_restricted(tmp_path / "old.pth")["state_dict"]["w"].tolist() == [1.0, 1.0, 1.0]


def test_mmcv_config_dicts_are_read_as_plain_dictionaries(tmp_path):
    mmcv = pytest.importorskip("mmcv")
    torch.save({"meta": mmcv.ConfigDict(lr=0.1, nested=dict(a=[1, 2]))}, str(tmp_path / "c.pth"))
    loaded = load_restricted(tmp_path / "c.pth")["meta"]
    assert type(loaded).__module__ == "core.checkpoint.plain_pickle"
    assert dict(loaded) == {"lr": 0.1, "nested": {"a": [1, 2]}}


@pytest.mark.parametrize("zipped", [True, False])
def test_a_gadget_is_refused_by_name_and_does_not_run(tmp_path, zipped):
    trace = tmp_path / "ran"
    torch.save({"state_dict": {"w": torch.ones(1)}, "meta": Gadget(trace)}, str(tmp_path / "bad.pth"),
               _use_new_zipfile_serialization=zipped)

    with pytest.raises(UserError) as refused:
        load_restricted(tmp_path / "bad.pth")

    assert not trace.exists()
    assert "system" in str(refused.value) and "only tensors" in str(refused.value)


@pytest.mark.parametrize("target", ["builtins.eval", "builtins.getattr", "torch.load", "numpy.load", "torch.nn.Linear",
                                    "subprocess.Popen", "torch.hub.load", "codecs.encode"])
def test_globals_that_no_checkpoint_needs_are_refused(tmp_path, target):
    module, name = target.rsplit(".", 1)
    stream = b"\x80\x02c" + module.encode() + b"\n" + name.encode() + b"\nq\x00."
    path = tmp_path / "global.pth"
    with open(path, "wb") as file:
        for value in (0x1950A86A20F9469CFC6C, 1001, {}):
            pickle.dump(value, file, protocol=2)
        file.write(stream)
    with pytest.raises(UserError) as refused:
        load_restricted(path)
    assert name in str(refused.value)


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "png"])
def test_what_is_no_checkpoint_is_refused(tmp_path, damage):
    path = tmp_path / "broken.pth"
    torch.save({"state_dict": {"w": torch.ones(1000)}}, str(path))
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "text": b"not a checkpoint\n", "cut": whole[:len(whole) // 2],
                      "png": b"\x89PNG\r\n\x1a\n" + bytes(100)}[damage])
    with pytest.raises(UserError) as refused:
        load_restricted(path)
    assert "broken.pth" in str(refused.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "absent.pth", tmp_path):
        with pytest.raises(UserError, match="must be a file"):
            load_restricted(path)
