"""Command line of the compress stage."""

import argparse
import sys
import tempfile
from pathlib import Path

from core.base.cli import add_training_options, boolean, json_object, stage_parser
from core.base.executor_output import ExecutorOutput
from core.base.supervision import run_command
from core.training.launch import add_rank_options, run_on_ranks


def build_parser() -> argparse.ArgumentParser:
    """Return the stage's argument parser."""
    parser = stage_parser("compress", "Fine-tune a detector with NNCF compression.")
    parser.add_argument("--data", metavar="JSON", type=json_object, required=True, help="resolved data, or @FILE")
    parser.add_argument("--compression", metavar="JSON", type=json_object, required=True,
                        help="resolved config with nncf_config, or @FILE")
    parser.add_argument("--fp32-checkpoint", metavar="FILE", type=Path, required=True, help="checkpoint to start from")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="seed of shuffling and augmentation")
    parser.add_argument("--min-initial-map-ratio", metavar="X", type=float, default=0.0,
                        help="stop where less than this share of the FP32 model's mAP is left before the first "
                        "training step; 0 leaves it to the config")
    parser.add_argument("--strict", metavar="BOOL", type=boolean, default=False,
                        help="true stops where nncf_compress_postprocessing=True would fall back to False")
    add_training_options(parser)
    parser.add_argument("--checkpoint", metavar="FILE", type=Path, required=True, help="where to write the checkpoint")
    parser.add_argument("--log", metavar="FILE", type=Path, required=True, help="where to write the training log")
    add_rank_options(parser)
    return parser


def compress(arguments: argparse.Namespace, output: ExecutorOutput) -> None:
    """Fine-tune with compression; write checkpoint and log."""
    from core.config.adapt import set_classes, set_data
    from core.config.reference import ConfigRef, open_config
    from core.data.dataset import open_dataset
    from core.data.reference import DataRef
    from core.training.distributed import first_rank_first
    from core.training.fit import fit
    from core.training.initial import check_ratio
    from core.training.states import StateSettings

    state = StateSettings.of(arguments.training_state, arguments.checkpoint_minutes)
    with first_rank_first():
        dataset = open_dataset(DataRef.from_json(arguments.data))
    config = open_config(ConfigRef.from_json(arguments.compression), arguments.trust_config)
    if check_ratio(arguments.min_initial_map_ratio, "parameter min_initial_map_ratio"):
        config.min_initial_map_ratio = arguments.min_initial_map_ratio
    if arguments.strict:
        config.nncf_strict = True
    set_classes(config, dataset.classes)
    set_data(config, dataset)
    arguments.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".compress-", dir=str(arguments.checkpoint.parent)) as work_dir:
        result = fit(config, dataset, arguments.checkpoint, arguments.log, Path(work_dir),
                     parent=arguments.fp32_checkpoint, seed=arguments.seed, state=state)
    output.artifact("checkpoint", {"algorithms": list(result.algorithms), "epochs": result.epochs,
                                   "seconds": result.seconds, **result.reported()})


def main(argv: list[str] | None = None) -> int:
    """Run the stage and return its exit code."""
    return run_on_ranks(build_parser(), compress, "components.compress", argv)


if __name__ == "__main__":
    sys.exit(run_command("compress", main))
