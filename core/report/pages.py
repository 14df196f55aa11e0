"""report.html and report.md: one file each with everything in it, no script and no request to anywhere."""

import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from core.base.text import counted
from core.report import plots
from core.report.choice import name_of
from core.report.content import ReportContent, remarks, worst_first
from core.report.provenance import algorithm_names, provenance_facts
from core.report.samples import Image, embed
from core.report.table import comparison, tone
from core.report.text import NOT_MEASURED, difference, displayable, fraction, metric_prefix, quantity, ratio
from core.results.summary import Summary
from core.results.validation import Candidate, Model, Validation

TEMPLATES = Path(__file__).parent / "templates"
LIMIT_BYTES = 1_000_000
MOST_SAMPLES = 24
MOST_LETTERS = 4000
# Of the sentences that say how many pictures were left out.
_SENTENCES_BYTES = 500
_MARKS = re.compile(r"([\\`*_{}\[\]#|~!])")


@dataclass(frozen=True)
class Gallery:
    """The pictures that fit into a page, each a URI and a caption, and how many there are in all."""

    shown: Sequence[tuple[str, str]]
    total: int

    @property
    def left_out(self) -> int:
        return self.total - len(self.shown)


def render_html(content: ReportContent) -> str:
    """Return the page, below ``LIMIT_BYTES`` in UTF-8: pictures that do not fit are left out and counted.

    All text from outside (class names, file names, paths, warnings) is escaped.
    """
    names = [model.name for model in content.run.validation.models]
    failed = [name for name in content.logs if name not in names]
    colours = {names[0]: plots.BASELINE,
               **{name: plots.colours_of(place)[0] for place, name in enumerate([*names[1:], *failed])}}
    values = {
        **_values(content), "css": Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        "plots": _plots(content, colours), "most_bars": plots.MOST_CLASSES, "most_curves": plots.MOST_CURVES,
        "tolerated": content.summary.provenance.thresholds.max_map_drop, "shrinkage": _shrinkage, "tone": tone,
        "structure_header": [cell for name in names[1:] for cell in (f"{name} IR", "ratio")],
        "structure_rows": _structure_rows(content.run.validation),
        **_speed_tables(content.run.validation),
        "confusion_rows": functools.partial(_confusion_rows, content.run.validation)}
    page = _environment(lambda value: value if isinstance(value, Markup) else displayable(str(value), MOST_LETTERS)
                        ).get_template("report.html.jinja")

    def render(worst: Gallery, samples: Gallery) -> str:
        return page.render(**values, worst=worst, samples=samples).lstrip()

    empty = [Gallery([("", picture.caption) for picture in pictures[:MOST_SAMPLES]], len(pictures))
             for pictures in (content.worst, content.samples)]
    room = LIMIT_BYTES - 1 - _SENTENCES_BYTES - len(render(*empty).encode("utf-8"))
    # What is still to come keeps its half of the room.
    worst = _embedded(content.worst, room // 2)
    return render(worst, _embedded(content.samples, room - sum(len(uri) for uri, _ in worst.shown)))


def render_markdown(content: ReportContent) -> str:
    """Return the page. Text from outside cannot end a table cell, nor become markup or HTML."""
    return _environment(escaped, html=False).get_template("report.md.jinja").render(**_values(content)).strip() + "\n"


def escaped(text: object) -> object:
    """Return ``text`` so that Markdown shows it as it is, in a table cell too."""
    if isinstance(text, Markup):
        return text
    plain = displayable(str(text), MOST_LETTERS).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKS.sub(r"\\\1", plain)


def _environment(finalize: Callable[[object], object], html: bool = True) -> Environment:
    """Return templates whose every expression passes ``finalize``, in HTML also the escaping of markup."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=html, finalize=finalize,
                              undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(fraction=fraction, difference=difference, quantity=quantity, ratio=ratio,
                               counted=counted, known=math.isfinite, short=displayable)
    return environment


def _values(content: ReportContent) -> dict[str, Any]:
    validation = content.run.validation
    algorithms = {one.model.name: algorithm_names(one.summary) for one in content.candidates}
    model = PurePosixPath(content.summary.provenance.configs.model).stem or "Model"
    neighbours = [pair for one in validation.models for pair in one.neighbours]
    return {
        "content": content, "candidate_rows": _candidate_rows(content),
        "took": "took, cost" if content.summary.choice and content.summary.choice.price_per_hour else "took",
        "algorithms": algorithms,
        "algorithms_title": _title(algorithms), "choosing": _choosing(content.summary),
        "title": f"{model}, {_title(algorithms)}",
        "remarks": remarks(content), "comparison": comparison, "provenance_facts": provenance_facts,
        "worst_first": worst_first,
        "form_rows": [[str(step), fraction(form.metrics.map), fraction(form.metrics.map50)]
                      for step, form in validation.steps()],
        "missing": "; ".join(f"{one.name} {form.title}: {reason}" for one in validation.models
                             for form, reason in one.missing.items()),
        "neighbour_rows": [[f"{pair.first} to {pair.second}", difference(pair.map_change), f"{pair.share:.2%}",
                            pair.matched, pair.only_first, pair.only_second, fraction(pair.largest_score_difference)]
                           for pair in neighbours]}


def _choosing(summary: Summary) -> str:
    """Return what was chosen of several candidates, a sentence; empty where there is one."""
    if summary.choice is None:
        return ""
    if not summary.passed:
        return "No candidate keeps the limits. The one that misses the fewest of them is judged, and none is published."
    return f"Chosen is the best {summary.choice.objective.value} within the limits."


def _candidate_rows(content: ReportContent) -> list[list[str]]:
    """Return a row on each candidate of a choice: its name, what it is like, what it took, and at the end why."""
    found = {name_of(one): one for one in content.summary.all}
    rows = []
    for one in content.summary.choice.candidates if content.summary.choice else ():
        measured = found.get(one.name)
        figures = [NOT_MEASURED] * 5 if measured is None else [
            fraction(measured.map_ir), f"{fraction(measured.map_drop)} ({fraction(measured.map_drop_low)} to "
            f"{fraction(measured.map_drop_high)})", ratio(measured.speedup), quantity(measured.latency_ms_p50),
            quantity(measured.size_mb)]
        device = counted(one.gpus, "GPU") if one.gpus else "CPU"
        took = f"{one.hours:.1f} h" if one.hours >= 1 else f"{60 * one.hours:.1f} min"
        price = content.summary.choice.price_per_hour
        cost = f", {_cost(price * one.hours)}" if price else ""
        epochs = f"{one.result_epoch} of {one.epochs}" if 0 < one.result_epoch < one.epochs else str(one.epochs)
        rows.append([f"{one.name}, chosen" if one.chosen else one.name, *figures,
                     f"{took}, {device}{cost}", epochs,
                     one.why + (f" {one.decision}" if one.decision else "")])
    return rows


def _cost(amount: float) -> str:
    """Write what a candidate cost: a few minutes of a cheap machine are little, and not nothing."""
    return "below 0.01" if 0 < amount < 0.01 else quantity(amount)


def _title(algorithms: Mapping[str, str]) -> str:
    if len(algorithms) == 1:
        return next(iter(algorithms.values()))
    return " / ".join(f"{name} ({names})" for name, names in algorithms.items())


def _embedded(pictures: Sequence[Image], room: int) -> Gallery:
    shown = [(Markup(uri), caption) for uri, caption in embed(pictures[:MOST_SAMPLES], room)]
    return Gallery(shown, len(pictures))


def _plots(content: ReportContent, colours: dict[str, str]) -> dict[str, Any]:
    validation = content.run.validation
    names = [candidate.name for candidate in validation.candidates]
    ir_colours = {validation.baseline.name: plots.BASELINE,
                  **{name: plots.colours_of(place)[1] for place, name in enumerate(names)}}
    steps = [(str(step), ir_colours[step.model], form.metrics) for step, form in validation.steps()]
    curves = plots.precision_recall([item.name for item in worst_first(content.classes, plots.MOST_CURVES)],
                                    [(one.name, ir_colours[one.name], one.ir.curves) for one in validation.models])
    drawn = [(name, log) for name, log in content.logs.items() if not log.passed_through]
    # All logs together have as many points as three long ones.
    most = max(plots.MOST_POINTS * 3 // max(len(drawn), 3), 24)
    training = {name: Markup(plots.training_curves(
        log, colours[name], f"train{place}-", f"{name}: loss, validation accuracy and learning rate", most))
        for place, (name, log) in enumerate(drawn)}
    choice = Markup(plots.pareto(content.summary, ir_colours)) if content.summary.choice else ""
    sensitivity = {one.name: Markup(plots.sensitivity_bars(one.sensitivity, f"sensitivity{place}-"))
                   for place, one in enumerate(validation.candidates) if one.sensitivity}
    return {"pareto": choice, "sensitivity": sensitivity,
            "speed": Markup(plots.speed_and_size(content.summary, ir_colours)),
            "waterfall": Markup(plots.waterfall_bars(steps)),
            "classes": Markup(plots.per_class_bars(content.classes, validation.baseline.name, names)),
            "curves": Markup(curves), "training": training}


def _shrinkage(before: float, after: float) -> str:
    if not (before > 0 and after > 0):
        return NOT_MEASURED
    return f"{ratio(before / after)} smaller" if after <= before else f"{ratio(after / before)} larger"


def _speed_tables(validation: Validation) -> dict[str, list[list[Any]]]:
    """Return rows on each candidate's speed-up beside what the CPU allows, and on each model under both hints."""
    bounds, rows = [], []
    for one in validation.candidates:
        found, bound = one.speedups, one.bound
        cells = [f"{ratio(each.median)} ({ratio(each.low)} to {ratio(each.high)})" for each in (found.wall, found.cpu)]
        known = [NOT_MEASURED] * 3 if bound is None else [ratio(bound.speedup.median), f"{bound.share:.2f}",
                                                          ratio(bound.int8.median)]
        bounds.append([one.name, *cells, {"wall": "wall time", "cpu": "CPU time"}[found.source], *known])
    for model in validation.models:
        for speed in (model.ir.throughput, model.ir.latency):
            low, high = min(speed.fps_repeats), max(speed.fps_repeats)
            times = [value for _, value in speed.latency_ms] + [speed.compile_ms, speed.first_inference_ms]
            rows.append([f"{model.name}, {speed.hint.lower()}",
                         f"{quantity(speed.fps)} ({quantity(low)} to {quantity(high)})", quantity(speed.cpu_ms),
                         f"{speed.cpu_share:.2f}", *map(quantity, times),
                         speed.streams, speed.requests, speed.threads, speed.batch])
    return {"bound_rows": bounds, "speed_rows": rows}


def _structure_rows(validation: Validation) -> list[list[str]]:
    """Return what the IRs consist of: the baseline's, then each candidate's with the ratio."""
    rows: list[tuple[str, Callable[[Model], float]]] = [
        ("Parameters", lambda model: model.ir.structure.parameters),
        ("of these not 0", lambda model: model.ir.structure.nonzero),
        ("FLOPs", lambda model: model.ir.structure.flops), ("Channels", lambda model: model.ir.structure.channels),
        ("Bytes", lambda model: model.ir.size_mb * 1e6)]
    found = []
    for label, count in rows:
        before = count(validation.baseline)
        cells = [(metric_prefix(count(one)), ratio(count(one) / before) if before else "")
                 for one in validation.candidates]
        found.append([label, metric_prefix(before), *(cell for pair in cells for cell in pair)])
    shares = [f"{model.ir.execution.int8_share:.1%}" for model in validation.models]
    return [*found, ["Work in int8", shares[0], *(cell for share in shares[1:] for cell in (share, ""))]]


def _confusion_rows(validation: Validation, candidate: Candidate) -> list[list[str]]:
    before, after = validation.baseline.ir.confusion.counts, candidate.ir.confusion.counts
    return [[name, *(str(now) if now == was else f"{now} ({was})" for was, now in zip(*rows))]
            for name, *rows in zip([*validation.classes, "background"], before, after)]
