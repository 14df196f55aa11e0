"""Command line of the validate stage."""

import argparse
import sys
from pathlib import Path

from core.base.cli import json_object, run_stage, stage_parser
from core.base.executor_output import ExecutorOutput
from core.base.supervision import run_command

EXIT_IMAGES_LEFT_OUT = 4


def build_parser() -> argparse.ArgumentParser:
    """Return the stage's argument parser."""
    parser = stage_parser("validate", "Measure accuracy and speed of the FP32 and the compressed IR in OpenVINO.")
    parser.add_argument("--data", metavar="JSON", type=json_object, required=True, help="resolved data, or @FILE")
    parser.add_argument("--ir-fp32", metavar="FOLDER", type=Path, required=True, help="IR of the FP32 model")
    parser.add_argument("--ir-compressed", metavar="FOLDER", type=Path, required=True,
                        help="IR of the compressed model")
    parser.add_argument("--validation", metavar="FOLDER", type=Path, required=True,
                        help="folder to write metrics.json and pictures to")
    for model in ("fp32", "compressed"):
        parser.add_argument(f"--detections-{model}", metavar="FILE", type=Path,
                            help=f"what evaluate found with the {model} checkpoint; locates a drop")
        parser.add_argument(f"--onnx-{model}", metavar="FOLDER", type=Path,
                            help=f"what export wrote of the {model} checkpoint; run by onnxruntime where it can be")
    return parser


def validate(arguments: argparse.Namespace, output: ExecutorOutput) -> int:
    """Measure both IRs and write the validation; return ``EXIT_IMAGES_LEFT_OUT`` by hand where images are corrupt."""
    from core.data.dataset import open_dataset
    from core.data.reference import DataRef
    from core.openvino.validation import validate as measure
    from core.openvino.waterfall import Sources

    dataset = open_dataset(DataRef.from_json(arguments.data))
    arguments.validation.parent.mkdir(parents=True, exist_ok=True)
    sources = Sources(arguments.detections_fp32, arguments.detections_compressed, arguments.onnx_fp32,
                      arguments.onnx_compressed)
    found = measure(dataset, arguments.ir_fp32, arguments.ir_compressed, arguments.validation, sources)
    for warning in found["warnings"]:
        print(f"validate: {warning}", flush=True)
    corrupt = found["corrupt_images"]
    for image in corrupt:
        print(f"validate: left out {image['image']}: {image['reason']}", file=sys.stderr, flush=True)
    # A failed task would lose its outputs in KFP; there the gate fails the run for images left out.
    return EXIT_IMAGES_LEFT_OUT if corrupt and arguments.executor_input is None else 0


def main(argv: list[str] | None = None) -> int:
    """Run the stage and return its exit code."""
    return run_stage(build_parser(), validate, argv)


if __name__ == "__main__":
    sys.exit(run_command("validate", main))
