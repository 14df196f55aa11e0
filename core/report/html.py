"""report.html: one file with everything in it, no script and no request to anywhere."""

import math
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from core.report.content import ClassAp, ReportContent, remarks, worst_first
from core.report.details import confusion, speeds, structure, waterfall
from core.report.markup import card, escape, plot
from core.report.plots import (
    COMPRESSED,
    FP32,
    MOST_CLASSES,
    MOST_CURVES,
    per_class_bars,
    precision_recall,
    speed_and_size,
    training_curves,
)
from core.report.provenance import Fact, algorithm_names, provenance_facts
from core.report.samples import Picture, embed
from core.report.style import CSS
from core.report.summary import Summary
from core.report.table import Row, comparison
from core.report.text import NOT_MEASURED, counted, difference, displayable, fraction, quantity, ratio
from core.report.training_log import TrainingLog

LIMIT_BYTES = 1_000_000
MOST_ROWS = 200
MOST_SAMPLES = 24
_SAMPLES_MARK, _WORST_MARK = "<!-- samples -->", "<!-- worst -->"


def render_html(content: ReportContent, limit_bytes: int = LIMIT_BYTES) -> str:
    """Return the page, below ``limit_bytes`` in UTF-8: pictures that do not fit are left out and counted.

    All text from outside (class names, file names, paths, warnings) is escaped.
    """
    page = _page(content)
    for mark, gallery, shown in ((_WORST_MARK, _worst, content.worst), (_SAMPLES_MARK, _samples, content.samples)):
        # What is still to come keeps its half of the room.
        room = (limit_bytes - 1 - len(page.encode("utf-8"))) // (2 if mark is _WORST_MARK else 1)
        page = page.replace(mark, _gallery(gallery, shown, room))
    return page


def _gallery(section: Callable[[list[tuple[str, str]], int], str], pictures: Sequence[Picture], room: int) -> str:
    """Return a section with as many pictures as fit into ``room`` bytes."""
    considered = pictures[:MOST_SAMPLES]
    captions = section([("", picture.caption) for picture in considered], len(pictures))
    embedded, left_out = embed(considered, room - len(captions.encode("utf-8")))
    return section(embedded, left_out + len(pictures) - len(considered))


