"""What compressing each part of a model costs, by hand: ``python -m core.report.sensitivity ONNX_FOLDER --data FILE``.

It writes the record and a bar chart, and prints ``ignored_scopes`` to paste.
"""

import argparse
import sys
from pathlib import Path

from core.base.cli import run_guarded, share, whole_number
from core.base.json_file import read_json
from core.base.outputs import write_text
from core.base.supervision import run_command
from core.report.plots import sensitivity_bars
from core.report.text import difference
from core.results.sensitivity import Sensitivity

PROGRAM = "python -m core.report.sensitivity"
RECORD_FILE, CHART_FILE = "sensitivity.json", "sensitivity.svg"
MOST_BYTES = 16 << 20
# What a page would give it.
_SIZE = 'xmlns="http://www.w3.org/2000/svg" width="1000" font-family="sans-serif"'


def lines(found: Sensitivity) -> list[str]:
    """Return a sensitivity as lines for a terminal, the worst groups first."""
    text = [f"{'':<14}{'error':>9}{'mAP':>10}  part"]
    for kind in ("quantization", "pruning"):
        text += [f"{group.kind:<14}{group.error:>9{'.4f' if group.error < 1e4 else '.0e'}}"
                 f"{difference(-group.map_drop):>10}  {group.name}" for group in found.of(kind)]
    return [*text, f"ignored_scopes={list(found.ignored_scopes)}"]


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    from core.openvino.sensitivity import IMAGES, MAP_IMAGES, PRUNING_LEVEL, WORST

    parser = argparse.ArgumentParser(prog=PROGRAM, description="Compress one part of a model at a time, measure what "
                                     "that changes, and name the parts that are better left out.",
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("onnx", metavar="ONNX_FOLDER", type=Path, help="folder that export wrote")
    parser.add_argument("--data", metavar="FILE", type=Path, required=True, help="the data that resolve wrote, JSON")
    parser.add_argument("--output", metavar="FOLDER", type=Path, default=Path("sensitivity"),
                        help=f"where {RECORD_FILE} and {CHART_FILE} are written")
    parser.add_argument("--images", type=whole_number, default=IMAGES, help="training images that errors are over")
    parser.add_argument("--map-images", type=whole_number, default=MAP_IMAGES,
                        help="validation images that mAP is over")
    parser.add_argument("--worst", type=int, default=WORST, help="groups of each kind of which mAP is measured")
    parser.add_argument("--pruning-level", type=share, default=PRUNING_LEVEL, help="share of a group's filters removed")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)

    def work() -> int:
        from core.data.dataset import open_dataset
        from core.data.reference import DataRef
        from core.openvino.sensitivity import measure_sensitivity

        values = read_json(arguments.data, "data", "Give the file that resolve wrote.", MOST_BYTES)
        found = measure_sensitivity(arguments.onnx, open_dataset(DataRef.from_json(values)), arguments.images,
                                    arguments.map_images, arguments.worst, arguments.pruning_level)
        found.write(arguments.output / RECORD_FILE)
        write_text(arguments.output / CHART_FILE, sensitivity_bars(found).replace("<svg", f"<svg {_SIZE}", 1) + "\n")
        print(*lines(found), sep="\n")
        return 0

    return run_guarded(PROGRAM, work)


if __name__ == "__main__":
    sys.exit(run_command(PROGRAM, main))
