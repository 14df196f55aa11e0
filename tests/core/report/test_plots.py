import itertools
import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from core.report import plots
from core.report.content import ClassAp
from core.report.plots import (
    BASELINE,
    pareto,
    pareto_front,
    per_class_bars,
    precision_recall,
    speed_and_size,
    training_curves,
    waterfall_bars,
)
from core.report.training_log import read_training_log
from core.training.ready_made import NAMES

COLOURS = {"FP32": BASELINE, "compressed": "#009e73", "int8": "#009e73", "pruned": "#d55e00"}


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter("text")]


def height(svg):
    return float(ElementTree.fromstring(svg).get("viewBox").split()[3])


def curves(file):
    return training_curves(read_training_log(file), BASELINE, "t-", "curves")


def class_names(count):
    return tuple(ClassAp(f"class {index}", 0.5, ((0.5 - index / 1000, 0.5 - index / 500),)) for index in range(count))


def bars(classes):
    return per_class_bars(classes, "FP32", ["int8"])


def test_curves_show_loss_accuracy_and_learning_rate(write_log):
    shown = texts(curves(write_log()))
    assert {"Training loss", "Accuracy on the validation split", "Learning rate", "mAP", "mAP50", "iterations",
            "mean of the epoch", "epoch"} <= set(shown)
    assert "0.4123" in shown, "the best mAP is written at its epoch"


def test_curves_without_validation_say_so(write_log):
    assert "no validation in this log" in texts(curves(write_log(with_val=False)))


def test_curves_of_an_empty_log_say_so(write_log):
    shown = texts(curves(write_log(epochs=0)))
    assert {"no logged iterations", "no validation in this log", "no logged learning rate"} <= set(shown)


def test_curves_of_a_single_row(write_log):
    assert "iterations" not in texts(curves(write_log(epochs=1, iterations=5)))


def test_curves_pass_over_what_is_not_a_number(tmp_path):
    file = tmp_path / "log.json"
    file.write_text('{"mode": "env", "epochs": 2, "iters_per_epoch": 1}\n'
                    '{"mode": "train", "epoch": 1, "iter": 1, "lr": 0.1, "loss": NaN}\n'
                    '{"mode": "val", "epoch": 1, "map": null, "map50": 0.5}\n')
    svg = curves(file)
    assert "no logged iterations" in texts(svg) and "0.5000" in texts(svg)
    assert "nan" not in svg.lower()


def test_an_accuracy_of_zero_is_drawn(tmp_path):
    file = tmp_path / "log.json"
    file.write_text('{"mode": "env", "epochs": 1, "iters_per_epoch": 1}\n'
                    '{"mode": "val", "epoch": 1, "map": 0.0, "map50": 0.0}\n')
    assert "0.0000" in texts(curves(file))


def test_long_logs_stay_small(write_log):
    svg = curves(write_log(epochs=100, iterations=500, every=5))
    assert len(svg) < 60_000


@pytest.mark.parametrize("count", [1, 3, 12, 30])
def test_every_class_is_shown_up_to_thirty(count):
    svg = bars(class_names(count))
    assert [name for name in texts(svg) if name.startswith("class ")] == [f"class {index}" for index in range(count)]
    assert height(svg) < 860


def test_of_more_classes_the_worst_thirty_are_shown():
    svg = bars(class_names(80))
    shown = [name for name in texts(svg) if name.startswith("class ")]
    assert shown == [f"class {index}" for index in range(79, 49, -1)]
    assert height(svg) < 860


def test_class_names_are_shown_as_they_are():
    names = ["<script>", "\u7ea2\u7ec6\u80de", "$a$ & $b$", "a\x00b"]
    shown = texts(bars([ClassAp(name, 0.5, ((0.4, 0.3),)) for name in names]))
    assert {"<script>", "\u7ea2\u7ec6\u80de", "$a$ & $b$", "a\ufffdb"} <= set(shown)


def test_long_names_are_cut_so_that_bars_keep_their_room():
    svg = bars([ClassAp("x" * 300, 0.5, ((0.4, 0.3),))])
    assert "x" * 31 + "\u2026" in texts(svg)


def test_undefined_ap_is_said_and_not_drawn_as_zero():
    shown = texts(bars([ClassAp("a", math.nan, ((math.nan, math.nan),)), ClassAp("b", 0.0, ((0.0, 0.0),))]))
    assert shown.count("AP undefined") == 1 and shown.count("0.0000") == 3


def test_speed_and_size_are_written_at_their_bars(measured):
    shown = texts(speed_and_size(measured().summary(), COLOURS))
    assert {"91.2", "214", "21.1", "9.02", "14.2", "3.94", "Size, MB (lower is better)"} <= set(shown)


