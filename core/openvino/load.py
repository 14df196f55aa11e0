"""How busy the machine was with other things while something was measured."""

import math
import os
import time
from pathlib import Path

from core.results.speed import Load

PROC_STAT = Path("/proc/stat")
# Positions in the first line of /proc/stat (man 5 proc): time in which a core did nothing.
_IDLE, _WAITING = 3, 4
# Of one core; what a quiet system's own services need stays below.
BUSY_CORES = 0.25
# Of the CPU time that all threads of a model could have; what is lost between inferences stays above.
LEAST_CPU_SHARE = 0.9


class LoadMeter:
    """Measures the load from its making to ``read``.

    Args:
        average: A load average taken earlier, before this process itself made the machine busy.
    """

    def __init__(self, average: float | None = None, stat: Path = PROC_STAT) -> None:
        self._stat = stat
        self._average = load_average() if average is None else average
        self._began = self._readings()

    def read(self, cpu_share: float = 1.0) -> Load:
        """Return the load since this meter was made.

        Args:
            cpu_share: The lowest share of its threads' CPU time that something timed meanwhile had. A low share alone
                says little: a program that cannot keep its threads busy has one, too, and so has a container of fewer
                CPUs than its node.
        """
        clock, own, total = (now - before for now, before in zip(self._readings(), self._began))
        told = self._stat.is_file() and clock > 0 and total > 0
        others = max(0.0, (total - own) / clock) if told else math.nan
        average = math.nan if self._average is None else self._average
        busy = others > BUSY_CORES
        return Load(average=average, other_cores=others, busy=busy, disturbed=busy and cpu_share < LEAST_CPU_SHARE)

    def _readings(self) -> tuple[float, float, float]:
        """Return seconds by the clock, of this process's CPU time, and of all CPU time that was used."""
        times, busy = os.times(), 0.0
        if self._stat.is_file():
            ticks = [int(value) for value in self._stat.read_text().splitlines()[0].split()[1:9]]
            busy = (sum(ticks) - ticks[_IDLE] - ticks[_WAITING]) / os.sysconf("SC_CLK_TCK")
        return time.perf_counter(), times.user + times.system, busy


def load_average() -> float | None:
    """Return the load average of the last minute, None where the system has none."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None
