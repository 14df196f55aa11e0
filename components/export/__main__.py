"""Command line of the export stage."""

import argparse
import sys
from pathlib import Path

from core.base.cli import boolean, run_stage, stage_parser
from core.base.executor_output import ExecutorOutput
from core.base.supervision import run_command


def build_parser() -> argparse.ArgumentParser:
    """Return the stage's argument parser."""
    parser = stage_parser("export", "Export a checkpoint to ONNX.")
    parser.add_argument("--checkpoint", metavar="FILE", type=Path, required=True, help="plain or compressed checkpoint")
    parser.add_argument("--onnx", metavar="FOLDER", type=Path, required=True,
                        help="folder to write model.onnx and spec.json to")
    parser.add_argument("--dynamic-shape", metavar="BOOL", type=boolean, nargs="?", const=True, default=False,
                        help="let the input's height and width differ from image to image")
    parser.add_argument("--raw-heads", metavar="BOOL", type=boolean, nargs="?", const=True, default=False,
                        help="end at the heads' outputs, without boxes and suppression")
    return parser


def export(arguments: argparse.Namespace, output: ExecutorOutput) -> None:
    """Export the checkpoint; write the ONNX model and what is to be known of it."""
    from core.export.onnx import ExportOptions, export_checkpoint

    arguments.onnx.parent.mkdir(parents=True, exist_ok=True)
    options = ExportOptions(arguments.dynamic_shape, arguments.raw_heads)
    spec = export_checkpoint(arguments.checkpoint, arguments.onnx, options)
    output.artifact("onnx", {"algorithms": list(spec.algorithms), "fake_quantize_nodes": spec.fake_quantize_nodes,
                             "outputs": list(spec.outputs), "dynamic_shape": spec.dynamic})


def main(argv: list[str] | None = None) -> int:
    """Run the stage and return its exit code."""
    return run_stage(build_parser(), export, argv)


if __name__ == "__main__":
    sys.exit(run_command("export", main))
