"""The plots of a report, each one SVG element for the page.

Colours are from Okabe and Ito's palette (Color Universal Design, 2008), which people with any common colour
blindness tell apart; the models also differ by order and label.
"""

import contextlib
import math
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from core.report.content import ClassAp, worst_first
from core.report.svg import inline_svg
from core.report.table import comparison
from core.report.text import displayable, fraction
from core.report.training_log import TrainingLog
from core.results.accuracy import DetectionMetrics
from core.results.sensitivity import Sensitivity
from core.results.summary import Summary
from core.results.validation import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BASELINE = "#0072b2"
# Of each candidate in PyTorch and as IR; a page of more candidates begins again.
CANDIDATES = (("#e69f00", "#009e73"), ("#cc79a7", "#d55e00"), ("#f0e442", "#56b4e9"))
_INK, _MUTED, _RULE = "#1f2328", "#59636e", "#d1d9e0"
COLOURS = {BASELINE: "var(--baseline, #0072b2)", "#e69f00": "var(--candidate, #e69f00)",
           "#009e73": "var(--ir, #009e73)", _INK: "currentColor", _MUTED: "var(--muted, #59636e)",
           _RULE: "var(--rule, #d1d9e0)"}
WIDTH_INCHES = 10.0
MOST_CLASSES = 30
MOST_POINTS = 240
MOST_CURVES = 12
CURVES_IN_A_ROW = 4
MOST_GROUPS = 30
_NAME_SIZE = 8.5
_STYLE = {"font.size": 9.0, "text.color": _INK, "axes.labelcolor": _MUTED, "axes.edgecolor": _RULE,
          "axes.titlesize": 9.5, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.titlecolor": _INK,
          "axes.titlepad": 8.0, "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False,
          "axes.grid": True, "axes.axisbelow": True, "grid.color": _RULE, "grid.linewidth": 0.6,
          "xtick.color": _RULE, "ytick.color": _RULE, "xtick.labelcolor": _MUTED, "ytick.labelcolor": _MUTED,
          "xtick.major.size": 0.0, "ytick.major.size": 0.0, "legend.frameon": False, "legend.fontsize": 8.5,
          "legend.labelcolor": _INK, "lines.linewidth": 1.8, "figure.facecolor": "none", "axes.facecolor": "none",
          "text.parse_math": False}


def colours_of(candidate: int) -> tuple[str, str]:
    """Return the colours of a candidate, counted from 0, in PyTorch and as IR."""
    return CANDIDATES[candidate % len(CANDIDATES)]


def training_curves(log: TrainingLog, colour: str, prefix: str, description: str, most: int = MOST_POINTS) -> str:
    """Return loss, validation mAP and learning rate over the epochs, side by side.

    Args:
        colour: Of the model that is trained.
        prefix: Of the SVG's ids; another for every plot of a page.
        description: Read out instead of the picture.
        most: Points of a line; of more, neighbours are drawn as their mean.
    """
    from matplotlib.ticker import MaxNLocator

    with _figure(2.7, columns=3) as (figure, axes):
        figure.subplots_adjust(left=0.05, right=0.995, top=0.88, bottom=0.17, wspace=0.26)
        _loss(axes[0], log, colour, most)
        _validation_map(axes[1], log, colour, most)
        _learning_rate(axes[2], log, most)
        for panel in axes:
            panel.set_xlabel(log.unit)
            panel.set_xlim(0, max(log.length, 1) * 1.02)
            panel.grid(axis="x", visible=False)
            panel.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        return inline_svg(figure, prefix, description, COLOURS)


