"""The CPU a measurement was made on."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


@dataclass(frozen=True)
class Cpu:
    """A processor.

    Args:
        name: Model name.
        instruction_set: The best one for int8 inference, of ``INSTRUCTION_SETS``, or ``unknown``.
        instruction_sets: All that it has, best first.
        cores: Logical cores this process may use.
    """

    name: str
    instruction_set: str
    instruction_sets: tuple[str, ...]
    cores: int

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"name": self.name, "instruction_set": self.instruction_set,
                "instruction_sets": list(self.instruction_sets), "cores": self.cores}


@dataclass(frozen=True)
class Expectation:
    """What the instruction set lets one expect of a compressed model.

    Args:
        peak: How many times faster int8 convolutions are than FP32 ones; None where this is not known.
        speedup: The same for the whole model: int8 layers at the peak, the others as before, and pruned work gone.
        measured: The speed-up that was measured.
    """

    peak: float | None
    speedup: float | None
    measured: float

    @property
    def far_below(self) -> bool:
        """Return whether the measured speed-up is below ``FAR_BELOW`` of the expected one."""
        return self.speedup is not None and self.measured < FAR_BELOW * self.speedup


def expect(instruction_set: str, int8_share: float, work_left: float, measured: float) -> Expectation:
    """Return what to expect of a model (Amdahl's law over its convolutions).

    Args:
        instruction_set: Of the CPU, as ``describe_cpu`` names it.
        int8_share: Share of the compressed model's FLOPs that runs in int8.
        work_left: FLOPs of the compressed model over those of the FP32 model; below 1 where filters were removed.
        measured: Measured speed-up.
    """
    peak = INT8_PEAK.get(instruction_set)
    if peak is None and int8_share > 0:
        return Expectation(None, None, measured)
    time_left = work_left * ((1 - int8_share) + int8_share / (peak or 1.0))
    return Expectation(peak, 1 / time_left if time_left > 0 else None, measured)


def describe_cpu(cpuinfo: Path = CPUINFO) -> Cpu:
    """Describe this machine's processor from the kernel's cpuinfo; where there is none, as far as Python knows it."""
    entries = _first_processor(cpuinfo)
    flags = set(entries.get("flags", entries.get("Features", "")).split())
    available = tuple(name for name, needed in INSTRUCTION_SETS if flags.issuperset(needed))
    name = entries.get("model name") or platform.processor() or platform.machine()
    return Cpu(name=name, instruction_set=available[0] if available else UNKNOWN, instruction_sets=available,
               cores=usable_cores())


def _first_processor(cpuinfo: Path) -> dict[str, str]:
    lines: list[str] = cpuinfo.read_text().split("\n\n")[0].splitlines() if cpuinfo.is_file() else []
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def usable_cores() -> int:
    """Return the logical cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
