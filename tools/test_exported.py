"""Test an exported model, the folder that tools/export.py wrote."""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from core.base.cli import run_guarded
from core.base.errors import UserError
from core.base.json_file import read_json
from core.base.supervision import run_command
from tools.export import DATA, IR

if TYPE_CHECKING:
    from core.data.reference import DataRef


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = argparse.ArgumentParser(prog="tools/test_exported.py", description="Test an exported model.")
    parser.add_argument("output", metavar="OUT", type=Path, help="folder that tools/export.py wrote")
    parser.add_argument("--data", metavar="LOCATION", default="", help="data set (default: the one noted in OUT)")
    parser.add_argument("--eval", choices=("bbox", "mAP"), default="bbox",
                        help="COCO's average precision (default) or mAP, Pascal VOC's")
    parser.add_argument("--out", metavar="FILE", type=Path, default=None, help="write what is found (.json)")
    parser.add_argument("--show-dir", metavar="FOLDER", type=Path, default=None,
                        help="write the images with their boxes")
    return parser


def test_exported(arguments: argparse.Namespace) -> int:
    """Test; print the metrics."""
    from core.data.dataset import open_dataset
    from core.evaluation.coco_map import read_annotations
    from core.openvino.accuracy import measure_accuracy
    from core.openvino.detector import OpenVinoDetector

    detector = OpenVinoDetector(arguments.output / IR)
    dataset = open_dataset(_data(arguments, detector.spec.classes))
    accuracy = measure_accuracy(detector, dataset.test, dataset.classes)
    for corrupt in accuracy.corrupt_images:
        print(f"left out: {corrupt.image} ({corrupt.reason})")
    metrics = accuracy.metrics
    measured = {"bbox_mAP": metrics.map, "bbox_mAP_50": metrics.map50, "bbox_mAP_75": metrics.map75,
                "bbox_mAP_s": metrics.map_small, "bbox_mAP_m": metrics.map_medium, "bbox_mAP_l": metrics.map_large}
    for name, value in (measured if arguments.eval == "bbox" else {"mAP": metrics.voc_map}).items():
        print(f"{name}: {shown(value)}")
    images = {image["id"]: image["file_name"] for image in read_annotations(dataset.test.annotation_file)["images"]}
    if arguments.out is not None:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps([
            {"image": images[key], "boxes": found.boxes.tolist(), "scores": found.scores.tolist(),
             "labels": found.labels.tolist()} for key, found in accuracy.detections.items()]))
    if arguments.show_dir is not None:
        from tools.test import draw

        for key, found in accuracy.detections.items():
            draw(dataset.test.image_root / images[key], found.above(0.3), dataset.classes, arguments.show_dir,
                 images[key])
    return 0


def shown(value: float) -> str:
    """Return a metric as MMDetection prints it: -1 where there are no boxes to find, such as of one size."""
    return f"{-1.0 if math.isnan(value) else value:.4f}"


def _data(arguments: argparse.Namespace, classes: tuple[str, ...]) -> "DataRef":
    from core.data.dataset import resolve_data
    from core.data.reference import DataRef

    if arguments.data:
        return resolve_data(arguments.data, classes=classes)
    noted = arguments.output / DATA
    if not noted.exists():
        raise UserError("data", "none", f"{noted} is not there, so the data set is not known.", "Give --data.")
    return DataRef.from_json(read_json(noted, "data reference", "Give --data."))


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_guarded("tools/test_exported.py", lambda: test_exported(arguments))


if __name__ == "__main__":
    sys.exit(run_command("tools/test_exported.py", main))