def per_class_bars(classes: Sequence[ClassAp], baseline: str, candidates: Sequence[str]) -> str:
    """Return horizontal bars of every class's AP; of more than 30 classes, the 30 with the largest drop.

    Args:
        baseline: Name of the baseline; ``candidates`` of the candidates.
    """
    shown = worst_first(classes, MOST_CLASSES)
    labels = [displayable(item.name, 32) for item in shown]
    series = [(f"{baseline} PyTorch", BASELINE, [item.baseline for item in shown])]
    for place, name in enumerate(candidates):
        for form, colour, which in zip(("PyTorch", "IR"), colours_of(place), (0, 1)):
            series.append((f"{name} {form}", colour, [item.candidates[place][which] for item in shown]))
    row_inches = (0.5 if len(shown) <= 12 else 0.34) * len(series) / 3
    legend = math.ceil(len(series) / 3)
    width, height = 5.4, 0.55 + 0.2 * legend + row_inches * len(shown)
    with _figure(height, columns=1, width=width) as (figure, (panel,)):
        figure.subplots_adjust(left=_label_inches(labels) / width, right=0.985, top=1 - (0.14 + 0.2 * legend) / height,
                               bottom=0.36 / height)
        _grouped_bars(panel, shown, series, with_values=len(shown) <= 12)
        _label_rows(panel, labels)
        panel.set_xlim(0, 1.1)
        panel.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
        panel.set_xlabel("AP at IoU 0.50:0.95")
        figure.legend(loc="upper left", ncols=3, handlelength=1.0, handletextpad=0.5, columnspacing=1.4,
                      borderpad=0.0, borderaxespad=0.3)
        return inline_svg(figure, "ap-", "AP of each class for every model", COLOURS)


def pareto(summary: Summary, colours: Mapping[str, str]) -> str:
    """Return the mAP of every IR over its throughput and over its size; the chosen candidate has a ring.

    A line joins the Pareto front: the models that no other one is as good as in both and better than in one. Bars are
    the 95 % intervals of what candidates lose; below the dashed line the loss is above its limit.

    Args:
        colours: Colour of each model by name.
    """
    baseline, limit = summary.provenance.models.baseline, summary.provenance.thresholds.max_map_drop
    chosen = summary.provenance.models.candidate
    sides = (("Throughput, images/s (more is better)", summary.baseline_fps, "fps"),
             ("Size, MB (less is better)", summary.baseline_size_mb, "size_mb"))
    with _figure(3.4, columns=2) as (figure, axes):
        figure.subplots_adjust(left=0.06, right=0.985, top=0.91, bottom=0.13, wspace=0.16)
        for panel, (title, before, name) in zip(axes, sides):
            panel.set_title("mAP of the IR")
            panel.set_xlabel(title)
            panel.axhline(summary.baseline_map - limit, color=_MUTED, linewidth=1.0, linestyle=(0, (4, 3)))
            points = [(baseline, before, summary.baseline_map_ir, (0.0, 0.0))]
            for one in summary.all:
                drop = summary.baseline_map - one.map_ir
                bars = (max(one.map_drop_high - drop, 0.0), max(drop - one.map_drop_low, 0.0))
                points.append((one.provenance.models.candidate, getattr(one, name), one.map_ir, bars))
            known = [point for point in points if math.isfinite(point[1]) and math.isfinite(point[2])]
            front = pareto_front([(x, y) for _, x, y, _ in known], more_is_better=name == "fps")
            panel.plot([x for x, _ in front], [y for _, y in front], color=_MUTED, linewidth=1.0, zorder=0)
            for model, x, y, bars in known:
                if all(map(math.isfinite, bars)) and any(bars):
                    panel.errorbar(x, y, yerr=[[bars[0]], [bars[1]]], color=colours[model], linewidth=1.2)
                panel.plot(x, y, "o", color=colours[model], markersize=7)
                if model == chosen:
                    panel.plot(x, y, "o", markerfacecolor="none", markeredgecolor=_INK, markersize=13)
            panel.margins(x=0.22, y=0.2)
            # An interval may end where no mAP can be.
            low, high = panel.get_ylim()
            panel.set_ylim(max(low, -0.01), min(high, 1.1))
            _write_names(panel, [(displayable(model, 24), x, y) for model, x, y, _ in known])
            if not known:
                _nothing(panel, "not measured")
        return inline_svg(figure, "pareto-", "mAP over throughput and over size of every model", COLOURS)


def pareto_front(points: Sequence[tuple[float, float]], more_is_better: bool) -> list[tuple[float, float]]:
    """Return the points (x, mAP), the best x first, that no other is as good as in both and better than in one."""
    front: list[tuple[float, float]] = []
    for point in sorted(set(points), key=lambda point: (-point[0] if more_is_better else point[0], -point[1])):
        if not front or point[1] > front[-1][1]:
            front.append(point)
    return front