def test_every_candidate_has_its_bars(three):
    shown = texts(speed_and_size(three.summary(), COLOURS))
    assert shown.count("91.2") == 1 and shown.count("214") == 2 and shown.count("pruned") == 3
    shown = texts(per_class_bars([ClassAp("a", 0.5, ((0.4, 0.3), (0.2, 0.1)))], "FP32", ["int8", "pruned"]))
    assert {"0.5000", "0.4000", "0.3000", "0.2000", "0.1000", "int8 IR", "pruned PyTorch"} <= set(shown)


def test_models_stand_over_speed_and_over_size_and_the_chosen_one_has_a_ring(three):
    svg = pareto(three.summary(), COLOURS)
    shown = texts(svg)
    assert all(shown.count(name) == 2 for name in ("FP32", "int8", "pruned"))
    assert {"Throughput, images/s (more is better)", "Size, MB (less is better)"} <= set(shown)
    unmeasured = three.summary().model_copy(update={"fps": math.nan, "size_mb": math.nan})
    assert texts(pareto(unmeasured, COLOURS)).count("int8") == 0


@pytest.mark.parametrize("speeds", [
    # A CPU that gains nothing from int8, then one on which all are equal.
    (0.99, 1.01, 1.25, 1.27, 1.1, 1.12, 1.5, 1.55, 0.99), (1.0,) * 9])
def test_no_name_covers_another(measured, monkeypatch, speeds):
    """Those of nine candidates were one blot."""
    figures = []

    def extents(figure, *others):
        renderer = FigureCanvasAgg(figure).get_renderer()
        for item in (item for panel in figure.axes for item in panel.texts):
            item.update_positions(renderer)
        # Without the lines that lead to the points.
        figures.append([{item.get_text(): Text.get_window_extent(item, renderer) for item in panel.texts}
                        for panel in figure.axes])
        return ""

    monkeypatch.setattr(plots, "inline_svg", extents)
    first = measured().summary()
    found = []
    for place, (name, speed) in enumerate(zip(NAMES, speeds)):
        models = first.provenance.models.model_copy(update={"candidate": name})
        found.append(first.model_copy(update={
            "fps": 90 * speed, "size_mb": 4 + 0.3 * (place % 4), "map_ir": 0.4 - 0.001 * (place % 3),
            "provenance": first.provenance.model_copy(update={"models": models})}))
    pareto(found[0].model_copy(update={"further": tuple(found[1:])}), dict.fromkeys(("FP32", *NAMES), BASELINE))
    for boxes in figures[0]:
        assert set(boxes) == {"FP32", *NAMES}
        covered = [(one, other) for one, other in itertools.combinations(boxes, 2) if boxes[one].overlaps(boxes[other])]
        assert not covered


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5))), st.booleans())
def test_the_front_has_what_no_other_model_beats(points, more_is_better):
    def beats(one, other):
        reach = one[0] - other[0] if more_is_better else other[0] - one[0]
        return one != other and reach >= 0 and one[1] >= other[1]

    expected = {point for point in points if not any(beats(other, point) for other in points)}
    front = pareto_front(points, more_is_better)
    assert set(front) == expected and len(front) == len(expected)
    assert front == sorted(front, reverse=more_is_better)


def test_unmeasured_speed_is_said(measured):
    summary = measured().summary().model_copy(update={"fps": math.nan, "baseline_fps": math.nan})
    assert texts(speed_and_size(summary, COLOURS)).count("n/a") == 2


def test_models_have_the_page_s_colours():
    assert set(re.findall(r"var\(--(\w+)", bars(class_names(3)))) >= {"baseline", "candidate", "ir"}


def test_the_waterfall_shows_every_form(measured):
    steps = [(str(step), BASELINE, form.metrics) for step, form in measured().run().validation.steps()]
    steps[-1] = (*steps[-1][:2], steps[-1][2].model_copy(update={"map50": math.nan}))
    shown = texts(waterfall_bars(steps))
    assert {"FP32 PyTorch", "compressed IR", "0.4047", "0.7404", "0.4021"} <= set(shown) and "0.7374" not in shown


def test_precision_over_recall_of_each_class():
    curve = tuple(1 - step / 100 for step in range(101))
    svg = precision_recall(["RBC", "<b>", "none"], [
        ("FP32", BASELINE, {"RBC": curve, "<b>": curve, "none": None}), ("int8", "#009e73", {"RBC": curve})])
    shown = texts(svg)
    assert {"RBC", "<b>", "none", "FP32", "int8", "no box in the test split"} <= set(shown)


def test_curves_of_many_classes_stay_small():
    curve = tuple(round(1 - (step / 100) ** 2, 4) for step in range(101))
    names = [f"class {number}" for number in range(12)]
    assert len(precision_recall(names, [(name, BASELINE, dict.fromkeys(names, curve)) for name in "ab"])) < 100_000
