"""Validation's images/s against benchmark_app's, and what more images cost: ``python -m benchmarks.validation``.

OpenVINO's own benchmark_app and validate's data path (read, decode, resize, infer, map boxes back) take turns on the
same IR under the same hint. Reading, decoding and resizing alone take a turn, too: where they work on the same cores
as inference, the ratio cannot exceed ``decode / (decode + benchmark_app)`` of the rates in images/s. ``--growth`` runs
validate's data path over 250 and 2,500 images of the set, repeated, each in a process of its own, and compares time and
peak memory.
"""

import argparse
import itertools
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import reporting
from core.base.supervision import run_command

GOAL = 0.95
GROWTH_GOAL = 1.05
GROWTH_IMAGES = (250, 2500)
_THROUGHPUT = re.compile(r"Throughput:\s+([0-9.]+) FPS")


def image_files(folder: Path, count: int) -> list[Path]:
    """Return ``count`` image files of a folder, from the start again where there are fewer."""
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".bmp"))
    return list(itertools.islice(itertools.cycle(files), count))


def validation_pass(ir: Path, files: list[Path], decode_threads: int | None = None) -> dict[str, float]:
    """Return seconds and images/s of one pass of validate's data path, after a short one to warm up."""
    from core.openvino.detector import ImageFile, OpenVinoDetector
    from core.openvino.runtime import Hint

    detector = OpenVinoDetector(ir, Hint.THROUGHPUT)
    detector.detect_all([ImageFile(number, path) for number, path in enumerate(files[:20])], "warming up")
    run = detector.detect_all([ImageFile(number, path) for number, path in enumerate(files)], "validating",
                              decode_threads)
    return {"seconds": run.seconds, "images_per_second": len(files) / run.seconds,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def decoding_pass(ir: Path, files: list[Path]) -> float:
    """Return the images/s that are read, decoded and resized as in validate by one thread on each core."""
    from core.base.cores import usable_cores
    from core.openvino.image import read_image
    from core.openvino.preprocess import Preprocessor
    from core.openvino.runtime import read_ir

    preprocess = Preprocessor(read_ir(ir)[1])

    def decode(path: Path) -> None:
        preprocess(read_image(path))

    with ThreadPoolExecutor(usable_cores()) as pool:
        list(pool.map(decode, files[:20]))
        started = time.perf_counter()
        list(pool.map(decode, files))
        return len(files) / (time.perf_counter() - started)


def benchmark_app(ir: Path, seconds: float) -> float:
    """Return the images/s of OpenVINO's benchmark_app under the throughput hint in FP32 precision."""
    command = [str(Path(sys.executable).with_name("benchmark_app")), "-m", str(ir / "model.xml"), "-d", "CPU", "-hint",
               "throughput", "-infer_precision", "f32", "-t", str(max(1, round(seconds)))]
    # CI keeps OpenVINO's tools from reporting usage.
    shown = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "CI": "true"})
    return float(_THROUGHPUT.search(shown.stdout).group(1))


def compare(name: str, ir: Path, files: list[Path], repeats: int, seconds: float) -> dict[str, Any]:
    """Let both and decoding alone take turns and return the ratio of each turn's pair, and what bounds it."""
    measure = {"benchmark_app": lambda: benchmark_app(ir, seconds), "decode": lambda: decoding_pass(ir, files),
               "validate": lambda: validation_pass(ir, files)["images_per_second"]}
    turns = []
    for number in range(repeats):
        order = sorted(measure, reverse=bool(number % 2))
        turns.append({who: measure[who]() for who in order})
    ratios = [turn["validate"] / turn["benchmark_app"] for turn in turns]
    bounds = [turn["decode"] / (turn["decode"] + turn["benchmark_app"]) for turn in turns]
    return {"ir": name, **{who: statistics.median(turn[who] for turn in turns) for who in measure},
            "ratio": statistics.median(ratios), "ratio_min": min(ratios), "ratio_max": max(ratios),
            "bound": statistics.median(bounds)}


