"""Command line of the validate stage."""

import argparse
import sys
from pathlib import Path
from typing import List, Optional

from core.stage.cli import json_object, run_stage, stage_parser
from core.stage.executor_output import ExecutorOutput


def build_parser() -> argparse.ArgumentParser:
    """Return the stage's argument parser."""
    parser = stage_parser("validate", "Measure accuracy and speed of the FP32 and the compressed IR in OpenVINO.")
    parser.add_argument("--data", metavar="JSON", type=json_object, required=True, help="resolved data, or @FILE")
    parser.add_argument("--ir-fp32", metavar="FOLDER", type=Path, required=True, help="IR of the FP32 model")
    parser.add_argument("--ir-compressed", metavar="FOLDER", type=Path, required=True,
                        help="IR of the compressed model")
    parser.add_argument("--validation", metavar="FOLDER", type=Path, required=True,
                        help="folder to write validation.json and samples to")
    parser.add_argument("--metrics", metavar="FILE", type=Path, required=True, help="where to write the metrics")
    return parser


def validate(arguments: argparse.Namespace, output: ExecutorOutput) -> None:
    """Measure both IRs; write validation and metrics."""
    from core.data.dataset import open_dataset
    from core.data.reference import DataRef
    from core.inference.validation import validate as measure
    from core.stage.outputs import write_metrics

    dataset = open_dataset(DataRef.from_json(arguments.data))
    arguments.validation.parent.mkdir(parents=True, exist_ok=True)
    found = measure(dataset, arguments.ir_fp32, arguments.ir_compressed, arguments.validation)
    fp32, compressed = found["fp32"], found["compressed"]
    write_metrics(output, "metrics", arguments.metrics, {
        "map_ir_fp32": fp32["metrics"]["map"], "map_ir": compressed["metrics"]["map"],
        "map50_ir_fp32": fp32["metrics"]["map50"], "map50_ir": compressed["metrics"]["map50"],
        "fps_fp32": fp32["fps"], "fps": compressed["fps"], "speedup": found["speedup"],
        "latency_ms_p50_fp32": fp32["latency_ms_p50"], "latency_ms_p50": compressed["latency_ms_p50"],
        "size_mb_fp32": fp32["size_mb"], "size_mb": compressed["size_mb"]})


def main(argv: Optional[List[str]] = None) -> int:
    """Run the stage and return its exit code."""
    return run_stage(build_parser(), validate, argv)


if __name__ == "__main__":
    sys.exit(main())
