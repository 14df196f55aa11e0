"""report.md: the same figures on one page of GitHub-flavoured Markdown."""

import re
from collections.abc import Sequence

from core.report.content import ReportContent, remarks, worst_first
from core.report.details import neighbour_row
from core.report.provenance import algorithm_names, provenance_facts
from core.report.table import comparison
from core.report.text import counted, difference, displayable, fraction, ratio, step_title

MOST_CLASSES = 30
_MARKS = re.compile(r"([\\`*_{}\[\]#|~!])")


def render_markdown(content: ReportContent) -> str:
    """Return the page. Text from outside cannot end a table cell, nor become markup or HTML."""
    summary = content.summary
    data, cpu = summary.provenance["data"], summary.provenance["cpu"]
    lines = [f"# Compression report: {summary.verdict}", "",
             f"{escaped(summary.provenance['configs']['model'])}, {escaped(algorithm_names(summary))}, "
             f"on {escaped(data['uri'])} ({counted(data['classes'], 'class', 'classes')}, "
             f"{counted(data['test_images'], 'test image')}), {content.created}.", ""]
    lines += [f"- {'met' if check.passed else '**missed**'}: {escaped(check.sentence)}"
              for check in content.verdict.checks]
    lines += ["", "## Figures", "", *_figures(content), "",
              "Change and ratio: the compressed IR against FP32 PyTorch for accuracy, against the FP32 IR for speed "
              f"and size. Speed on {escaped(cpu['name'])} ({escaped(cpu['instruction_set'])}); "
              f"{summary.int8_share:.1%} of the compressed model's convolution work in int8. "
              f"The mAP drop's 95 % interval over images: {fraction(summary.map_drop_low)} to "
              f"{fraction(summary.map_drop_high)}.", ""]
    lines += ["## Accuracy by class", "", *_classes(content), ""]
    lines += ["## Waterfall", "", *_waterfall(content), ""]
    notes = [f"- {escaped(note)}" for note in remarks(content)] or ["Nothing."]
    lines += ["## Left out and warnings", "", *notes, "", "## Provenance", "", *_provenance(content), ""]
    return "\n".join(lines)


def escaped(text: object) -> str:
    """Return ``text`` so that Markdown shows it as it is, in a table cell too."""
    plain = displayable(str(text), 400).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKS.sub(r"\\\1", plain)


def _figures(content: ReportContent) -> list[str]:
    rows = []
    for row in comparison(content.summary):
        values = [row.fp32_pytorch, row.compressed_pytorch, row.fp32_ir, row.compressed_ir]
        change = difference(row.change) if row.fp32_pytorch is not None else ""
        rows.append([row.label, *("" if value is None else row.write(value) for value in values), change,
                     ratio(row.ratio)])
    return _table(["", "FP32 PyTorch", "compressed PyTorch", "FP32 IR", "compressed IR", "change", "ratio"], rows)


def _classes(content: ReportContent) -> list[str]:
    classes, note = list(content.classes), []
    if len(classes) > MOST_CLASSES:
        note = [f"The {MOST_CLASSES} of {len(classes):,} classes with the largest drop.", ""]
        classes = worst_first(content.classes)[:MOST_CLASSES]
    rows = [[escaped(item.name), fraction(item.fp32), fraction(item.compressed), fraction(item.ir),
             difference(-item.drop)] for item in classes]
    return note + _table(["class", "FP32 PyTorch", "compressed PyTorch", "compressed IR", "change"], rows)


def _waterfall(content: ReportContent) -> list[str]:
    irs = content.measured.irs
    steps = [[step_title(step.name), fraction(step.map), fraction(step.map50)] for step in irs.waterfall.steps]
    pairs = [[escaped(cell) for cell in neighbour_row(pair)[:-1]] for pair in irs.waterfall.neighbours]
    return [*_table(["form", "mAP", "mAP50"], steps), "",
            *_table(["neighbours", "mAP", "agreement", "matched", "only first", "only second"], pairs)]


def _provenance(content: ReportContent) -> list[str]:
    rows = [[escaped(fact.label), f"`{fact.short}`" if fact.digest else escaped(fact.value) or "none"]
            for _, facts in provenance_facts(content.summary) for fact in facts]
    return _table(["", "value"], rows, numeric=False)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], numeric: bool = True) -> list[str]:
    rule = ["---"] + ["---:" if numeric else "---"] * (len(header) - 1)
    return [f"| {' | '.join(cells)} |" for cells in (header, rule, *rows)]