def speed_and_size(summary: Summary, colours: Mapping[str, str]) -> str:
    """Return bars of throughput, latency and size of the baseline's and every candidate's IR.

    Args:
        colours: Colour of each model by name.
    """
    summaries = list(summary.all)
    names = [summary.provenance.models.baseline, *(one.provenance.models.candidate for one in summaries)]
    rows = [row for row in zip(*map(comparison, summaries)) if not row[0].accuracy]
    height = 0.47 + 0.49 * len(names)
    with _figure(height, columns=len(rows)) as (figure, axes):
        figure.subplots_adjust(left=0.085, right=0.985, top=1 - 0.29 / height, bottom=0.09 / height, wspace=0.5)
        for panel, row in zip(axes, rows):
            values = [row[0].baseline_ir, *(one.candidate_ir for one in row)]
            lengths = [value if math.isfinite(value) else 0.0 for value in values]
            panel.barh(range(len(names)), lengths, height=0.62, color=[colours[name] for name in names])
            for place, (value, length) in enumerate(zip(values, lengths)):
                panel.annotate(row[0].write(value), (length, place), xytext=(4, 0), textcoords="offset points",
                               va="center", fontweight="bold")
            panel.set_title(f"{row[0].label} ({'higher' if row[0].higher_is_better else 'lower'} is better)")
            _label_rows(panel, [displayable(name, 16) for name in names])
            panel.set_xlim(0, (max(lengths) or 1.0) * 1.18)
            panel.xaxis.set_visible(False)
            panel.spines["bottom"].set_visible(False)
            panel.grid(visible=False)
        return inline_svg(figure, "speed-", "Throughput, latency and size of the IRs", COLOURS)


def waterfall_bars(steps: Sequence[tuple[str, str, DetectionMetrics]]) -> str:
    """Return horizontal bars of mAP and mAP50 of each form of the models: title, colour and accuracy."""
    labels = [title for title, *_ in steps]
    width, height = 5.4, 0.55 + 0.42 * len(steps)
    with _figure(height, columns=1, width=width) as (figure, (panel,)):
        figure.subplots_adjust(left=_label_inches(labels) / width, right=0.985, top=0.99, bottom=0.36 / height)
        for place, (_, colour, metrics) in enumerate(steps):
            for value, alpha in ((metrics.map50, 0.35), (metrics.map, 1.0)):
                if math.isfinite(value):
                    panel.barh(place, value, height=0.62, color=colour, alpha=alpha)
                    panel.annotate(fraction(value), (value, place), xytext=(3, 0), textcoords="offset points",
                                   va="center", fontsize=7.5, color=_INK)
        _label_rows(panel, labels)
        panel.set_xlim(0, 1.1)
        panel.set_xlabel("mAP, paler mAP50")
        return inline_svg(figure, "waterfall-", "mAP and mAP50 of each form of the models", COLOURS)


def sensitivity_bars(sensitivity: Sensitivity, prefix: str = "sensitivity-") -> str:
    """Return horizontal bars of the error of each part that was compressed by itself, quantizers and filters side by
    side, the worst of each, with the mAP lost where it was measured."""
    panels = [(title, sensitivity.of(kind)[:MOST_GROUPS], colour) for title, kind, colour in
              (("Quantizers of one layer", "quantization", CANDIDATES[0][1]), ("Filters", "pruning", CANDIDATES[0][0]))]
    panels = [panel for panel in panels if panel[1]]
    height = 0.75 + 0.2 * max(len(groups) for _, groups, _ in panels)
    with _figure(height, columns=len(panels)) as (figure, axes):
        labels = [[displayable(group.name, 40) for group in groups] for _, groups, _ in panels]
        room = max(_label_inches(names) for names in labels) / WIDTH_INCHES
        figure.subplots_adjust(left=room, right=0.93, top=1 - 0.3 / height, bottom=0.36 / height, wspace=room * 3.2)
        for panel, names, (title, groups, colour) in zip(axes, labels, panels):
            panel.barh(range(len(groups)), [group.error for group in groups], height=0.7, color=colour)
            for place, group in enumerate(groups):
                if math.isfinite(group.map_drop):
                    panel.annotate(f"{-group.map_drop:+.4f} mAP", (group.error, place), xytext=(3, 0),
                                   textcoords="offset points", va="center", fontsize=7.5, color=_MUTED)
            panel.set_title(title)
            _label_rows(panel, names)
            panel.set_xlim(0, (max(group.error for group in groups) or 1.0) * 1.3)
            panel.set_xlabel("error of the raw outputs over their standard deviation")
        return inline_svg(figure, prefix, "Error of the outputs with one part compressed at a time", COLOURS)


