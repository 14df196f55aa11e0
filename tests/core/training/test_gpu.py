"""Which GPUs torch can use, by its own list of architectures."""

import types

import pytest

from core.base.errors import UserError
from core.training import gpu

# torch.cuda.get_arch_list() of PyPI's torch 2.1.2, and a list with PTX as older builds have it.
CU121 = ["sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"]
CU102 = ["sm_35", "sm_37", "sm_50", "sm_60", "sm_70", "compute_50"]


@pytest.mark.parametrize(("capability", "architectures", "usable"), [
    ((7, 0), CU121, True), ((7, 5), CU121, True), ((8, 0), CU121, True), ((8, 6), CU121, True), ((8, 9), CU121, True),
    ((9, 0), CU121, True), ((10, 0), CU121, False), ((3, 5), CU121, False), ((7, 2), ["sm_75"], False),
    ((8, 0), ["sm_70"], False), ((8, 0), CU102, True), ((4, 9), ["compute_50"], False)])
def test_code_runs_within_its_family_and_ptx_on_all_that_is_newer(capability, architectures, usable):
    assert gpu.runs(capability, architectures) is usable


def test_a_gpu_torch_does_not_know_is_refused_with_those_it_does(monkeypatch):
    monkeypatch.delenv(gpu.ARCHITECTURES_VARIABLE, raising=False)
    with pytest.raises(UserError) as refused:
        gpu.require_usable("GPU 0 (NVIDIA B200)", (10, 0), CU121, "2.1.2+cu121")
    assert str(refused.value).startswith(
        "GPU 0 (NVIDIA B200): compute capability 10.0. torch 2.1.2+cu121 here has code for 5.0, 6.0, 7.0, 7.5, 8.0, "
        "8.6, 9.0, which runs on")
    assert "A100 (8.0)" in refused.value.hint and "gpus=0" in refused.value.hint


def test_our_own_operators_must_have_code_for_it_too(monkeypatch):
    monkeypatch.setenv(gpu.ARCHITECTURES_VARIABLE, "7.0;7.5;8.0;8.6;9.0")
    gpu.require_usable("GPU", (7, 0), CU121, "2.1.2+cu121")
    with pytest.raises(UserError, match="compute capability 6.1. mmcv-full and NNCF here has code for 7.0, 7.5, "):
        gpu.require_usable("GPU", (6, 1), CU121, "2.1.2+cu121")


def test_a_newer_gpu_of_a_known_family_is_used_with_a_warning(monkeypatch, caplog):
    monkeypatch.delenv(gpu.ARCHITECTURES_VARIABLE, raising=False)
    gpu.require_usable("GPU 0 (NVIDIA L4)", (8, 9), CU121, "2.1.2+cu121")
    assert "GPU 0 (NVIDIA L4), compute capability 8.9, is newer than torch" in caplog.text


def test_the_cpu_image_says_that_it_is_one(monkeypatch):
    monkeypatch.setenv(gpu.VARIANT_VARIABLE, "cpu")
    with pytest.raises(UserError, match="CPU variant.*make image-cuda"):
        gpu.require_gpus(1)


def test_fewer_gpus_than_asked_for(monkeypatch):
    import torch
    monkeypatch.delenv(gpu.VARIANT_VARIABLE, raising=False)
    monkeypatch.setattr(torch, "cuda", types.SimpleNamespace(is_available=lambda: True, device_count=lambda: 1))
    with pytest.raises(UserError, match="1 of 2 found by torch 2.1.2"):
        gpu.require_gpus(2)


def test_operators_compiled_without_cuda_are_told(monkeypatch):
    import torch
    from mmcv import ops
    monkeypatch.delenv(gpu.VARIANT_VARIABLE, raising=False)
    monkeypatch.setattr(torch, "cuda", types.SimpleNamespace(is_available=lambda: True, device_count=lambda: 1))
    monkeypatch.setattr(ops, "get_compiling_cuda_version", lambda: "not available")
    with pytest.raises(UserError, match="mmcv-full was compiled without CUDA.*FORCE_CUDA=1"):
        gpu.require_gpus(1)
