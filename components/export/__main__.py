"""Command line of the export stage."""

import argparse
import sys
from pathlib import Path
from typing import List, Optional

from core.stage.cli import run_stage, stage_parser
from core.stage.executor_output import ExecutorOutput


def build_parser() -> argparse.ArgumentParser:
    """Return the stage's argument parser."""
    parser = stage_parser("export", "Export a checkpoint to ONNX.")
    parser.add_argument("--checkpoint", metavar="FILE", type=Path, required=True, help="plain or compressed checkpoint")
    parser.add_argument("--onnx", metavar="FOLDER", type=Path, required=True,
                        help="folder to write model.onnx and spec.json to")
    return parser


def export(arguments: argparse.Namespace, output: ExecutorOutput) -> None:
    """Export the checkpoint; write the ONNX model and what is to be known of it."""
    from core.export.onnx import export_checkpoint

    arguments.onnx.parent.mkdir(parents=True, exist_ok=True)
    spec = export_checkpoint(arguments.checkpoint, arguments.onnx)
    output.artifact("onnx", {"algorithms": list(spec.algorithms), "fake_quantize_nodes": spec.fake_quantize_nodes})


def main(argv: Optional[List[str]] = None) -> int:
    """Run the stage and return its exit code."""
    return run_stage(build_parser(), export, argv)


if __name__ == "__main__":
    sys.exit(main())
