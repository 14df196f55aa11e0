"""The CPU a measurement was made on."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Tuple

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
    instruction_sets: Tuple[str, ...]
    cores: int

    def to_json(self) -> Dict[str, Any]:
        """Return plain JSON values."""
        return {"name": self.name, "instruction_set": self.instruction_set,
                "instruction_sets": list(self.instruction_sets), "cores": self.cores}


def describe_cpu(cpuinfo: Path = CPUINFO) -> Cpu:
    """Describe this machine's processor from the kernel's cpuinfo; where there is none, as far as Python knows it."""
    entries = _first_processor(cpuinfo)
    flags = set(entries.get("flags", entries.get("Features", "")).split())
    available = tuple(name for name, needed in INSTRUCTION_SETS if flags.issuperset(needed))
    name = entries.get("model name") or platform.processor() or platform.machine()
    return Cpu(name=name, instruction_set=available[0] if available else UNKNOWN, instruction_sets=available,
               cores=_usable_cores())


def _first_processor(cpuinfo: Path) -> Dict[str, str]:
    lines: List[str] = cpuinfo.read_text().split("\n\n")[0].splitlines() if cpuinfo.is_file() else []
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
