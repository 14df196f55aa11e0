"""Progress that a person can read in a terminal and in a pod's log."""

import sys
from typing import Any

LOG_INTERVAL_SECONDS = 5.0


class _LineWriter:
    """Lets tqdm write whole lines where there is no terminal to redraw one."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        line = text.replace("\r", "").strip()
        if line:
            self._stream.write(line + "\n")

    def flush(self) -> None:
        self._stream.flush()


def progress(total: int, description: str, unit: str, scaled: bool = False) -> Any:
    """Return a tqdm bar over ``total`` units: redrawn on a terminal, a line every few seconds elsewhere.

    ``scaled`` writes large numbers with k, M and G, for bytes.
    """
    from tqdm import tqdm

    if sys.stdout.isatty():
        return tqdm(total=total, desc=description, unit=unit, unit_scale=scaled, file=sys.stdout)
    bar_format = "{desc}: {n_fmt}/{total_fmt}{unit}, {rate_fmt}, ETA {remaining}"
    return tqdm(total=total, desc=description, unit=f" {unit}", file=_LineWriter(sys.stdout),
                mininterval=LOG_INTERVAL_SECONDS, maxinterval=LOG_INTERVAL_SECONDS * 2, bar_format=bar_format,
                unit_scale=scaled)
