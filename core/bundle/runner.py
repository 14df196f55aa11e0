"""The program inside a bundle: finds objects in images and draws them, or checks the bundle."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.exit_codes import EXIT_USER_ERROR
from core.base.supervision import run_command

RUNNER = "runner"
MIN_SCORE = 0.3
DRAWN = "{stem}.detected.jpg"


def build_parser() -> argparse.ArgumentParser:
    """Return the program's argument parser."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {RUNNER}", description="Find objects in images, print them and draw their boxes "
        "and, where the model has any, masks. Needs openvino, numpy and opencv. Exit code 0: done, 2: an image or the "
        "bundle is at fault.")
    parser.add_argument("images", metavar="IMAGE", type=Path, nargs="*", help="image files")
    parser.add_argument("--output", metavar="FOLDER", type=Path, default=Path(),
                        help="where NAME.detected.jpg is written (default: here)")
    parser.add_argument("--min-score", metavar="SCORE", type=float, default=MIN_SCORE,
                        help=f"leave out boxes scored below (default: {MIN_SCORE})")
    parser.add_argument("--json", action="store_true", help="print one line of JSON an image, and draw nothing")
    parser.add_argument("--self-check", action="store_true",
                        help="check every file's digest and the boxes in the golden image")
    return parser


def run(bundle: Path) -> int:
    """Run the program as a command of its own, which a signal ends, and return its exit code."""
    return run_command(RUNNER, lambda: main(bundle))


def main(bundle: Path, argv: list[str] | None = None) -> int:
    """Run the program for the bundle in a folder and return its exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if not arguments.images and not arguments.self_check:
        parser.error("give images, or --self-check")
    try:
        if arguments.self_check:
            check(bundle)
        if arguments.images:
            detect(bundle, arguments)
    except UserError as error:
        print(f"{RUNNER}: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    return 0


def check(bundle: Path) -> None:
    """Check the bundle and print what was seen, with the versions used."""
    import cv2
    import numpy as np

    from core.bundle.check import check_bundle
    from core.openvino.runtime import import_openvino

    print(check_bundle(bundle))
    print(f"ok, with openvino {import_openvino().get_version()}, numpy {np.__version__}, opencv {cv2.__version__}")


def detect(bundle: Path, arguments: argparse.Namespace) -> None:
    """Detect in every image; print the boxes and draw them, with their masks where the model has any."""
    from core.openvino.detector import OpenVinoDetector
    from core.openvino.image import CorruptImageError, read_image

    detector = OpenVinoDetector(bundle)
    for path in arguments.images:
        try:
            image = read_image(path)
        except CorruptImageError as error:
            raise UserError("image", path, f"It cannot be decoded: {error.reason}.", "Give another image.") from error
        found = detector(image).above(arguments.min_score)
        if arguments.json:
            print(json.dumps({"image": str(path), "detections": [
                {"box": [round(float(value), 2) for value in box], "score": round(float(score), 4), "label": int(label),
                 "class": detector.spec.classes[label]} for box, score, label in zip(
                    found.boxes, found.scores, found.labels)]}, ensure_ascii=False), flush=True)
        else:
            _print_and_draw(path, image, found, detector.spec.classes, arguments.output)


def _print_and_draw(path: Path, image: Any, found: Any, classes: Any, output: Path) -> None:
    import cv2

    from core.openvino.drawing import draw_detections

    output.mkdir(parents=True, exist_ok=True)
    drawn = output / DRAWN.format(stem=path.stem)
    drawn.write_bytes(cv2.imencode(".jpg", draw_detections(image, found, classes))[1].tobytes())
    print(f"{path}: {len(found)} objects, drawn in {drawn}")
    for box, score, label in zip(found.boxes, found.scores, found.labels):
        print(f"  {classes[label]} {score:.2f} at {' '.join(f'{value:.0f}' for value in box)}", flush=True)
