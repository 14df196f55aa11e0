"""Validation in OpenVINO against MMDetection's own test loop: ``python -m benchmarks.mmdet_loop``.

The same model and images: a checkpoint through ``mmdet.apis.single_gpu_test`` with MMDetection's loader, in the train
environment, and its IR through validate's data path, in this one; scoring is the same for both and left out of both.
They take turns.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import reporting
from core.base.supervision import run_command

GOAL = 5.0
ROOT = Path(__file__).resolve().parents[1]


def mmdet_pass(checkpoint: Path, data: dict[str, Any]) -> dict[str, float]:
    """Return seconds and images/s of MMDetection's loop over the test split; model and loader are made before."""
    from mmdet.apis import single_gpu_test

    from core.config.adapt import set_data
    from core.data.dataset import open_dataset
    from core.data.reference import DataRef
    from core.training.device import data_parallel
    from core.training.evaluate import split_loader
    from core.training.model import restore_detector

    dataset = open_dataset(DataRef.from_json(data))
    restored = restore_detector(checkpoint, dataset.classes)
    set_data(restored.config, dataset)
    loader = split_loader(restored.config, dataset.test, dataset.classes)
    model = data_parallel(restored.network).eval()
    started = time.perf_counter()
    results = single_gpu_test(model, loader)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "images_per_second": len(results) / seconds}


def openvino_pass(ir: Path, data: dict[str, Any]) -> dict[str, float]:
    """Return seconds and images/s of validate's data path over the test split; the model is compiled before."""
    from core.data.dataset import open_dataset
    from core.data.reference import DataRef
    from core.evaluation.coco_map import read_annotations
    from core.openvino.detector import ImageFile, OpenVinoDetector
    from core.openvino.runtime import Hint

    split = open_dataset(DataRef.from_json(data)).test
    images = [ImageFile(image["id"], split.image_root / image["file_name"])
              for image in read_annotations(split.annotation_file)["images"]]
    run = OpenVinoDetector(ir, Hint.THROUGHPUT).detect_all(images)
    return {"seconds": run.seconds, "images_per_second": len(images) / run.seconds}


def compare(name: str, checkpoint: Path, ir: Path, data: dict[str, Any], repeats: int) -> dict[str, Any]:
    """Let both take turns and return the ratio of each turn's pair."""
    turns = []
    for number in range(repeats):
        turn = {}
        for who in ("mmdet", "validate") if number % 2 == 0 else ("validate", "mmdet"):
            found = _mmdet_apart(checkpoint, data) if who == "mmdet" else openvino_pass(ir, data)
            turn[who] = found["images_per_second"]
        turns.append(turn)
    ratios = [turn["validate"] / turn["mmdet"] for turn in turns]
    return {"model": name, "mmdet": statistics.median(turn["mmdet"] for turn in turns),
            "validate": statistics.median(turn["validate"] for turn in turns), "ratio": statistics.median(ratios),
            "ratio_min": min(ratios), "ratio_max": max(ratios)}


def _mmdet_apart(checkpoint: Path, data: dict[str, Any]) -> dict[str, float]:
    from components import images
    from pipelines.environments import child_environment, environment_python

    python = environment_python(images.TRAIN)
    shown = subprocess.run([str(python), "-m", "benchmarks.mmdet_loop", "--mmdet-pass", str(checkpoint.absolute()),
                            "--data", json.dumps(data)], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True,
                           env=child_environment(python, ROOT, {}))
    return json.loads(shown.stdout.splitlines()[-1])


def build_parser() -> argparse.ArgumentParser:
    """Return the benchmark's argument parser."""
    from core.base.cli import json_object

    parser = argparse.ArgumentParser(prog="python -m benchmarks.mmdet_loop", description=str(__doc__).split("\n")[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--model", nargs=3, action="append", default=[], metavar=("NAME", "CHECKPOINT", "IR"),
                        help="a checkpoint and its IR; may be given several times")
    parser.add_argument("--data", metavar="JSON", type=json_object, required=True, help="resolved data, or @FILE")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each")
    parser.add_argument("--mmdet-pass", type=Path, metavar="CHECKPOINT", help="one pass of MMDetection's loop as JSON")
    parser.add_argument("--output", type=Path, default=None, metavar="FILE", help="write the results as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark, print its table and return the exit code."""
    arguments = build_parser().parse_args(argv)
    if arguments.mmdet_pass:
        found = mmdet_pass(arguments.mmdet_pass, arguments.data)
        print()
        print(json.dumps(found))
        return 0
    results = [compare(name, Path(checkpoint), Path(ir), arguments.data, arguments.repeats)
               for name, checkpoint, ir in arguments.model]
    print(reporting.table(("model", "mmdet images/s", "validate images/s", "ratio", "min", "max"),
                          [(found["model"], f"{found['mmdet']:.2f}", f"{found['validate']:.1f}",
                            *(f"{found[key]:.1f}x" for key in ("ratio", "ratio_min", "ratio_max")))
                           for found in results]))
    print(f"goal: ratio >= {GOAL}")
    reporting.write("mmdet_loop", {"repeats": arguments.repeats}, results, arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(run_command("mmdet_loop", main))
