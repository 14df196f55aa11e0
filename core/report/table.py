"""The key figures of a candidate beside its baseline's, and their plain-text form for a terminal."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from core.report.gate import judge
from core.report.text import difference, fraction, quantity, ratio
from core.results.summary import Summary


@dataclass(frozen=True)
class Row:
    """One measured property; PyTorch is None where a property is only of the IR.

    ``measured_ratio`` is given where the ratio was measured itself and not computed from the two figures.
    """

    label: str
    baseline_pytorch: float | None
    candidate_pytorch: float | None
    baseline_ir: float
    candidate_ir: float
    write: Callable[[float | None], str]
    higher_is_better: bool
    measured_ratio: float | None = None

    @property
    def accuracy(self) -> bool:
        return self.baseline_pytorch is not None

    @property
    def reference(self) -> float:
        """What the candidate's IR is compared with: for accuracy the baseline in PyTorch, as map_drop does, else its
        IR."""
        return self.baseline_ir if self.baseline_pytorch is None else self.baseline_pytorch

    @property
    def change(self) -> float:
        return self.candidate_ir - self.reference

    @property
    def ratio(self) -> float | None:
        if self.measured_ratio is not None:
            return self.measured_ratio
        return self.candidate_ir / self.reference if self.reference else None

    @property
    def change_text(self) -> str:
        """Return the change for people."""
        if self.accuracy:
            return difference(self.change)
        sign = "+" if self.change > 0 else "-" if self.change < 0 else ""
        return f"{sign}{quantity(abs(self.change))}"

    def tone(self, tolerated: float) -> str:
        """Return ``good`` for a gain beyond what is tolerated of accuracy, ``bad`` for such a loss, else nothing."""
        return tone(self.change if self.higher_is_better else -self.change, tolerated if self.accuracy else 0.0)


def tone(gain: float, tolerated: float) -> str:
    """Return ``good`` or ``bad`` for a change beyond what is tolerated, else nothing."""
    return "good" if gain > tolerated else "bad" if gain < -tolerated else ""


def comparison(summary: Summary) -> list[Row]:
    """Return the rows of the key table."""
    return [
        Row("mAP", summary.baseline_map, summary.map_pytorch, summary.baseline_map_ir, summary.map_ir, fraction, True),
        Row("mAP50", summary.baseline_map50, summary.map50_pytorch, summary.baseline_map50_ir, summary.map50_ir,
            fraction, True),
        Row("Throughput, images/s", None, None, summary.baseline_fps, summary.fps, quantity, True, summary.speedup),
        Row("Latency p50, ms", None, None, summary.baseline_latency_ms_p50, summary.latency_ms_p50, quantity, False,
            # By the time that counts, as the choice goes.
            1 / summary.speed.latency_gain if summary.speed.latency_gain > 0 else None),
        Row("Size, MB", None, None, summary.baseline_size_mb, summary.size_mb, quantity, False),
    ]


def terminal_table(record: Mapping[str, Any]) -> str:
    """Return the table that ends a run, from the dict in ``summary.json``: baseline, candidate, change, the verdict.

    Of several candidates it is the chosen one's, and a line on each says why it was chosen or not.

    Raises:
        UserError: The dict is not a summary.
    """
    summary = Summary.from_json(record, "summary")
    lines = [f"{'chosen' if one.chosen else 'not chosen'}: {one.name}. {one.why}"
             for one in (summary.choice.candidates if summary.choice else ())]
    return "\n\n".join([_table(summary), *(["\n".join(lines)] if lines else [])])


def _table(summary: Summary) -> str:
    names = summary.provenance.models
    cells = [["", names.baseline, names.candidate, "change"]]
    for row in comparison(summary):
        forms = (("PyTorch", row.baseline_pytorch, row.candidate_pytorch),
                 ("OpenVINO", row.baseline_ir, row.candidate_ir))
        if row.accuracy:
            cells += [[f"{row.label}, {form}", row.write(before), row.write(after), difference(after - before)]
                      for form, before, after in forms]
        else:
            cells.append([row.label, row.write(row.baseline_ir), row.write(row.candidate_ir), ratio(row.ratio)])
    verdict = judge(summary, summary.provenance.thresholds)
    sentences = [check.sentence for check in verdict.checks] if verdict.passed else verdict.reasons
    first, *widths = (max(map(len, column)) for column in zip(*cells))
    head, *lines = (line[0].ljust(first) + "".join(f"  {text:>{width}}" for text, width in zip(line[1:], widths))
                    for line in cells)
    return "\n".join([head, "-" * len(head), *lines, "", f"{summary.verdict.upper()}: {'; '.join(sentences)}."])