def precision_recall(names: Sequence[str], irs: Sequence[tuple[str, str, Mapping[str, Curve | None]]]) -> str:
    """Return precision over recall of each class, four classes a row.

    Args:
        irs: Name, colour and curves of each model's IR.
    """
    rows = max(1, math.ceil(len(names) / CURVES_IN_A_ROW))
    height = 0.4 + 1.9 * rows
    with _figure(height, CURVES_IN_A_ROW, rows=rows) as (figure, panels):
        figure.subplots_adjust(left=0.04, right=0.995, top=1 - 0.26 / height, bottom=0.42 / height, wspace=0.18,
                               hspace=0.45)
        for panel in panels[len(names):]:
            panel.set_visible(False)
        for panel, name in zip(panels, names):
            panel.set_title(displayable(name, 32))
            panel.set_xlim(0, 1.02)
            panel.set_ylim(0, 1.05)
            known = [(curves[name], colour, label) for label, colour, curves in irs if curves.get(name) is not None]
            for curve, colour, label in known:
                # Every second point: the page holds many curves.
                panel.plot([step / 100 for step in range(0, 101, 2)], curve[::2], color=colour, label=label,
                           linewidth=1.4)
            if not known:
                _nothing(panel, "no box in the test split")
        if names:
            panels[0].legend(loc="lower left")
        return inline_svg(figure, "pr-", "Precision over recall of each class at IoU 0.5", COLOURS)


