"""A detector of random weights, compressed as its config says, as ONNX: ``python -m benchmarks.random_model``.

What training would change, the weights' values, does not change how long a pass takes; which filters are pruned and
which layers are quantized is the same. ``benchmarks.compressed_speed`` calls it.
"""

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.small_detector import scratch
from core.base.supervision import run_command

CLASSES = ("one", "two", "three")
IMAGES, BATCH = 4, 2
# Random heads are unsure of everything: at the usual threshold NonMaxSuppression would get every anchor, where a
# trained detector hands it a few dozen.
SCORE_THRESHOLD = 0.9


def variant_config(detector: str, variant: str, size: tuple[int, int], changes: Sequence[str] = ()) -> Any:
    """Return a detector's config with an input of ``size`` (height, width) and with changes ``key=value``.

    Pruning starts at its final level, which the schedule would reach in later epochs.
    """
    from core.config.adapt import set_classes
    from core.config.loading import load_config
    from core.config.options import parse_options
    from scripts.trial_configs import resize_input, shorten_compression

    config = load_config(Path("configs/nncf_compression") / detector / f"{'int8' if variant == 'fp32' else variant}.py",
                         parse_options(changes))
    set_classes(config, CLASSES)
    resize_input(config, *size)
    shorten_compression(config, IMAGES)
    config.model.test_cfg.score_thr = SCORE_THRESHOLD
    return config


def export_variant(detector: str, variant: str, size: tuple[int, int], output: Path, changes: Sequence[str] = (),
                   raw_heads: bool = False) -> None:
    """Build, compress and export a detector to the folder ``output``; ``fp32`` is not compressed."""
    from mmdet.apis import set_random_seed

    from core.checkpoint.checkpoint import save_checkpoint
    from core.compression.wrap import compress_detector
    from core.config.adapt import nncf_config_of, set_data
    from core.detectors.building import build_detector
    from core.dry_run.synthetic import write_dataset
    from core.dry_run.trials import enable_zero_branches
    from core.export.onnx import ExportOptions, export_checkpoint
    from core.training.samples import train_loader
    from core.training.snapshot import snapshot

    set_random_seed(0)
    config = variant_config(detector, variant, size, changes)
    with scratch() as folder:
        dataset = write_dataset(folder / "data", CLASSES, IMAGES)
        set_data(config, dataset)
        config.data.update(samples_per_gpu=BATCH, workers_per_gpu=0)
        network = build_detector(config)
        network.CLASSES = CLASSES
        network.init_weights()
        # A layer of zeros is no trained one's like, and would take its time for nothing.
        enable_zero_branches(network)
        compression = None
        if variant == "fp32":
            config.pop("nncf_config")
        else:
            batches = list(itertools.islice(train_loader(config, dataset, 0), IMAGES // BATCH))
            compression = compress_detector(network, {**nncf_config_of(config), "log_dir": str(folder)},
                                            Batches(batches), postprocessing=False)
            network = compression.network
        checkpoint = folder / "model.pth"
        save_checkpoint(snapshot(config, dataset, network, compression, None), checkpoint)
        export_checkpoint(checkpoint, output, ExportOptions(raw_heads=raw_heads))


class Batches(list):
    """Some batches in the place of a data loader; NNCF asks for their size."""

    batch_size = BATCH


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.random_model",
                                     description="Export a detector of random weights, compressed as its config says.")
    parser.add_argument("detector", help="folder in configs/nncf_compression")
    parser.add_argument("variant", choices=("fp32", "int8", "pruning", "int8_pruning"))
    parser.add_argument("--size", nargs=2, type=int, required=True, metavar=("HEIGHT", "WIDTH"), help="network input")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where to write the ONNX model")
    parser.add_argument("--raw-heads", action="store_true", help="leave post-processing out")
    parser.add_argument("--cfg-options", metavar="KEY=VALUE", nargs="+", default=[], help="changes to the config")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return the exit code."""
    arguments = build_parser().parse_args(argv)
    export_variant(arguments.detector, arguments.variant, tuple(arguments.size), arguments.output,
                   arguments.cfg_options, arguments.raw_heads)
    return 0


if __name__ == "__main__":
    sys.exit(run_command("random_model", main))
