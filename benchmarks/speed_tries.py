"""What other settings do to a compressed IR's speed-up: ``python -m benchmarks.speed_tries``.

For a goal that ``benchmarks.compressed_speed`` misses. ``--irs`` goes through settings of the runtime on trained IRs;
``--detector`` makes IRs of random weights with other places of quantizers, and without post-processing, which says
what that costs. In each try FP32 and compressed take turns under the same setting.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import reporting
from benchmarks.compressed_speed import SIZES, random_ir
from core.base.supervision import run_command

RUNTIME: dict[str, dict[str, Any]] = {
    "as shipped": {},
    "one thread": {"INFERENCE_NUM_THREADS": 1},
    "one stream": {"NUM_STREAMS": 1},
    "two streams": {"NUM_STREAMS": 2},
    "bf16 allowed": {"INFERENCE_PRECISION_HINT": "bf16"},
    "threads not pinned": {"ENABLE_CPU_PINNING": False},
}
_STEM = r"{re}.*backbone\]/NNCFConv2d\[conv1\].*"
# Name, changes to the config of the compressed model, and whether both end at the raw heads.
SETUPS: tuple[tuple[str, tuple[str, ...], bool], ...] = (
    ("as configured", (), False),
    ("weights per tensor", ('nncf_config.compression.weights={"per_channel": false}',), False),
    ("first convolution in FP32", (f"nncf_config.compression.ignored_scopes=['{_STEM}']",), False),
    ("without post-processing", (), True),
)


@dataclass(frozen=True)
class Try:
    """FP32 and compressed IR, and how the runtime is to run them."""

    name: str
    fp32: Path
    compressed: Path
    options: dict[str, Any]


def runtime_tries(name: str, fp32: Path, compressed: Path) -> list[Try]:
    """Return a try for each setting of the runtime."""
    return [Try(f"{name}, {setting}", fp32, compressed, options) for setting, options in RUNTIME.items()]


def setup_tries(detector: str, models: Path) -> list[Try]:
    """Return a try for each place of quantizers, on random weights; IRs that ``models`` holds are not made again."""
    tries = []
    for setup, changes, raw_heads in SETUPS:
        fp32, int8 = (random_ir(detector, variant, models / detector, changes if variant == "int8" else (), raw_heads)
                      for variant in ("fp32", "int8"))
        tries.append(Try(f"{detector}, {setup}", fp32, int8, {}))
    return tries


def measure(one: Try, repeats: int, seconds: float) -> dict[str, Any]:
    """Return both models' images/s under the throughput hint and the ratio of each turn's pair."""
    from core.openvino.runtime import Hint
    from core.openvino.speed import TimedModel, take_turns
    from core.results.speed import Ratio

    fp32, compressed = (TimedModel(ir, Hint.THROUGHPUT, options=one.options) for ir in (one.fp32, one.compressed))
    take_turns([fp32, compressed], repeats, seconds)
    speedup = Ratio.of(compressed.fps_repeats, fp32.fps_repeats)
    return {"try": one.name, "fps_fp32": fp32.speed().fps, "fps": compressed.speed().fps, "speedup": speedup.median,
            "speedup_low": speedup.low, "speedup_high": speedup.high}


def build_parser() -> argparse.ArgumentParser:
    """Return the benchmark's argument parser."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed_tries", description=str(__doc__).split("\n")[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--irs", nargs=3, action="append", default=[], metavar=("NAME", "FP32", "COMPRESSED"),
                        help="IR folders to run under settings of the runtime")
    parser.add_argument("--detector", action="append", default=[], choices=sorted(SIZES),
                        help="int8 of random weights with other places of quantizers")
    parser.add_argument("--models", type=Path, default=Path("runs/benchmark-models"), metavar="FOLDER",
                        help="where models of random weights are kept")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each model")
    parser.add_argument("--seconds", type=float, default=3.0, help="of one turn")
    parser.add_argument("--output", type=Path, default=None, metavar="FILE", help="write the results as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark, print its table and return the exit code."""
    arguments = build_parser().parse_args(argv)
    tries = [one for name, fp32, compressed in arguments.irs
             for one in runtime_tries(name, Path(fp32), Path(compressed))]
    tries += [one for detector in arguments.detector for one in setup_tries(detector, arguments.models)]
    results = [measure(one, arguments.repeats, arguments.seconds) for one in tries]
    print(reporting.table(("try", "images/s FP32", "images/s", "speed-up", "low", "high"), [
        (found["try"], f"{found['fps_fp32']:.1f}", f"{found['fps']:.1f}",
         *(f"{found[key]:.2f}x" for key in ("speedup", "speedup_low", "speedup_high"))) for found in results]))
    settings = {"repeats": arguments.repeats, "seconds": arguments.seconds}
    reporting.write("speed_tries", settings, results, arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(run_command("speed_tries", main))
