"""Speed of int8, pruned and pruned + int8 IRs against FP32: ``python -m benchmarks.compressed_speed``.

Each compressed IR and the FP32 IR of its detector take turns by benchmark_app's method (``core.openvino.speed``). Goals
are shares of what the layers alone gain on the machine that runs it (``core.openvino.bound``), so they hold anywhere.
Detectors named by ``--detectors`` have random weights (``benchmarks.random_model``); ``--irs`` takes
trained ones.
"""

import argparse
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import reporting
from core.base.supervision import run_command

# Input height and width. FPN detectors are made for 800 x 1333, where one FP32 pass takes seconds on two cores.
SIZES: dict[str, tuple[int, int]] = {"ssd300": (300, 300), "ssdlite_mobilenetv2": (320, 320),
                                     "retinanet_r18": (320, 320), "atss_r50": (320, 320),
                                     "retinanet_r18_small": (192, 256)}
VARIANTS = ("int8", "pruning", "int8_pruning")
# Least share of what the machine that runs this allows (``core.openvino.bound``), of int8 and of both.
GOALS = {"ssd300": 0.9, "retinanet_r18": 0.9, "atss_r50": 0.9, "ssdlite_mobilenetv2": 0.85, "retinanet_r18_small": 0.85}
MOST_EXPENSIVE = 12


@dataclass(frozen=True)
class Pair:
    """An FP32 IR and a compressed one of the same detector."""

    detector: str
    variant: str
    fp32: Path
    compressed: Path


def random_pairs(detectors: list[str], variants: list[str], models: Path) -> list[Pair]:
    """Return the IRs of detectors of random weights; what ``models`` holds already is not made again."""
    pairs = []
    for detector in detectors:
        irs = {variant: random_ir(detector, variant, models / detector) for variant in ("fp32", *variants)}
        pairs += [Pair(detector, variant, irs["fp32"], irs[variant]) for variant in variants]
    return pairs


def random_ir(detector: str, variant: str, folder: Path, changes: Sequence[str] = (), raw_heads: bool = False) -> Path:
    """Return the IR of a detector of random weights; one that ``folder`` holds already is not made again.

    Args:
        changes: To its config, as ``--cfg-options`` takes them.
        raw_heads: Leave post-processing out.
    """
    from components import images
    from core.config.fingerprint import json_digest
    from core.openvino.ir import convert_to_ir
    from pipelines.environments import child_environment, environment_python

    root = Path(__file__).resolve().parents[1]
    name = "-".join([variant, *(["raw"] if raw_heads else []), *([json_digest(list(changes))[:8]] if changes else [])])
    ir = folder / f"{name}-ir"
    if not (ir / "model.xml").is_file():
        python = environment_python(images.TRAIN)
        height, width = SIZES[detector]
        folder.mkdir(parents=True, exist_ok=True)
        onnx = (folder / f"{name}-onnx").absolute()
        subprocess.run([str(python), "-m", "benchmarks.random_model", detector, variant, "--size", str(height),
                        str(width), "--output", str(onnx), *(["--raw-heads"] if raw_heads else []),
                        *(["--cfg-options", *changes] if changes else [])], cwd=root, check=True,
                       env=child_environment(python, root, {}))
        convert_to_ir(onnx, ir)
    return ir


def measure(pair: Pair, repeats: int, seconds: float, threads: int | None) -> dict[str, Any]:
    """Return speed, size and execution of a pair."""
    from core.compression.structure import structure_of_ir
    from core.openvino.bound import measure_bounds
    from core.openvino.ir import describe_ir
    from core.openvino.runtime import read_ir
    from core.openvino.speed import measure_speed

    (fp32, compressed), load = measure_speed([pair.fp32, pair.compressed], repeats, seconds, threads=threads)
    speedups = compressed.speedups(fp32, load)
    speedup = speedups.counted
    (bound,) = measure_bounds(pair.fp32, [(pair.compressed, speedup.median)], seconds=seconds, threads=threads)
    flops = [structure_of_ir(read_ir(ir)[0]).flops for ir in (pair.fp32, pair.compressed)]
    share = compressed.execution.int8_share
    return {
        "detector": pair.detector, "variant": pair.variant, "fps_fp32": fp32.throughput.fps,
        "fps": compressed.throughput.fps, "speedup": speedup.median, "speedup_low": speedup.low,
        "speedup_high": speedup.high, "source": speedups.source, "speedup_cpu": speedups.cpu.median,
        "latency_ms_fp32": fp32.latency.latency_ms.median,
        "latency_ms": compressed.latency.latency_ms.median, "latency_ratio": compressed.latency_ratio(fp32).median,
        "size_mb_fp32": describe_ir(pair.fp32).size_mb, "size_mb": describe_ir(pair.compressed).size_mb,
        "gflops_fp32": flops[0] / 1e9, "gflops": flops[1] / 1e9, "int8_share": share,
        "bound": bound and bound.speedup.median, "bound_int8": bound and bound.int8.median,
        "share_of_bound": bound and bound.share, "load_average": load.to_json()["average"],
        "other_cores": load.to_json()["other_cores"],
        "goal": GOALS.get(pair.detector) if "int8" in pair.variant else None}


