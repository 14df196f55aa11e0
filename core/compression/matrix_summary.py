"""What the README shows of the table of detectors and algorithms."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.base.errors import UserError

if TYPE_CHECKING:
    from core.compression.matrix import Row

FAILED = "FAILED"
"""The outcome of a stage that failed."""
AS_WITHOUT = "as without"
"""Begins the aside of a row whose post-processing could not be part of the graph."""
BEGIN, END = "<!-- begin detectors -->", "<!-- end detectors -->"


def summary(rows: Sequence["Row"]) -> str:
    """Return a Markdown table of detectors by algorithms: how far each row came."""
    algorithms = list(dict.fromkeys(row.algorithm for row in rows))
    found: dict[tuple[str, str], str] = {(row.detector, row.algorithm): _came(row) for row in rows}
    lines = [f"| detector | {' | '.join(algorithms)} |", "|---|" + "---|" * len(algorithms)]
    for detector in dict.fromkeys(row.detector for row in rows):
        cells = [found.get((detector, algorithm), "") for algorithm in algorithms]
        lines.append(f"| {detector} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write_summary(path: Path, rows: list["Row"]) -> None:
    """Replace what lies between the marks ``BEGIN`` and ``END`` of a Markdown file by the summary.

    Raises:
        UserError: The file does not have the two marks, in this order.
    """
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UserError("--readme", path, f"It must have a line {BEGIN} and, below it, a line {END}.",
                        "Add both where the table shall stand.")
    path.write_text(f"{before}{BEGIN}\n{summary(rows)}\n{END}{after}", encoding="utf-8")


def _came(row: "Row") -> str:
    failed = [stage for stage, cell in row.cells.items() if cell.outcome == FAILED]
    if failed:
        return f"fails at {failed[0]}"
    return "IR, raw heads compressed" if any(f"({AS_WITHOUT}" in cell.seen for cell in row.cells.values()) else "IR"
