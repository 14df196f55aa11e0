"""Command line of the convert stage."""

import argparse
import sys
from pathlib import Path

from core.base.cli import boolean, run_stage, stage_parser
from core.base.executor_output import ExecutorOutput
from core.base.supervision import run_command


def build_parser() -> argparse.ArgumentParser:
    """Return the stage's argument parser."""
    parser = stage_parser("convert", "Convert an exported ONNX model to OpenVINO IR.")
    parser.add_argument("--onnx", metavar="FOLDER", type=Path, required=True, help="folder that export wrote")
    parser.add_argument("--ir", metavar="FOLDER", type=Path, required=True,
                        help="folder to write model.xml, model.bin and spec.json to")
    parser.add_argument("--compress-to-fp16", metavar="BOOL", type=boolean, nargs="?", const=True, default=False,
                        help="store weights that are not 8-bit as FP16")
    return parser


def convert(arguments: argparse.Namespace, output: ExecutorOutput) -> None:
    """Convert the model; write the IR."""
    from core.export.spec import ModelSpec
    from core.openvino.ir import MODEL_API_NOTE, convert_to_ir, model_info

    arguments.ir.parent.mkdir(parents=True, exist_ok=True)
    files = convert_to_ir(arguments.onnx, arguments.ir, arguments.compress_to_fp16)
    note = model_info(ModelSpec.read(arguments.ir))[MODEL_API_NOTE]
    if note:
        print(f"OpenVINO Model API finds nearly the same boxes, not the very same: {note}", flush=True)
    output.artifact("ir", {"fake_quantize_nodes": files.fake_quantize_nodes, "int8_weights": files.int8_weights,
                           "weights": "FP16" if arguments.compress_to_fp16 else "FP32", "size_mb": files.size_mb})


def main(argv: list[str] | None = None) -> int:
    """Run the stage and return its exit code."""
    return run_stage(build_parser(), convert, argv)


if __name__ == "__main__":
    sys.exit(run_command("convert", main))