def profile(ir: Path, seconds: float = 3.0) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Return the share of each type of operation in the time of one pass of an IR, and the most expensive operations.

    An operation has type, the code it runs, milliseconds of one pass and their share of all.
    """
    from core.openvino.runtime import Hint
    from core.openvino.speed import TimedModel

    model = TimedModel(ir, Hint.LATENCY, options={"PERF_COUNT": True})
    model.warm_up(seconds)
    rows = [{"operation": info.node_name, "type": info.node_type, "runs": info.exec_type,
             "ms": info.real_time.total_seconds() * 1000} for info in model.profiling_info()]
    total = sum(row["ms"] for row in rows)
    by_type: Counter = Counter()
    for operation in rows:
        by_type[operation["type"]] += operation["ms"] / total
    ranked = sorted(rows, key=lambda row: -row["ms"])[:MOST_EXPENSIVE]
    return dict(by_type.most_common()), [{**row, "share": row["ms"] / total} for row in ranked]


def build_parser() -> argparse.ArgumentParser:
    """Return the benchmark's argument parser."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compressed_speed",
                                     description=str(__doc__).split("\n")[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--detectors", nargs="*", choices=list(SIZES), default=[], help="with random weights")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="of those")
    parser.add_argument("--irs", nargs=4, action="append", default=[],
                        metavar=("NAME", "VARIANT", "FP32", "COMPRESSED"), help="IR folders of a trained detector")
    parser.add_argument("--models", type=Path, default=Path("runs/benchmark-models"), metavar="FOLDER",
                        help="where models of random weights are kept")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each model")
    parser.add_argument("--seconds", type=float, default=3.0, help="of one turn, for each hint")
    parser.add_argument("--threads", type=int, default=None, help="CPU threads; by default OpenVINO chooses")
    parser.add_argument("--profile", action="store_true", help="list the most expensive operations of each IR")
    parser.add_argument("--output", type=Path, default=None, metavar="FILE", help="write the results as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark, print its table and return the exit code."""
    arguments = build_parser().parse_args(argv)
    pairs = random_pairs(arguments.detectors, arguments.variants, arguments.models)
    pairs += [Pair(name, variant, Path(fp32), Path(compressed)) for name, variant, fp32, compressed in arguments.irs]
    results = []
    for pair in pairs:
        found = measure(pair, arguments.repeats, arguments.seconds, arguments.threads)
        if arguments.profile:
            found["time_by_type"], found["profile"] = profile(pair.compressed)
        results.append(found)
        print(row(found)[0], row(found)[1], row(found)[4], flush=True)
    print(reporting.table(HEADER, [row(found) for found in results]))
    for found in results:
        for kind, share in list(found.get("time_by_type", {}).items())[:MOST_EXPENSIVE]:
            print(f"{found['detector']} {found['variant']}: {share:6.1%} {kind}, all of them")
        for operation in found.get("profile", []):
            print(f"{found['detector']} {found['variant']}: {operation['share']:6.1%} {operation['ms']:8.3f} ms "
                  f"{operation['type']} {operation['runs']} {operation['operation']}")
    settings = {"repeats": arguments.repeats, "seconds": arguments.seconds, "threads": arguments.threads,
                "load_average_at_start": os.getloadavg()[0]}
    reporting.write("compressed_speed", settings, results, arguments.output)
    return 0


HEADER = ("detector", "variant", "images/s FP32", "images/s", "speed-up", "low", "high", "latency ms FP32",
          "latency ms", "ratio", "MB FP32", "MB", "GFLOPs FP32", "GFLOPs", "in int8", "bound", "share of it",
          "goal", "others' cores", "by")


def row(found: dict[str, Any]) -> list[str]:
    """Return a pair's results as cells of text."""
    others = "" if found["other_cores"] is None else f"{found['other_cores']:.2f}"
    return [found["detector"], found["variant"], f"{found['fps_fp32']:.1f}", f"{found['fps']:.1f}",
            *(f"{found[key]:.2f}x" for key in ("speedup", "speedup_low", "speedup_high")),
            f"{found['latency_ms_fp32']:.2f}", f"{found['latency_ms']:.2f}", f"{found['latency_ratio']:.2f}x",
            f"{found['size_mb_fp32']:.1f}", f"{found['size_mb']:.1f}", f"{found['gflops_fp32']:.2f}",
            f"{found['gflops']:.2f}", f"{found['int8_share']:.1%}",
            "" if found["bound"] is None else f"{found['bound']:.2f}x",
            "" if found["share_of_bound"] is None else f"{found['share_of_bound']:.2f}",
            "" if found["goal"] is None else f">= {found['goal']}", others, f"{found['source']} time"]


if __name__ == "__main__":
    sys.exit(run_command("compressed_speed", main))
