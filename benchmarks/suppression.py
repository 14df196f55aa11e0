"""What the graph behind non-maximum suppression costs, ours beside MMDetection's: ``python -m benchmarks.suppression``.

A detector of random weights in 8 bits is exported with each, and both IRs take turns on the same images, on one thread.
Compared is CPU time, so that what else happens on the machine counts less.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import random_model, reporting
from benchmarks.small_detector import scratch
from core.base.supervision import run_command

SIZES = {"retinanet_r18": (320, 320), "ssd300": (300, 300)}
CLASSES, IMAGES = 80, 5
OURS, MMDETECTION = "ours", "MMDetection's"


def export(detector: str, folder: Path) -> Path:
    """Return the folder of the IR that a detector of ``CLASSES`` classes becomes in ``folder``."""
    from core.openvino.ir import convert_to_ir

    random_model.CLASSES = tuple(f"class {number}" for number in range(CLASSES))
    random_model.export_variant(detector, "int8", SIZES[detector], folder / "onnx")
    convert_to_ir(folder / "onnx", folder / "ir")
    return folder / "ir"


def export_as_mmdetection(detector: str, folder: Path) -> Path:
    """Return such a folder, exported with MMDetection's own function."""
    from core.detectors import suppression

    own = suppression.non_maximum
    suppression.non_maximum = _as_mmdetection
    try:
        return export(detector, folder)
    finally:
        suppression.non_maximum = own


def _as_mmdetection(boxes: Any, scores: Any, most_per_class: int, iou_threshold: float, score_threshold: float,
                    most: int, labels: Any = None) -> tuple[Any, Any]:
    from mmdet.core.export import add_dummy_nms_for_onnx

    return add_dummy_nms_for_onnx(boxes, scores, most_per_class, iou_threshold, score_threshold, -1, most, labels)


def seconds_in_turns(folders: dict[str, Path], rounds: int) -> dict[str, list[float]]:
    """Return the CPU seconds of each IR for an image, a value a turn."""
    from core.dry_run.comparing import pictures
    from core.openvino.detector import OpenVinoDetector

    detectors = {name: OpenVinoDetector(folder) for name, folder in folders.items()}
    spec = next(iter(detectors.values())).spec
    images = pictures(IMAGES, spec.input_height, spec.input_width)
    found: dict[str, list[float]] = {name: [] for name in detectors}
    for number in range(rounds):
        for name, detector in detectors.items():
            began = time.process_time()
            detector(images[number % IMAGES])
            found[name].append(time.process_time() - began)
    return found


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark, print its table and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.suppression",
                                     description=str(__doc__).split("\n")[0])
    parser.add_argument("--detectors", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=100, help="turns of each (default: 100)")
    parser.add_argument("--output", type=Path, default=None, metavar="FILE", help="write the results as JSON")
    arguments = parser.parse_args(argv)
    results = []
    for detector in arguments.detectors:
        with scratch() as folder:
            turns = seconds_in_turns({OURS: export(detector, folder / "ours"),
                                      MMDETECTION: export_as_mmdetection(detector, folder / "mmdetection")},
                                     arguments.rounds)
        ours, theirs = (statistics.median(turns[name]) for name in (OURS, MMDETECTION))
        results.append({"detector": detector, "ours_seconds": ours, "mmdetection_seconds": theirs,
                        "ratio": ours / theirs})
    print(reporting.table(("detector", f"{OURS}, ms", f"{MMDETECTION}, ms", "ratio"),
                          [(found["detector"], f"{1e3 * found['ours_seconds']:.1f}",
                            f"{1e3 * found['mmdetection_seconds']:.1f}", f"{found['ratio']:.3f}")
                           for found in results]))
    reporting.write("suppression", {"rounds": arguments.rounds, "classes": CLASSES}, results, arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(run_command("suppression", main))
