"""The comparison of the FP32 with the compressed model, and its plain-text form for a terminal."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from core.report.gate import Thresholds, judge
from core.report.summary import Summary
from core.report.text import difference, fraction, quantity, ratio


@dataclass(frozen=True)
class Row:
    """One measured property; PyTorch is None where a property is only of the IR.

    ``measured_ratio`` is given where the ratio was measured itself and not computed from the two figures.
    """

    label: str
    fp32_pytorch: float | None
    compressed_pytorch: float | None
    fp32_ir: float
    compressed_ir: float
    write: Callable[[float | None], str]
    higher_is_better: bool
    measured_ratio: float | None = None

    @property
    def baseline(self) -> float:
        """What the compressed IR is compared with: PyTorch's FP32 for accuracy, as map_drop does, else the FP32 IR."""
        return self.fp32_ir if self.fp32_pytorch is None else self.fp32_pytorch

    @property
    def change(self) -> float:
        return self.compressed_ir - self.baseline

    @property
    def ratio(self) -> float | None:
        if self.measured_ratio is not None:
            return self.measured_ratio
        return self.compressed_ir / self.baseline if self.baseline else None


def comparison(summary: Summary) -> list[Row]:
    """Return the rows of the key table."""
    return [
        Row("mAP", summary.map_fp32, summary.map_compressed, summary.map_ir_fp32, summary.map_ir, fraction, True),
        Row("mAP50", summary.map50_fp32, summary.map50_compressed, summary.map50_ir_fp32, summary.map50_ir, fraction,
            True),
        Row("Throughput, images/s", None, None, summary.fps_fp32, summary.fps, quantity, True, summary.speedup),
        Row("Latency p50, ms", None, None, summary.latency_ms_p50_fp32, summary.latency_ms_p50, quantity, False),
        Row("Size, MB", None, None, summary.size_mb_fp32, summary.size_mb, quantity, False),
    ]


def terminal_table(record: Mapping[str, Any]) -> str:
    """Return the table that ends a run, from the dict in ``summary.json``: FP32, compressed, change, then the verdict.

    Raises:
        UserError: The dict is not a summary.
    """
    summary = Summary.from_json(record)
    cells = [["", "FP32", "compressed", "change"]]
    for row in comparison(summary):
        if row.fp32_pytorch is None:
            cells.append(_compared(row.label, row.fp32_ir, row.compressed_ir, row, ratio(row.ratio)))
            continue
        moved = row.compressed_pytorch - row.fp32_pytorch
        cells.append(_compared(f"{row.label}, PyTorch", row.fp32_pytorch, row.compressed_pytorch, row,
                               difference(moved)))
        cells.append(_compared(f"{row.label}, OpenVINO", row.fp32_ir, row.compressed_ir, row,
                               difference(row.compressed_ir - row.fp32_ir)))
    verdict = judge(summary.figures(), Thresholds(**summary.provenance["thresholds"]), summary.worst_class)
    sentences = [check.sentence for check in verdict.checks] if verdict.passed else verdict.reasons
    return "\n".join(_aligned(cells) + ["", f"{summary.verdict.upper()}: " + "; ".join(sentences) + "."])


def _compared(label: str, fp32: float, compressed: float, row: Row, change: str) -> list[str]:
    return [label, row.write(fp32), row.write(compressed), change]


def _aligned(cells: list[list[str]]) -> list[str]:
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = [line[0].ljust(widths[0]) + "".join(f"  {text:>{width}}" for text, width in zip(line[1:], widths[1:]))
             for line in cells]
    return [lines[0], "-" * len(lines[0]), *lines[1:]]
