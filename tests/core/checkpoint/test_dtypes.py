"""Tensors of another kind of number than the model's are refused; within a kind a log line says that they are cast."""

import logging

import pytest
import torch

from core.base.errors import UserError
from core.checkpoint.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from core.checkpoint.dtypes import check_dtypes
from core.training.model import load_all_weights, load_plain_weights

REAL = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
OTHER = (torch.bool, torch.complex64)


def of(dtype):
    return {"w": torch.ones(2, 2).to(dtype)}


def network():
    return torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))


def changed(name, dtype):
    weights = network().state_dict()
    return Checkpoint({**weights, name: weights[name].to(dtype)})


@pytest.mark.parametrize("kind", [REAL, WHOLE])
def test_within_a_kind_a_log_line_says_what_is_cast(kind, caplog):
    with caplog.at_level(logging.INFO):
        for given in kind:
            for own in kind:
                caplog.clear()
                check_dtypes(of(given), of(own), "x.pth")
                expected = [] if given == own else [
                    f"1 tensors of x.pth are cast, the first is w from {given} to {own}"]
                assert caplog.messages == expected


@pytest.mark.parametrize("given, own", [
    *[(given, own) for given in (*WHOLE, *OTHER) for own in REAL], *[(given, own) for given in (*REAL, *OTHER)
                                                                    for own in WHOLE], (torch.uint8, torch.bool)])
def test_across_kinds_key_and_both_dtypes_are_named(given, own):
    with pytest.raises(UserError) as caught:
        check_dtypes(of(given), of(own), "x.pth")
    assert f"x.pth. Its w is of {given}, and the model's is of {own}: " in str(caught.value)


def test_keys_that_the_model_lacks_are_not_compared():
    check_dtypes({"other": torch.ones(1, dtype=torch.bool)}, of(torch.float32), "x.pth")


@pytest.mark.parametrize("load", [load_plain_weights, load_all_weights])
def test_what_loads_weights_looks(load, caplog):
    doubled = changed("0.weight", torch.float64)
    target = network()
    with caplog.at_level(logging.INFO):
        load(target, doubled, "x.pth")
    assert target[0].weight.dtype == torch.float32
    assert torch.equal(target[0].weight, doubled.state_dict["0.weight"].float())
    assert "0.weight from torch.float64 to torch.float32" in caplog.text

    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    for name, dtype in (("0.weight", torch.int32), ("1.num_batches_tracked", torch.float32), ("0.bias", torch.bool)):
        with pytest.raises(UserError, match=f"x.pth. Its {name} is of {dtype}"):
            load(target, changed(name, dtype), "x.pth")
    assert all(torch.equal(tensor, before[name]) for name, tensor in target.state_dict().items())


def test_a_state_of_other_weights_is_refused():
    with pytest.raises(UserError, match="the state. Its weights must be those of this model: Missing key.*0.weight"):
        load_all_weights(network(), Checkpoint({"1.bias": torch.zeros(2)}), "the state")


def test_complex_numbers_do_not_get_that_far(tmp_path):
    save_checkpoint(Checkpoint({"w": torch.ones(2, dtype=torch.complex64)}), tmp_path / "c.pth")
    with pytest.raises(UserError, match="ComplexFloatStorage"):
        load_checkpoint(tmp_path / "c.pth")