@contextlib.contextmanager
def _figure(height: float, columns: int, width: float = WIDTH_INCHES, rows: int = 1
            ) -> Iterator[tuple["Figure", list["Axes"]]]:
    """Give a figure and its panels; within the block all is drawn in the report's style."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), dpi=72)
        yield figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def _loss(panel: "Axes", log: TrainingLog, colour: str, most: int) -> None:
    panel.set_title("Training loss")
    points = [(log.done(row), row.losses.get("loss", math.nan)) for row in log.train]
    points = [point for point in points if math.isfinite(point[1])]
    if not points:
        return _nothing(panel, "no logged iterations")
    losses: dict[int, list[float]] = {}
    for row in log.train:
        if math.isfinite(row.losses.get("loss", math.nan)):
            losses.setdefault(row.epoch, []).append(row.losses["loss"])
    # At the middle of each epoch.
    means = [(epoch - 0.5, sum(values) / len(values)) for epoch, values in sorted(losses.items())]
    several = len(means) > 1
    panel.plot(*zip(*_thinned(points, most)), color=colour, linewidth=1.0 if several else 1.8,
               alpha=0.45 if several else 1, label="iterations")
    if several:
        panel.plot(*zip(*means), color=colour, label="mean of the epoch")
        panel.legend(loc="upper right")
    panel.set_ylim(0, max(loss for _, loss in points) * 1.05)


def _validation_map(panel: "Axes", log: TrainingLog, colour: str, most: int) -> None:
    panel.set_title("Accuracy on the validation split")
    curves = [("mAP50", (0, (4, 2)), "s", [(row.done, row.map50) for row in log.val]),
              ("mAP", "solid", "o", [(row.done, row.map) for row in log.val])]
    curves = [(*start, [point for point in points if math.isfinite(point[1])]) for *start, points in curves]
    if not any(points for *_, points in curves):
        return _nothing(panel, "no validation in this log")
    for label, dashes, marker, points in curves:
        if not points:
            continue
        panel.plot(*zip(*points), color=colour, linestyle=dashes, marker=marker, markersize=3.5, label=label,
                   clip_on=False, markevery=math.ceil(3 * len(points) / most))
        epoch, best = max(points, key=lambda point: point[1])
        panel.annotate(fraction(best), (epoch, best), xytext=(0, 6), textcoords="offset points", ha="center",
                       fontsize=8.5, fontweight="bold")
    panel.set_ylim(0, min(1.08, max(value for *_, points in curves for _, value in points) * 1.25 or 1.0))
    panel.legend(loc="lower right")


def _learning_rate(panel: "Axes", log: TrainingLog, most: int) -> None:
    panel.set_title("Learning rate")
    points = [(log.done(row), row.lr) for row in log.train if math.isfinite(row.lr)]
    if not points:
        return _nothing(panel, "no logged learning rate")
    panel.plot(*zip(*_thinned(points, most)), color=_MUTED)
    panel.set_ylim(bottom=0)
    panel.yaxis.set_major_formatter(lambda rate, _: f"{rate:g}")


def _write_names(panel: "Axes", points: Sequence[tuple[str, float, float]]) -> None:
    """Write names beside their points so that none covers another or a point; of one further away a line leads there.

    The panel must have its limits. Where there is no free place, as of very many, a name stands right of its point.
    """
    scale = 72 / panel.figure.dpi
    places = [tuple(scale * panel.transData.transform((x, y))) for _, x, y in points]
    room = panel.get_window_extent()
    left, right, bottom, top = (scale * edge for edge in (room.x0, room.x1, room.y0, room.y1))
    # Boxes as left, right, bottom, top, in points.
    taken = [(x - 5, x + 5, y - 5, y + 5) for x, y in places]
    for (name, x, y), (across, up) in zip(points, places):
        width, height = 1.15 * _ems(name) * _NAME_SIZE, 1.25 * _NAME_SIZE
        sides = (1, -1) if across < (left + right) / 2 else (-1, 1)
        shifts = [(side * away, way * step * height) for step in range(12) for away in (9, 30) for side in sides
                  for way in (1, -1)]
        starts = [across + shift - (width if shift < 0 else 0) for shift, _ in shifts]
        boxes = [(start, start + width, up + rise - height / 2, up + rise + height / 2)
                 for start, (_, rise) in zip(starts, shifts)]
        free = next((place for place, box in enumerate(boxes)
                     if left <= box[0] and box[1] <= right and bottom <= box[2] and box[3] <= top
                     and not any(_overlap(box, other) for other in taken)), 0)
        taken.append(boxes[free])
        shift, rise = shifts[free]
        panel.annotate(name, (x, y), xytext=(shift, rise), textcoords="offset points", fontsize=_NAME_SIZE,
                       ha="right" if shift < 0 else "left", va="center",
                       arrowprops={"arrowstyle": "-", "color": _MUTED, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 4}
                       if rise or abs(shift) > 9 else None)


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]


def _nothing(panel: "Axes", reason: str) -> None:
    panel.text(0.5, 0.5, reason, transform=panel.transAxes, ha="center", va="center", color=_MUTED)
    panel.yaxis.set_visible(False)


def _thinned(points: list[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """Return at most ``most`` points, each the mean of neighbours, so that long logs stay small."""
    step = math.ceil(len(points) / most)
    groups = [points[start:start + step] for start in range(0, len(points), step)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]


def _grouped_bars(panel: "Axes", classes: Sequence[ClassAp], series: Sequence[tuple[str, str, list[float]]],
                  with_values: bool) -> None:
    height = 0.78 / len(series)
    for number, (label, colour, values) in enumerate(series):
        places = [row + (number - (len(series) - 1) / 2) * height for row in range(len(classes))]
        panel.barh(places, [value if math.isfinite(value) else 0.0 for value in values], height=height * 0.9,
                   color=colour, label=label)
        for place, value in zip(places, values):
            if with_values and math.isfinite(value):
                panel.annotate(fraction(value), (value, place), xytext=(3, 0), textcoords="offset points",
                               va="center", fontsize=7.5, color=_MUTED)
    for row, item in enumerate(classes):
        if math.isnan(item.drop):
            panel.annotate("AP undefined", (0, row), xytext=(3, 0), textcoords="offset points", va="center",
                           fontsize=7.5, color=_MUTED)


def _label_rows(panel: "Axes", labels: Sequence[str]) -> None:
    panel.set_yticks(range(len(labels)), labels=labels, color=_INK)
    panel.set_ylim(len(labels) - 0.5, -0.5)
    panel.grid(axis="y", visible=False)


def _label_inches(labels: Sequence[str]) -> float:
    """Return room for the widest label at 9 points."""
    return 0.16 + max(map(_ems, labels), default=0) * 9.0 / 72


def _ems(label: str) -> float:
    """Return how wide a text is in its size: an average letter is half as wide as high, East Asian ones full."""
    return sum(1.0 if unicodedata.east_asian_width(char) in "WF" else 0.56 for char in label)
