"""Parameters, FLOPs and channels before and after: ``python -m core.openvino.counts BEFORE AFTER``."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from core.base.cli import run_guarded
from core.base.errors import UserError
from core.base.supervision import run_command
from core.compression.structure import StructureCounts, changed_layers, structure_of_ir, structure_of_onnx

PROGRAM = "python -m core.openvino.counts"
_ROWS: tuple[tuple[str, str], ...] = (("parameters", "parameters"), ("not zero", "nonzero"), ("FLOPs", "flops"),
                                      ("channels", "channels"))


def count_in(path: Path) -> StructureCounts:
    """Count a model by its name: .onnx, or model.xml of an IR, for which OpenVINO must be installed.

    Raises:
        UserError: It is no such file.
    """
    if path.suffix == ".onnx":
        return structure_of_onnx(path)
    if path.name != "model.xml" or not path.is_file():
        raise UserError("model", path, "It must be an ONNX file or the model.xml of an IR.", "Give such a file.")
    from core.openvino.runtime import at_test_size, read_ir

    return structure_of_ir(at_test_size(*read_ir(path.parent)))


def table(before: StructureCounts, after: StructureCounts) -> Iterator[str]:
    """Yield the lines of the comparison: totals, then the layers whose channels differ."""
    yield f"{'':<12}{'before':>16}{'after':>16}{'left':>8}"
    for label, name in _ROWS:
        old, new = getattr(before, name), getattr(after, name)
        yield f"{label:<12}{old:>16,}{new:>16,}{new / old:>8.1%}" if old else f"{label:<12}{old:>16,}{new:>16,}"
    if len(before.layers) != len(after.layers):
        yield f"The models have {len(before.layers)} and {len(after.layers)} layers, which are not compared."
        return
    changes = changed_layers(before, after)
    yield f"{len(changes)} of {len(before.layers)} layers have other channels{':' if changes else ''}"
    for change in changes:
        yield (f"  {change.name}: in {change.in_channels[0]} -> {change.in_channels[1]}, "
               f"out {change.out_channels[0]} -> {change.out_channels[1]}")


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Count two models, such as before and after pruning, "
                                     "from their graphs: convolutions and fully connected layers.")
    for name in ("before", "after"):
        parser.add_argument(name, metavar=name.upper(), type=Path, help="model.onnx, or model.xml of an IR")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)

    def compare() -> int:
        print(*table(count_in(arguments.before), count_in(arguments.after)), sep="\n")
        return 0

    return run_guarded(PROGRAM, compare)


if __name__ == "__main__":
    sys.exit(run_command(PROGRAM, main))