def _page(content: ReportContent) -> str:
    title = _title(content.summary)
    tolerated = content.summary.provenance["thresholds"]["max_map_drop"]
    body = "\n".join([_header(content, title), _verdict(content), _tiles(content.summary),
                      _figures(content.summary, tolerated), waterfall(content.measured.irs),
                      _classes(content, tolerated), speeds(content.measured.irs), structure(content.measured.irs),
                      confusion(content.measured.irs.confusion), _curves(content), _WORST_MARK, _SAMPLES_MARK,
                      _notes(content), _provenance(content.summary)])
    return ("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
            f"<title>{escape(title)}: {content.summary.verdict}</title>\n<style>{CSS}</style>\n</head>\n"
            f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n")


def _title(summary: Summary) -> str:
    model = PurePosixPath(str(summary.provenance["configs"]["model"])).stem or "Model"
    return f"{model}, {algorithm_names(summary)}"


def _header(content: ReportContent, title: str) -> str:
    data = content.summary.provenance["data"]
    facts = [data["uri"], counted(data["classes"], "class", "classes"), counted(data["test_images"], "test image"),
             content.created]
    spans = "".join(f"<span>{escape(fact)}</span>" for fact in facts)
    return f"<p class=\"over\">Compression report</p>\n<h1>{escape(title)}</h1>\n<p class=\"facts\">{spans}</p>"


def _verdict(content: ReportContent) -> str:
    passed = content.verdict.passed
    headline = ("Passed: the compressed model is within its limits" if passed
                else "Failed: the compressed model is outside its limits")
    checks = "".join(f"<li class=\"{'met' if check.passed else 'missed'}\">{escape(check.sentence)}</li>"
                     for check in content.verdict.checks)
    return (f"<section class=\"verdict {'pass' if passed else 'fail'}\">"
            f"<div class=\"mark\" aria-hidden=\"true\">{'&#10003;' if passed else '&#10007;'}</div>"
            f"<div><strong>{headline}</strong><ul>{checks}</ul></div></section>")


def _tiles(summary: Summary) -> str:
    tiles = [("mAP of the compressed IR", fraction(summary.map_ir), "",
              f"FP32 {fraction(summary.map_fp32)}, change {difference(summary.map_ir - summary.map_fp32)}"),
             ("Speed-up", ratio(summary.speedup), "",
              f"{quantity(summary.fps_fp32)} to {quantity(summary.fps)} images/s"),
             ("Latency, median", quantity(summary.latency_ms_p50), "ms",
              f"FP32 {quantity(summary.latency_ms_p50_fp32)} ms"),
             ("Size", quantity(summary.size_mb), "MB",
              f"FP32 {quantity(summary.size_mb_fp32)} MB, {_shrinkage(summary.size_mb_fp32, summary.size_mb)}")]
    return "<section class=\"tiles\">" + "".join(
        f"<div class=\"tile\"><div class=\"name\">{name}</div><div class=\"value\">{value} <small>{unit}</small></div>"
        f"<div class=\"against\">{against}</div></div>" for name, value, unit, against in tiles) + "</section>"


def _shrinkage(before: float, after: float) -> str:
    if not (before > 0 and after > 0):
        return NOT_MEASURED
    return f"{ratio(before / after)} smaller" if after <= before else f"{ratio(after / before)} larger"


def _figures(summary: Summary, tolerated: float) -> str:
    cpu = summary.provenance["cpu"]
    rows = "".join(_figure_row(row, tolerated) for row in comparison(summary))
    table = (
        "<table class=\"key\"><thead><tr><th>Measured</th><th>FP32 PyTorch</th><th>compressed PyTorch</th>"
        "<th>FP32 IR</th><th>compressed IR</th><th>change</th><th>ratio</th></tr></thead>"
        f"<tbody>{rows}</tbody><caption>Change and ratio: the compressed IR against FP32 PyTorch for accuracy, "
        "against the FP32 IR for speed and size.</caption></table>")
    interval = (f" The mAP drop is {summary.map_drop:.4f}, 95 % interval over images {summary.map_drop_low:.4f} to "
                f"{summary.map_drop_high:.4f}.") if math.isfinite(summary.map_drop_low) else ""
    return card("Figures", f"Accuracy on the test split, speed on {cpu['name']} ({cpu['instruction_set']}, "
                f"{counted(cpu['cores'], 'core')}).{interval}",
                 f"<div class=\"scroll\">{table}</div>{plot(speed_and_size(summary))}")


def _figure_row(row: Row, tolerated: float) -> str:
    accuracy = row.fp32_pytorch is not None
    change = difference(row.change) if accuracy else _signed(row)
    tone = _tone(row.change if row.higher_is_better else -row.change, tolerated if accuracy else 0.0)
    pytorch = "".join(f"<td>{'' if value is None else row.write(value)}</td>"
                      for value in (row.fp32_pytorch, row.compressed_pytorch))
    return (f"<tr><th scope=\"row\">{escape(row.label)}</th>{pytorch}<td>{row.write(row.fp32_ir)}</td>"
            f"<td class=\"final\">{row.write(row.compressed_ir)}</td><td class=\"{tone}\">{change}</td>"
            f"<td>{ratio(row.ratio)}</td></tr>")


def _signed(row: Row) -> str:
    return f"{'+' if row.change > 0 else '-' if row.change < 0 else ''}{quantity(abs(row.change))}"


def _tone(gain: float, tolerated: float) -> str:
    """Return the CSS class of a change: only a loss beyond what is tolerated is bad, any gain beyond it good."""
    return "good" if gain > tolerated else "bad" if gain < -tolerated else ""


def _classes(content: ReportContent, tolerated: float) -> str:
    classes, irs = content.classes, content.measured.irs
    lead = "AP at IoU 0.50:0.95 on the test split."
    if len(classes) > MOST_CLASSES:
        lead += f" The plot shows the {MOST_CLASSES} of {len(classes):,} classes with the largest drop."
    shown = classes if len(classes) <= MOST_ROWS else tuple(worst_first(classes)[:MOST_ROWS])
    if len(shown) < len(classes):
        lead += f" The table shows the {MOST_ROWS} of {len(classes):,} classes with the largest drop."
    rows = "".join(_class_row(item, tolerated) for item in shown)
    table = ("<div class=\"scroll tall\"><table class=\"names\"><thead><tr><th>Class</th><th>FP32</th>"
             f"<th>compressed</th><th>IR</th><th>change</th></tr></thead><tbody>{rows}</tbody></table></div>")
    shown_curves = [item.name for item in worst_first(classes)][:MOST_CURVES]
    curves = precision_recall(shown_curves, irs.curves_fp32, irs.curves_compressed)
    note = "" if len(shown_curves) == len(classes) else f" of the {MOST_CURVES} classes with the largest drop"
    return card("Accuracy by class", lead,
                f"<div class=\"sides\">{plot(per_class_bars(classes), 'half')}{table}</div>"
                f"<h3>Precision over recall at IoU 0.5{note}, FP32 IR and compressed IR</h3>{plot(curves)}")


def _class_row(item: ClassAp, tolerated: float) -> str:
    name = escape(displayable(item.name))
    return (f"<tr><th scope=\"row\" title=\"{name}\">{name}</th><td>{fraction(item.fp32)}</td>"
            f"<td>{fraction(item.compressed)}</td><td>{fraction(item.ir)}</td>"
            f"<td class=\"{_tone(-item.drop, tolerated)}\">{difference(-item.drop)}</td></tr>")


def _curves(content: ReportContent) -> str:
    parent = content.summary.provenance["parent"]["uri"]
    given = f"The checkpoint {displayable(parent)} was given, so nothing was trained." if parent else \
        "Nothing was trained in this run."
    parts = [_curve("Training of the FP32 model", content.training_log, given, FP32, "train-"),
             _curve(f"Compression: {algorithm_names(content.summary)}", content.compression_log,
                    "The compressed model was not fine-tuned in this run.", COMPRESSED, "compress-")]
    return card("Training and compression", "", "".join(parts))


def _curve(heading: str, log: TrainingLog, nothing: str, colour: str, prefix: str) -> str:
    if log.passed_through:
        return f"<h3>{escape(heading)}</h3><p class=\"lead\">{escape(nothing)}</p>"
    seconds = sorted(row.seconds for row in log.train if math.isfinite(row.seconds))
    facts = f"{counted(log.epochs, 'epoch')} of {counted(log.iters_per_epoch, 'iteration')}"
    facts += f", {quantity(seconds[len(seconds) // 2])} s an iteration (median)." if seconds else "."
    curves = training_curves(log, colour, prefix, f"{heading}: loss, validation accuracy and learning rate")
    return f"<h3>{escape(heading)}</h3><p class=\"lead\">{facts}</p>{plot(curves)}"


def _worst(pictures: list[tuple[str, str]], left_out: int) -> str:
    if not pictures and not left_out:
        return ""
    lead = ("The test images on which two neighbouring forms of the model disagree most, each with its ground truth. "
            "Where compression costs accuracy, it shows here first.")
    return card("Worst images", lead + _left_out(left_out, len(pictures)), _figures_of(pictures))


def _samples(pictures: list[tuple[str, str]], left_out: int) -> str:
    if not pictures and not left_out:
        return ""
    lead = "Test images, each with its ground truth and with what the FP32 IR and the compressed IR found."
    return card("Sample images", lead + _left_out(left_out, len(pictures)), _figures_of(pictures))


def _figures_of(pictures: list[tuple[str, str]]) -> str:
    figures = "".join(f"<figure><img src=\"{uri}\" alt=\"Detections on {escape(displayable(caption))}\">"
                      f"<figcaption>{escape(displayable(caption))}</figcaption></figure>" for uri, caption in pictures)
    return f"<div class=\"pictures\">{figures}</div>"


def _left_out(left_out: int, shown: int) -> str:
    if not left_out:
        return ""
    return (f" {counted(left_out, 'picture')} of {shown + left_out} left out to keep this file below its size limit; "
            "the validation artifact holds all of them.")


def _notes(content: ReportContent) -> str:
    found = remarks(content)
    if not found:
        return card("Left out and warnings", "Nothing was left out: every test image was read and scored by every "
                     "model, and the measurements carry no warning.", "")
    return card("Left out and warnings", "", "<ul class=\"notes\">" + "".join(f"<li>{escape(note)}</li>"
                                                                             for note in found) + "</ul>")


def _provenance(summary: Summary) -> str:
    groups = "".join(f"<div><h3>{escape(heading)}</h3><table class=\"facts-table\"><tbody>"
                     + "".join(f"<tr><th scope=\"row\">{escape(fact.label)}</th><td>{_fact(fact)}</td></tr>"
                               for fact in facts) + "</tbody></table></div>"
                     for heading, facts in provenance_facts(summary))
    return card("Provenance", "What exactly was measured. Digests are SHA-256; the full one shows on hover and is in "
                "summary.json.", f"<div class=\"groups\">{groups}</div>")


def _fact(fact: Fact) -> str:
    if not fact.digest:
        return escape(displayable(fact.value, 400)) or "none"
    return f"<abbr title=\"{escape(fact.value)}\"><code>{escape(fact.short)}</code></abbr>"
