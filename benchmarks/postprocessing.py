"""mAP of a trained detector right after compression is initialised, by ``nncf_compress_postprocessing``.

``python -m benchmarks.postprocessing --checkpoint FILE --data FOLDER``. Weights, data and their order are the same in
both, so that what differs is only what NNCF sees of post-processing.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import reporting
from benchmarks.small_detector import scratch
from core.base.supervision import run_command

if TYPE_CHECKING:
    from core.data.dataset import Dataset

GOAL = 0.005
CONFIG = "configs/nncf_compression/retinanet_r18_small/int8.py"


@dataclass(frozen=True)
class Setting:
    """What a value of nncf_compress_postprocessing, None for no compression, gives on the test split."""

    postprocessing: bool | None
    quantizers: int
    map: float
    map50: float

    @property
    def name(self) -> str:
        """Return the first column of the table."""
        return "FP32" if self.postprocessing is None else f"post-processing {self.postprocessing}"


def measure(config_file: str, checkpoint: Path, dataset: "Dataset", postprocessing: bool | None) -> Setting:
    """Load the plain ``checkpoint``, compress it unless ``postprocessing`` is None, and score the test split."""
    from core.compression.hooks import quantizers_of
    from core.config.adapt import fit_to_data
    from core.config.loading import load_config
    from core.detectors.building import build_detector
    from core.training.device import device
    from core.training.evaluate import evaluate_network
    from core.training.model import load_checkpoint, load_plain_weights

    config = load_config(config_file)
    fit_to_data(config, dataset)
    config.data.workers_per_gpu = 0
    detector = build_detector(config)
    detector.CLASSES = dataset.classes
    load_plain_weights(detector, load_checkpoint(checkpoint), checkpoint)
    network, quantizers = detector.to(device()), 0
    if postprocessing is not None:
        compressed = _compress(network, config, dataset, postprocessing)
        network, quantizers = compressed.network, len(quantizers_of(compressed.controller))
    metrics = evaluate_network(network, config, dataset.test, dataset.classes).metrics
    return Setting(postprocessing, quantizers, metrics.map, metrics.map50)


def _compress(detector: Any, config: Any, dataset: "Dataset", postprocessing: bool) -> Any:
    from mmdet.apis import set_random_seed

    from core.compression.wrap import compress_detector
    from core.config.adapt import nncf_config_of
    from core.training.samples import train_loader

    set_random_seed(0)
    return compress_detector(detector, nncf_config_of(config), train_loader(config, dataset, 0),
                             postprocessing=postprocessing, strict=True)


def build_parser() -> argparse.ArgumentParser:
    """Return the benchmark's argument parser."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.postprocessing",
                                     description=f"{str(__doc__).splitlines()[0]} Exit code 1: they differ by more "
                                     f"than {GOAL:g}.", formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="FILE", help="plain, trained checkpoint")
    parser.add_argument("--data", required=True, metavar="FOLDER", help="the data set it was trained on")
    parser.add_argument("--train-split", default="auto", metavar="NAME", help="split to initialise on")
    parser.add_argument("--config", default=CONFIG, metavar="FILE", help="config with nncf_config")
    parser.add_argument("--output", type=Path, default=None, metavar="FILE", help="write the results as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark, print its table and return the exit code."""
    from core.data.dataset import open_dataset, resolve_data

    arguments = build_parser().parse_args(argv)
    dataset = open_dataset(resolve_data(arguments.data, train_split=arguments.train_split, val_split="none"))
    with scratch():
        found = [measure(arguments.config, arguments.checkpoint, dataset, value) for value in (None, False, True)]
    print(reporting.table(("", "quantizers", "mAP", "mAP50"), [
        (setting.name, str(setting.quantizers), f"{setting.map:.4f}", f"{setting.map50:.4f}") for setting in found]))
    difference = found[2].map - found[1].map
    print(f"True against False: {difference:+.4f} mAP, goal within {GOAL:g}")
    settings = {key: str(value) for key, value in vars(arguments).items() if key != "output"}
    reporting.write("postprocessing", settings, [vars(setting) for setting in found], arguments.output)
    return 0 if abs(difference) <= GOAL else 1


if __name__ == "__main__":
    sys.exit(run_command("postprocessing", main))
