"""Command line of the gate stage."""

import argparse
import sys
from pathlib import Path

from core.base.cli import run_stage, stage_parser
from core.base.executor_output import ExecutorOutput
from core.base.supervision import run_command

EXIT_NOT_GOOD_ENOUGH = 1


def build_parser() -> argparse.ArgumentParser:
    """Return the stage's argument parser."""
    parser = stage_parser("gate", "Fail where the compressed model lost too much or gained too little.")
    parser.add_argument("--summary", metavar="FILE", type=Path, required=True, help="summary.json of the run")
    parser.add_argument("--max-map-drop", metavar="X", type=float, default=0.01,
                        help="largest accepted loss of mAP, FP32 PyTorch to compressed IR, absolute")
    parser.add_argument("--max-class-drop", metavar="X", type=float, default=0.05,
                        help="largest accepted loss of AP of any one class, likewise; 1 asks nothing")
    parser.add_argument("--min-speedup", metavar="X", type=float, default=1.0,
                        help="smallest accepted ratio of frames per second, compressed IR to FP32 IR")
    return parser


def gate(arguments: argparse.Namespace, output: ExecutorOutput) -> int:
    """Judge the summary; name every number and its limit; return the exit code."""
    from core.report.gate import Thresholds, judge
    from core.report.summary import read_summary

    thresholds = Thresholds(max_map_drop=arguments.max_map_drop, max_class_drop=arguments.max_class_drop,
                            min_speedup=arguments.min_speedup)
    summary = read_summary(arguments.summary)
    verdict = judge(summary.figures(), thresholds, summary.worst_class)
    for check in verdict.checks:
        print(f"{'pass' if check.passed else 'FAIL'}: {check.sentence}", flush=True)
    return 0 if verdict.passed else EXIT_NOT_GOOD_ENOUGH


def main(argv: list[str] | None = None) -> int:
    """Run the stage and return its exit code."""
    return run_stage(build_parser(), gate, argv)


if __name__ == "__main__":
    sys.exit(run_command("gate", main))
