"""Whether the bound of a speed-up is the same when it is measured again: ``python -m benchmarks.bound``.

The bound is what the layers of two IRs alone gain on this machine (``core.openvino.bound``). It is measured several
times, each time as validation does, and the spread is the largest over the smallest.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import reporting
from core.base.supervision import run_command

GOAL = 1.05
HEADER = ("models", "bound", "low", "high", "spread", "int8 alone", "spread", "layers", "s each", "others' cores")


def measure(name: str, fp32: Path, compressed: Path, times: int, seconds: float, threads: int | None) -> dict[str, Any]:
    """Return the bounds of a pair of IRs and how long one took."""
    from core.openvino.bound import measure_bounds
    from core.openvino.load import LoadMeter

    meter, started = LoadMeter(), time.perf_counter()
    bounds = [measure_bounds(fp32, [(compressed, 1.0)], seconds=seconds, threads=threads)[0] for _ in range(times)]
    took = (time.perf_counter() - started) / times
    found = [bound for bound in bounds if bound is not None]
    return {"models": name, "layers": found[0].layers, "seconds": took,
            "other_cores": meter.read().to_json()["other_cores"],
            "bounds": [bound.speedup.median for bound in found], "int8": [bound.int8.median for bound in found]}


def build_parser() -> argparse.ArgumentParser:
    """Return the benchmark's argument parser."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bound", description=str(__doc__).split("\n")[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--irs", nargs=3, action="append", required=True, metavar=("NAME", "FP32", "COMPRESSED"),
                        help="IR folders of a detector")
    parser.add_argument("--times", type=int, default=5, help="how often the bound is measured")
    parser.add_argument("--seconds", type=float, default=0.8, help="of one turn; validation takes the default")
    parser.add_argument("--threads", type=int, default=None, help="CPU threads; by default OpenVINO chooses")
    parser.add_argument("--output", type=Path, default=None, metavar="FILE", help="write the results as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark, print its table and return the exit code."""
    arguments = build_parser().parse_args(argv)
    results = [measure(name, Path(fp32), Path(compressed), arguments.times, arguments.seconds, arguments.threads)
               for name, fp32, compressed in arguments.irs]
    print(reporting.table(HEADER, [row(found) for found in results]))
    print(f"goal: spread <= {GOAL}")
    settings = {name: getattr(arguments, name) for name in ("times", "seconds", "threads")}
    reporting.write("bound", settings, results, arguments.output)
    return 0


def row(found: dict[str, Any]) -> list[str]:
    """Return a pair's results as cells of text."""
    bounds, int8 = found["bounds"], found["int8"]
    others = "" if found["other_cores"] is None else f"{found['other_cores']:.2f}"
    return [found["models"], *(f"{value:.3f}x" for value in (statistics.median(bounds), min(bounds), max(bounds))),
            f"{max(bounds) / min(bounds):.3f}", f"{statistics.median(int8):.3f}x", f"{max(int8) / min(int8):.3f}",
            f"{found['layers']}", f"{found['seconds']:.1f}", others]


if __name__ == "__main__":
    sys.exit(run_command("bound", main))
