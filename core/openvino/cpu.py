"""The CPU a measurement was made on."""

import math
import platform
from pathlib import Path

from core.base.cores import usable_cores
from core.results.speed import Cpu, Expectation

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

# int8 over FP32 convolutions, by what one instruction does: FP32 FMAs against int8 products summed in three
# instructions (AVX2, AVX512) or one (VNNI); AMX is bound by memory long before its 16-fold peak.
INT8_PEAK = {"AMX_INT8": 4.0, "AVX512_VNNI": 4.0, "AVX_VNNI": 4.0, "AVX512": 2.0, "AVX2": 2.0, "NEON_DOTPROD": 4.0}
FAR_BELOW = 0.6


def expect(instruction_set: str, int8_share: float, work_left: float, measured: float) -> Expectation:
    """Return what to expect of a candidate (Amdahl's law over its convolutions).

    Args:
        instruction_set: Of the CPU, as ``describe_cpu`` names it.
        int8_share: Share of the candidate's FLOPs that runs in int8.
        work_left: FLOPs of the candidate over those of the baseline; below 1 where filters were removed.
        measured: Measured speed-up.

    Returns:
        ``far_below`` where the speed-up is below ``FAR_BELOW`` of the expected one.
    """
    peak = INT8_PEAK.get(instruction_set, math.nan)
    time_left = work_left * ((1 - int8_share) + (int8_share / peak if int8_share else 0.0))
    speedup = 1 / time_left if time_left else math.nan
    return Expectation(peak=peak, speedup=speedup, measured=measured, far_below=measured < FAR_BELOW * speedup)


def describe_cpu(cpuinfo: Path = CPUINFO) -> Cpu:
    """Describe this machine's processor from the kernel's cpuinfo; where there is none, as far as Python knows it."""
    lines: list[str] = cpuinfo.read_text().split("\n\n")[0].splitlines() if cpuinfo.is_file() else []
    entries = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = set(entries.get("flags", entries.get("Features", "")).split())
    available = tuple(name for name, needed in INSTRUCTION_SETS if flags.issuperset(needed))
    name = entries.get("model name") or platform.processor() or platform.machine()
    return Cpu(name=name, instruction_set=available[0] if available else UNKNOWN, instruction_sets=available,
               cores=usable_cores())
