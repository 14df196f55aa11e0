"""Command line of the convert stage."""

import argparse
import sys
from pathlib import Path
from typing import List, Optional

from core.stage.cli import run_stage, stage_parser
from core.stage.executor_output import ExecutorOutput


def build_parser() -> argparse.ArgumentParser:
    """Return the stage's argument parser."""
    parser = stage_parser("convert", "Convert an exported ONNX model to OpenVINO IR.")
    parser.add_argument("--onnx", metavar="FOLDER", type=Path, required=True, help="folder that export wrote")
    parser.add_argument("--ir", metavar="FOLDER", type=Path, required=True,
                        help="folder to write model.xml, model.bin and spec.json to")
    return parser


def convert(arguments: argparse.Namespace, output: ExecutorOutput) -> None:
    """Convert the model; write the IR."""
    from core.export.ir import convert_to_ir

    arguments.ir.parent.mkdir(parents=True, exist_ok=True)
    convert_to_ir(arguments.onnx, arguments.ir)


def main(argv: Optional[List[str]] = None) -> int:
    """Run the stage and return its exit code."""
    return run_stage(build_parser(), convert, argv)


if __name__ == "__main__":
    sys.exit(main())
