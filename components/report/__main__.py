"""Command line of the report stage."""

import argparse
import sys
from pathlib import Path

from core.base.cli import json_object, run_stage, stage_parser
from core.base.executor_output import ExecutorOutput
from core.base.supervision import run_command


def build_parser() -> argparse.ArgumentParser:
    """Return the stage's argument parser."""
    parser = stage_parser("report", "Put all measurements of a run together into a summary and two reports.")
    for name in ("data", "model", "compression", "parent"):
        parser.add_argument(f"--{name}", metavar="JSON", type=json_object, required=True,
                            help=f"resolved {name}, or @FILE")
    for name, thing in (("log", "training log"), ("evaluation", "PyTorch evaluation")):
        for model in ("fp32", "compressed"):
            parser.add_argument(f"--{name}-{model}", metavar="FILE", type=Path, required=True,
                                help=f"{thing} of the {model} model")
    parser.add_argument("--validation", metavar="FOLDER", type=Path, required=True, help="folder that validate wrote")
    parser.add_argument("--max-map-drop", metavar="X", type=float, default=0.01,
                        help="largest accepted loss of mAP, FP32 PyTorch to compressed IR, absolute")
    parser.add_argument("--max-class-drop", metavar="X", type=float, default=0.05,
                        help="largest accepted loss of AP of any one class, likewise; 1 asks nothing")
    parser.add_argument("--min-speedup", metavar="X", type=float, default=1.0,
                        help="smallest accepted ratio of frames per second, compressed IR to FP32 IR")
    for name in ("summary", "html", "markdown", "metrics", "confusion"):
        parser.add_argument(f"--{name}", metavar="FILE", type=Path, required=True, help=f"where to write the {name}")
    return parser


def report(arguments: argparse.Namespace, output: ExecutorOutput) -> None:
    """Build summary and reports; write them, the summary's numbers and the compressed IR's confusion matrix."""
    from core.base.outputs import write_confusion_matrix, write_metrics
    from core.config.reference import ConfigRef
    from core.data.reference import DataRef
    from core.report.build import ReportInputs, build_report
    from core.report.gate import Thresholds
    from core.storage.parent import ParentRef

    inputs = ReportInputs(
        evaluation_fp32_file=arguments.evaluation_fp32, evaluation_compressed_file=arguments.evaluation_compressed,
        validation_folder=arguments.validation, training_log_file=arguments.log_fp32,
        compression_log_file=arguments.log_compressed, data=DataRef.from_json(arguments.data),
        model=ConfigRef.from_json(arguments.model), compression=ConfigRef.from_json(arguments.compression),
        parent=ParentRef.from_json(arguments.parent).to_json(),
        thresholds=Thresholds(max_map_drop=arguments.max_map_drop, max_class_drop=arguments.max_class_drop,
                              min_speedup=arguments.min_speedup))
    built = build_report(inputs, arguments.summary, arguments.html, arguments.markdown)
    write_metrics(output, "metrics", arguments.metrics, built.summary.metrics())
    confusion = built.measured.irs.confusion
    write_confusion_matrix(output, "confusion", arguments.confusion, confusion.classes, confusion.compressed)


def main(argv: list[str] | None = None) -> int:
    """Run the stage and return its exit code."""
    return run_stage(build_parser(), report, argv)


if __name__ == "__main__":
    sys.exit(run_command("report", main))
