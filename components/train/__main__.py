"""Command line of the train stage."""

import argparse
import sys
import tempfile
from pathlib import Path

from core.base.cli import add_training_options, json_object, stage_parser
from core.base.executor_output import ExecutorOutput
from core.base.supervision import run_command
from core.training.launch import add_rank_options, run_on_ranks


def build_parser() -> argparse.ArgumentParser:
    """Return the stage's argument parser."""
    parser = stage_parser("train", "Train the FP32 detector, or pass a given checkpoint through.")
    parser.add_argument("--data", metavar="JSON", type=json_object, required=True, help="resolved data, or @FILE")
    parser.add_argument("--model", metavar="JSON", type=json_object, required=True, help="resolved config, or @FILE")
    parser.add_argument("--parent", metavar="JSON", type=json_object, default={"uri": "", "digest": ""},
                        help="resolved checkpoint to take instead of training, or @FILE")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="seed of weights, shuffling and augmentation")
    add_training_options(parser)
    parser.add_argument("--checkpoint", metavar="FILE", type=Path, required=True, help="where to write the checkpoint")
    parser.add_argument("--log", metavar="FILE", type=Path, required=True, help="where to write the training log")
    add_rank_options(parser)
    return parser


def train(arguments: argparse.Namespace, output: ExecutorOutput) -> None:
    """Train, or adopt the parent; write checkpoint and log."""
    from core.config.adapt import plain_config, set_classes, set_data
    from core.config.reference import ConfigRef, open_config
    from core.data.dataset import open_dataset
    from core.data.reference import DataRef
    from core.storage.parent import ParentRef, open_parent
    from core.training.distributed import first_rank_first
    from core.training.fit import adopt, fit
    from core.training.states import StateSettings

    state = StateSettings.of(arguments.training_state, arguments.checkpoint_minutes)
    with first_rank_first():
        parent = open_parent(ParentRef.from_json(arguments.parent))
        dataset = open_dataset(DataRef.from_json(arguments.data))
    config = plain_config(open_config(ConfigRef.from_json(arguments.model), arguments.trust_config))
    set_classes(config, dataset.classes)
    set_data(config, dataset)
    if parent is not None:
        result = adopt(parent, config, dataset, arguments.checkpoint, arguments.log)
    else:
        arguments.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".train-", dir=str(arguments.checkpoint.parent)) as work_dir:
            result = fit(config, dataset, arguments.checkpoint, arguments.log, Path(work_dir), seed=arguments.seed,
                         state=state)
    output.artifact("checkpoint", {"epochs": result.epochs, "seconds": result.seconds, **result.reported()})


def main(argv: list[str] | None = None) -> int:
    """Run the stage and return its exit code."""
    return run_on_ranks(build_parser(), train, "components.train", argv)


if __name__ == "__main__":
    sys.exit(run_command("train", main))
