"""Command line of the evaluate stage."""

import argparse
import sys
from pathlib import Path

from core.base.cli import json_object, stage_parser
from core.base.executor_output import ExecutorOutput
from core.base.supervision import run_command
from core.training.launch import add_rank_options, run_on_ranks


def build_parser() -> argparse.ArgumentParser:
    """Return the stage's argument parser."""
    parser = stage_parser("evaluate", "Score a checkpoint with PyTorch on the test split.")
    parser.add_argument("--data", metavar="JSON", type=json_object, required=True, help="resolved data, or @FILE")
    parser.add_argument("--checkpoint", metavar="FILE", type=Path, required=True, help="plain or compressed checkpoint")
    parser.add_argument("--evaluation", metavar="FILE", type=Path, required=True, help="where to write the evaluation")
    parser.add_argument("--detections", metavar="FILE", type=Path, required=True,
                        help="where to write what was found, for validate to compare with")
    add_rank_options(parser)
    return parser


def evaluate(arguments: argparse.Namespace, output: ExecutorOutput) -> None:
    """Score the checkpoint; write evaluation and detections."""
    from core.data.dataset import open_dataset
    from core.data.reference import DataRef
    from core.evaluation.pytorch import evaluate_checkpoint
    from core.training.distributed import first_rank_first

    with first_rank_first():
        dataset = open_dataset(DataRef.from_json(arguments.data))
    metrics = evaluate_checkpoint(arguments.checkpoint, dataset, arguments.evaluation, arguments.detections)
    print(f"mAP {metrics.map:.4f}, mAP50 {metrics.map50:.4f} on {metrics.images} images", flush=True)


def main(argv: list[str] | None = None) -> int:
    """Run the stage and return its exit code."""
    return run_on_ranks(build_parser(), evaluate, "components.evaluate", argv)


if __name__ == "__main__":
    sys.exit(run_command("evaluate", main))
