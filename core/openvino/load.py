"""How busy the machine was with other things while something was measured."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

PROC_STAT = Path("/proc/stat")
# Positions in the first line of /proc/stat (man 5 proc): time in which a core did nothing.
_IDLE, _WAITING = 3, 4
# Of one core; what a quiet system's own services need stays below.
BUSY_CORES = 0.25


@dataclass(frozen=True)
class Load:
    """The machine's load during a measurement.

    Args:
        average: Load average of the minute before it began; None where the system tells none.
        other_cores: Cores that other processes kept busy meanwhile, on average, with what a host took from a virtual
            machine; None where the system does not tell.
    """

    average: float | None
    other_cores: float | None

    @property
    def busy(self) -> bool:
        """Return whether others disturbed the measurement."""
        return self.other_cores is not None and self.other_cores > BUSY_CORES


class LoadMeter:
    """Measures the load from its making to ``read``.

    Args:
        average: A load average taken earlier, before this process itself made the machine busy.
    """

    def __init__(self, average: float | None = None, stat: Path = PROC_STAT) -> None:
        self._stat = stat
        self._average = load_average() if average is None else average
        self._began = self._readings()

    def read(self) -> Load:
        """Return the load since this meter was made."""
        clock, own, total = (now - before for now, before in zip(self._readings(), self._began))
        if not self._stat.is_file() or clock <= 0 or total <= 0:
            return Load(self._average, None)
        return Load(self._average, max(0.0, (total - own) / clock))

    def _readings(self) -> tuple[float, float, float]:
        """Return seconds by the clock, of this process's CPU time, and of all CPU time that was used."""
        times = os.times()
        return time.perf_counter(), times.user + times.system, _busy_seconds(self._stat)


def load_average() -> float | None:
    """Return the load average of the last minute, None where the system has none."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def _busy_seconds(stat: Path) -> float:
    if not stat.is_file():
        return 0.0
    ticks = [int(value) for value in stat.read_text().splitlines()[0].split()[1:9]]
    return (sum(ticks) - ticks[_IDLE] - ticks[_WAITING]) / os.sysconf("SC_CLK_TCK")
