import pytest

from core.openvino.cpu import UNKNOWN, describe_cpu


def cpuinfo(tmp_path, flags, name="Some CPU @ 2.0GHz", key="flags"):
    file = tmp_path / "cpuinfo"
    processor = f"processor\t: 0\nmodel name\t: {name}\n{key}\t\t: {flags}\npower management:\n"
    file.write_text(f"{processor}\n{processor.replace(name, 'Other')}")
    return file


@pytest.mark.parametrize("flags, available", [
    ("fpu sse4_2 avx avx2", ("AVX2", "AVX", "SSE4_2")),
    ("sse4_2 avx avx2 avx_vnni", ("AVX_VNNI", "AVX2", "AVX", "SSE4_2")),
    ("sse4_2 avx avx2 avx512f avx512bw", ("AVX512", "AVX2", "AVX", "SSE4_2")),
    ("avx2 avx512f avx512bw avx512_vnni", ("AVX512_VNNI", "AVX512", "AVX2")),
    ("avx2 avx512f avx512bw avx512_vnni amx_tile amx_int8 amx_bf16",
     ("AMX_INT8", "AVX512_VNNI", "AVX512", "AVX2")),
    ("fpu", ())])
def test_best_instruction_set_comes_first(tmp_path, flags, available):
    cpu = describe_cpu(cpuinfo(tmp_path, flags))
    assert (cpu.name, cpu.instruction_sets) == ("Some CPU @ 2.0GHz", available)
    assert cpu.instruction_set == (available[0] if available else UNKNOWN)
    assert cpu.cores >= 1


def test_arm(tmp_path):
    cpu = describe_cpu(cpuinfo(tmp_path, "fp asimd asimddp", key="Features"))
    assert (cpu.instruction_set, cpu.instruction_sets) == ("NEON_DOTPROD", ("NEON_DOTPROD", "NEON"))


def test_without_cpuinfo(tmp_path):
    cpu = describe_cpu(tmp_path / "absent")
    assert cpu.name
    assert (cpu.instruction_set, cpu.instruction_sets) == (UNKNOWN, ())