def growth(ir: Path, folder: Path, repeats: int) -> dict[str, Any]:
    """Return seconds and peak memory of few and of many images, in turns, and how they relate."""
    passes: dict[int, list[dict[str, float]]] = {count: [] for count in GROWTH_IMAGES}
    for number in range(repeats):
        for count in GROWTH_IMAGES if number % 2 == 0 else GROWTH_IMAGES[::-1]:
            command = [sys.executable, "-m", "benchmarks.validation", "--ir", "x", str(ir), "--images", str(folder),
                       "--count", str(count), "--one-pass"]
            shown = subprocess.run(command, check=True, capture_output=True, text=True)
            passes[count].append(json.loads(shown.stdout.splitlines()[-1]))
    few, many = GROWTH_IMAGES
    ratios = [long["seconds"] / (many / few * short["seconds"]) for short, long in zip(passes[few], passes[many])]
    peaks = {count: max(one["peak_mb"] for one in found) for count, found in passes.items()}
    return {"seconds": {count: statistics.median(one["seconds"] for one in found) for count, found in passes.items()},
            "over_linear": statistics.median(ratios), "over_linear_all": ratios, "peak_mb": peaks}


def build_parser() -> argparse.ArgumentParser:
    """Return the benchmark's argument parser."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.validation", description=str(__doc__).split("\n")[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--ir", nargs=2, action="append", required=True, metavar=("NAME", "FOLDER"),
                        help="an IR to run; may be given several times")
    parser.add_argument("--images", type=Path, required=True, metavar="FOLDER", help="folder of test images")
    parser.add_argument("--count", type=int, default=500, help="images of a turn, the folder's repeated")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each")
    parser.add_argument("--seconds", type=float, default=5.0, help="of a turn of benchmark_app")
    parser.add_argument("--growth", action="store_true", help="compare 250 with 2,500 images instead")
    parser.add_argument("--one-pass", action="store_true", help="one pass of the first IR, as a line of JSON")
    parser.add_argument("--output", type=Path, default=None, metavar="FILE", help="write the results as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark, print its table and return the exit code."""
    arguments = build_parser().parse_args(argv)
    files = image_files(arguments.images, arguments.count)
    if arguments.one_pass:
        print(json.dumps(validation_pass(Path(arguments.ir[0][1]), files)))
        return 0
    if arguments.growth:
        results = [{"ir": name, **growth(Path(ir), arguments.images, arguments.repeats)} for name, ir in arguments.ir]
        few, many = GROWTH_IMAGES
        print(reporting.table(("IR", f"s, {few} images", f"s, {many} images", "over linear", f"peak MB, {few}",
                               f"peak MB, {many}"),
                              [(found["ir"], f"{found['seconds'][few]:.2f}", f"{found['seconds'][many]:.2f}",
                                f"{found['over_linear']:.3f}", f"{found['peak_mb'][few]:.0f}",
                                f"{found['peak_mb'][many]:.0f}") for found in results]))
        print(f"goal: over linear <= {GROWTH_GOAL}")
    else:
        results = [compare(name, Path(ir), files, arguments.repeats, arguments.seconds) for name, ir in arguments.ir]
        print(reporting.table(("IR", "validate images/s", "benchmark_app FPS", "decode images/s", "ratio", "min", "max",
                               "bound"),
                              [(found["ir"], *(f"{found[key]:.1f}" for key in ("validate", "benchmark_app", "decode")),
                                *(f"{found[key]:.3f}" for key in ("ratio", "ratio_min", "ratio_max", "bound")))
                               for found in results]))
        print(f"goal: ratio >= {GOAL}")
    settings = {key: str(value) for key, value in vars(arguments).items() if key != "output"}
    reporting.write("validation", settings, results, arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(run_command("validation", main))
