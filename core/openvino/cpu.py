"""The CPU a measurement was made on."""

import platform
from pathlib import Path

from core.base.cores import usable_cores
from core.results.speed import Cpu

CPUINFO = Path("/proc/cpuinfo")

# Best for int8 first. Names are OpenVINO's and Intel's; the values are the kernel's flags, all of which must be there.
INSTRUCTION_SETS = (
    ("AMX_INT8", ("amx_tile", "amx_int8")),
    ("AVX512_VNNI", ("avx512f", "avx512_vnni")),
    ("AVX_VNNI", ("avx2", "avx_vnni")),
    ("AVX512", ("avx512f", "avx512bw")),
    ("AVX2", ("avx2",)),
    ("AVX", ("avx",)),
    ("SSE4_2", ("sse4_2",)),
    ("NEON_DOTPROD", ("asimd", "asimddp")),
    ("NEON", ("asimd",)),
)
UNKNOWN = "unknown"


def describe_cpu(cpuinfo: Path = CPUINFO) -> Cpu:
    """Describe this machine's processor from the kernel's cpuinfo; where there is none, as far as Python knows it."""
    lines: list[str] = cpuinfo.read_text().split("\n\n")[0].splitlines() if cpuinfo.is_file() else []
    entries = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = set(entries.get("flags", entries.get("Features", "")).split())
    available = tuple(name for name, needed in INSTRUCTION_SETS if flags.issuperset(needed))
    name = entries.get("model name") or platform.processor() or platform.machine()
    return Cpu(name=name, instruction_set=available[0] if available else UNKNOWN, instruction_sets=available,
               cores=usable_cores())
