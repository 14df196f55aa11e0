"""A checkpoint is data: weights come back, gadgets and rubbish are refused by name."""

import datetime
import os
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch

from core.base.errors import UserError
from core.checkpoint import restricted
from core.checkpoint.restricted import load_restricted
from tests.hostile import checkpoints
from tests.hostile.checkpoints import array, call, latin, name_of, number, numbers, storage, text, weights
from tests.hostile.kinds import KINDS, PLACES


class Gadget:
    """Runs a command where it is unpickled the ordinary way."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_weights_and_plain_containers_come_back(tmp_path):
    import numpy
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
    import mmcv
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


VALUES = {
    "numpy booleans": (np.array([True, False]), np.bool_(True)),
    "numpy scalars": (np.float64(3), np.int8(-3), np.float16(1), np.complex64(1 + 2j)),
    "numpy text": np.array(["a", "bc"]), "numpy bytes": np.array([b"a", b"bc"]),
    "numpy big-endian": np.array([1, 2], ">i4"),
    "numpy dates": (np.array(["2024-01-02"], "M8[D]"), np.datetime64("2024-01-02T03:04", "25s"), np.timedelta64(3, "h"),
                    np.datetime64("NaT")),
    "numpy of no size": np.zeros((2, 0, 3)), "numpy in Fortran's order": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "numpy dtypes": (np.dtype("f4"), np.dtype(">i2"), np.dtype("S8"), np.dtype("f4")),
    "dates": (datetime.datetime(2024, 2, 3, 4, 5, 6, 7), datetime.date(2024, 2, 3), datetime.time(4, 5, 6, 7),
              datetime.timedelta(1, 2, 3), datetime.datetime(2024, 2, 3, tzinfo=datetime.UTC),
              datetime.timezone(datetime.timedelta(hours=2), "here")),
    "torch.dtype": (torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.complex64),
    "torch.Size": torch.Size([1, 2]),
    "torch.device": (torch.device("cpu"), torch.device("cuda:1"), torch.device("meta")),
    "sets": ({1, 2}, frozenset([3])), "bytes": b"\0\xff",
}


def equal(found, expected):
    if isinstance(expected, tuple) and type(expected) is tuple:
        return len(found) == len(expected) and all(map(equal, found, expected))
    if isinstance(expected, (np.ndarray, np.generic)):
        return found.dtype.newbyteorder("=") == expected.dtype.newbyteorder("=") and np.array_equal(
            found, expected, equal_nan=expected.dtype.kind in "fcmM")
    return type(found) is type(expected) and found == expected


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("options", [{}, {"pickle_protocol": 4}, {"pickle_protocol": 5},
                                     {"_use_new_zipfile_serialization": False}], ids=str)
def test_plain_values_come_back(tmp_path, name, options):
    torch.save({"state_dict": {"w": torch.ones(1)}, "meta": {"a": VALUES[name]}}, tmp_path / "c.pth", **options)
    assert equal(load_restricted(tmp_path / "c.pth")["meta"]["a"], VALUES[name])


def test_an_array_is_its_own_and_can_be_changed(tmp_path):
    shared = b"h\x09"
    two = array(checkpoints.F4, numbers(2), shared) * 2
    content = checkpoints.in_meta("a", latin("x" * 8) + b"q\x090(" + two + b"t")
    path = checkpoints.zipped(content, tmp_path, tmp_path)
    first, second = load_restricted(path)["meta"]["a"]
    first[0] = 7
    assert second[0] != 7


def test_what_newer_torch_writes_is_read(tmp_path):
    attributed, parameter = torch.ones(3), torch.nn.Parameter(torch.ones(2, 3))
    attributed.note = parameter.note = "x"
    contents = {"attributed": attributed, "parameter": parameter, "bool": torch.tensor([True, False]),
                "view": torch.arange(6.0).view(2, 3).t(), "bfloat16": torch.ones(2, dtype=torch.bfloat16),
                "empty": torch.empty(0, 3), "scalar": torch.tensor(3), "untyped": torch.ones(3).untyped_storage()}
    path = tmp_path / "c.pth"
    torch.save(contents, path)
    with zipfile.ZipFile(path, "a") as packed:
        folder = packed.namelist()[0].partition("/")[0]
        assert f"{folder}/byteorder" in packed.namelist()
        for name, value in ((".format_version", "1"), (".storage_alignment", "64"),
                            (".data/serialization_id", "0" * 40)):
            if f"{folder}/{name}" not in packed.namelist():
                packed.writestr(f"{folder}/{name}", value)

    found = load_restricted(path)

    for name in ("attributed", "parameter", "bool", "view", "bfloat16", "empty", "scalar"):
        assert torch.equal(found[name], contents[name]) and found[name].dtype == contents[name].dtype
    assert isinstance(found["parameter"], torch.nn.Parameter) and not hasattr(found["attributed"], "note")
    assert bytes(found["untyped"]) == np.ones(3, "f4").tobytes()


def test_the_version_that_torch_says_is_text(tmp_path):
    torch.save({"state_dict": {"w": torch.ones(1)}, "meta": {"torch": torch.__version__}}, tmp_path / "c.pth")
    found = load_restricted(tmp_path / "c.pth")["meta"]["torch"]
    assert (type(found), found) == (str, str(torch.__version__))


def test_what_torch_rebuilds_in_other_ways_is_read(tmp_path):
    untyped = storage("UntypedStorage", 16, module="torch.storage")
    contents = (weights(call("torch._utils", "_rebuild_tensor_v3", untyped, number(1), numbers(3), numbers(1), b"\x89",
                             b"N", name_of("torch", "int32"))),
                weights(call("torch._utils", "_rebuild_device_tensor_from_numpy", array(
                    checkpoints.F4, numbers(3), latin("\0" * 12)), name_of("torch", "int32"), text("xla:0"), b"\x89")))
    for content in contents:
        path = checkpoints.zipped(content, tmp_path, tmp_path)
        assert load_restricted(path)["state_dict"]["w"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_checkpoint_is_called_what_it_is(tmp_path, kind):
    content, said = KINDS[kind]
    (tmp_path / "c.pth").write_bytes(content)
    with pytest.raises(UserError, match=said):
        load_restricted(tmp_path / "c.pth")


@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_file_is_not_waited_for(tmp_path, place):
    make, said = PLACES[place]
    make(tmp_path / "c.pth")
    with pytest.raises(UserError, match=said):
        load_restricted(tmp_path / "c.pth")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("left", [0.3, 0.7, 0.95])
def test_a_cut_checkpoint_is_called_cut_off(tmp_path, zipped, left):
    path = tmp_path / "c.pth"
    torch.save({"state_dict": {"w": torch.ones(1000)}}, path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    path.write_bytes(content[:int(len(content) * left)])
    with pytest.raises(UserError, match="cut off"):
        load_restricted(path)


def test_a_program_is_called_a_program(tmp_path):
    torch.jit.script(torch.nn.Linear(1, 1)).save(str(tmp_path / "c.pth"))
    with pytest.raises(UserError, match="a TorchScript program"):
        load_restricted(tmp_path / "c.pth")


def test_a_checkpoint_larger_than_any_is_not_read(tmp_path, monkeypatch):
    torch.save({"state_dict": {"w": torch.ones(1000)}}, tmp_path / "c.pth")
    monkeypatch.setattr(restricted, "MOST_BYTES", 1000)
    with pytest.raises(UserError, match="at most 1,000 are read"):
        load_restricted(tmp_path / "c.pth")
