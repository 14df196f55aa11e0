"""Test a checkpoint, plain or compressed, as MMDetection's tools/test.py does."""

import argparse
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from core.base.cli import run_guarded
from core.base.errors import UserError
from core.base.supervision import run_command
from tools import command

RESULTS = (".pkl", ".pickle", ".json")


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = command.parser("test", "Test a checkpoint, plain or compressed.")
    parser.add_argument("model", metavar="CONFIG|CHECKPOINT", nargs="+", help="a config, whose newest checkpoint is "
                        "tested; a checkpoint of tools/train.py; or a config and a checkpoint")
    parser.add_argument("--eval", metavar="METRIC", nargs="+", choices=("bbox", "segm", "mAP"), default=[],
                        help="bbox, segm or mAP, Pascal VOC's (default: the config's evaluation.metric, else bbox)")
    parser.add_argument("--out", metavar="FILE", type=Path, default=None, help="write what is found (.pkl or .json)")
    parser.add_argument("--show-dir", metavar="FOLDER", type=Path, default=None,
                        help="write the images with their boxes")
    return parser


def test(arguments: argparse.Namespace) -> int:
    """Test; print the metrics."""
    import logging

    from core.config.adapt import fit_to_data
    from core.data.dataset import open_dataset
    from core.training.device import device
    from core.training.evaluate import results_of
    from core.training.hooks import validation_metrics
    from core.training.samples import evaluation_loader

    if arguments.out is not None and arguments.out.suffix not in RESULTS:
        raise UserError("--out", arguments.out, f"Its name ends in {', '.join(RESULTS)}.", "Choose such a name.")
    command.show_our_lines()
    source = command.find_source(arguments.model, arguments)
    model = command.open_model(source)
    dataset = open_dataset(command.test_data(source, arguments))
    if model.checkpoint.classes and tuple(model.checkpoint.classes) != dataset.classes:
        raise UserError("classes", ", ".join(dataset.classes), "The checkpoint was trained for "
                        f"{', '.join(model.checkpoint.classes)}, in this order.", "Test it on data of these classes.")
    fit_to_data(model.config, dataset)
    loader = evaluation_loader(model.config, "test", dataset.test)
    results = results_of(model.network.to(device()), loader)
    logger = logging.getLogger("mmdet_compress.test")
    settings = {"metric": _metric(arguments.eval, model.config)}
    for name, value in validation_metrics(loader.dataset, results, logger, settings).items():
        print(f"{name}: {value:.4f}")
    if arguments.out is not None:
        _write(results, arguments.out)
    if arguments.show_dir is not None:
        show(loader.dataset, results, arguments.show_dir)
    return 0


def _metric(asked: list[str], config: Any) -> Any:
    if asked:
        return asked[0] if len(asked) == 1 else asked
    return (config.get("evaluation") or {}).get("metric", "bbox")


def _write(results: list[Any], file: Path) -> None:
    import mmcv

    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".json":
        from core.training.evaluate import to_detections

        found = [to_detections(result) for result in results]
        mmcv.dump([{"boxes": item.boxes.tolist(), "scores": item.scores.tolist(), "labels": item.labels.tolist()}
                   for item in found], str(file))
    else:
        mmcv.dump(results, str(file))


def show(images: Any, results: list[Any], folder: Path, min_score: float = 0.3) -> None:
    """Draw the boxes of each image of an MMDetection data set and write it to ``folder``."""
    from core.training.evaluate import to_detections

    for info, result in zip(images.data_infos, results):
        draw(Path(images.img_prefix) / info["filename"], to_detections(result).above(min_score), images.CLASSES, folder,
             info["filename"])


def draw(image: Path, found: Any, classes: Any, folder: Path, name: str) -> None:
    """Write an image with its boxes to ``folder``."""
    import cv2

    from core.openvino.drawing import draw_detections
    from core.openvino.image import read_image

    target = (folder / name).with_suffix(".jpg")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(cv2.imencode(".jpg", draw_detections(read_image(image), found, tuple(classes)))[1].tobytes())


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_guarded("tools/test.py", lambda: test(arguments))


if __name__ == "__main__":
    sys.exit(run_command("tools/test.py", main))
