import dataclasses
import re
from html.parser import HTMLParser

import pytest
from markupsafe import Markup

from core.report import pages
from core.report.pages import LIMIT_BYTES, TEMPLATES, escaped, render_markdown
from core.results.summary import Thresholds
from core.training.ready_made import NAMES

VOID = {"meta", "img", "br", "link", "input"}
NASTY = ("<script>alert(1)</script>", "\" onload=\"x", "</td></table>")


class Page(HTMLParser):
    """The page as a browser's parser sees it: elements, attributes, text, and whether every element is closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self._open = [], "", []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data if self._open[-1:] != ["style"] else ""

    def having(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture()
def page_of(content_of, monkeypatch):
    """Return a function that renders the page of measurements; its plots take seconds and are left out by default."""
    def build(run, plots=False, **logs):
        content = content_of(run, **logs)
        with monkeypatch.context() as context:
            if not plots:
                drawn = dict.fromkeys(("speed", "waterfall", "classes", "curves"), Markup("<svg></svg>"))
                context.setattr(pages, "_plots", lambda content, colours: {
                    **drawn, "training": dict.fromkeys(colours, drawn["speed"])})
            text = pages.render_html(content)
        assert len(text.encode("utf-8")) < LIMIT_BYTES == 1_000_000
        return Page(text)

    return build


@pytest.fixture()
def markdown_of(content_of):
    return lambda run: render_markdown(content_of(run))


def worst(pictures):
    return [{**picture, "disagreement": 1.5} for picture in pictures]


def test_the_worst_images_are_shown_with_what_is_compared(measured, page_of, add_samples, tmp_path):
    run = measured()
    pictures = {"samples": []}
    add_samples(tmp_path / "validation", pictures, count=3)
    run.candidate["neighbours"][-1]["worst"] = worst(pictures["samples"][:2])
    run.validation["samples"] = pictures["samples"][2:]
    page = page_of(run)
    assert "FP32 IR beside compressed IR: BloodImage_00000.jpg" in page.text
    assert len(page.having("img")) == 3


def test_many_worst_images_leave_room_for_samples(measured, page_of, add_samples, tmp_path):
    run = measured()
    pictures = {"samples": []}
    add_samples(tmp_path / "validation", pictures, count=10)
    run.candidate["neighbours"][-1]["worst"] = worst(pictures["samples"][:8])
    run.validation["samples"] = pictures["samples"][8:]
    assert len(page_of(run).having("img")) == 10


def test_the_page_shows_every_part(measured, page_of):
    text = page_of(measured()).text
    for part in ("Passed: the compressed model is within its limits", "mAP drop 0.0026 is within the limit 0.0100",
                 "Figures", "Accuracy by class", "Training of the FP32 model",
                 "Compression of compressed: quantization",
                 "Left out and warnings", "Nothing was left out", "Provenance", "AMD EPYC 7B13", "2.35x", "0.4021",
                 "3.61x smaller", "da7ada7ada7a", "72 test images", "Waterfall", "Speed", "Structure", "Confusion",
                 "95 % interval over images -0.0031 to 0.0087", "Precision over recall"):
        assert part in text, part


def test_a_failed_run_has_its_page_with_the_reasons(measured, page_of):
    run = measured(maps=(0.4047, 0.39, 0.4047, 0.3821))
    run.candidate["speedup"]["median"] = 1.1
    text = page_of(run).text
    assert "Failed: the compressed model is outside its limits" in text
    assert "mAP drop 0.0226 is above the limit 0.0100" in text
    assert "speed-up 1.10x is below the minimum 1.20x" in text


def test_the_page_needs_nothing_but_itself(measured, page_of, add_samples, tmp_path):
    run = measured()
    add_samples(tmp_path / "validation", run.validation, count=2)
    page = page_of(run, plots=True)
    assert not {name for name, _ in page.elements} & {"script", "link", "iframe", "object", "base", "form", "video"}
    for _, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href"):
                assert value.startswith(("data:image/jpeg;base64,", "#"))
            if name == "style":
                assert "url(" not in value


def test_the_style_fetches_nothing():
    assert not re.search(r"url\(|@import|</", (TEMPLATES / "report.css").read_text())


def test_twelve_large_noisy_pictures_stay_below_the_limit(measured, page_of, add_samples, tmp_path):
    run = measured()
    add_samples(tmp_path / "validation", run.validation, count=12, width=1920, height=1080)
    page = page_of(run)
    assert len(page.having("img")) == 12
    assert "left out to keep this file" not in page.text


def test_pictures_that_do_not_fit_are_left_out_and_counted(measured, page_of, add_samples, tmp_path):
    run = measured()
    add_samples(tmp_path / "validation", run.validation, count=30, width=900, height=900)
    page = page_of(run)
    shown = len(page.having("img"))
    assert 0 <= shown < 30
    assert f"{30 - shown} pictures of 30 left out to keep this file below its size limit" in page.text


def test_text_from_outside_is_escaped_everywhere(measured, page_of, add_samples, tmp_path):
    run = measured(classes=NASTY)
    run.validation["corrupt_images"] = [{"image": name, "reason": NASTY[0]} for name in NASTY]
    run.evaluations[0]["warnings"], run.validation["warnings"] = list(NASTY), list(NASTY)
    run.evaluations[1]["model"]["algorithms"] = [NASTY[0]]
    run.baseline["missing"]["onnx"] = run.candidate["ir"]["execution"]["not_int8"][0]["name"] = NASTY[2]
    run.candidate["layers_changed"] = [{"name": NASTY[0], "in_channels": [8, 8], "out_channels": [8, 4]}]
    run.validation["cpu"]["name"], run.validation["versions"]["openvino"] = NASTY[0], NASTY[2]
    run.parent["uri"] = NASTY[0]
    add_samples(tmp_path / "validation", run.validation, count=1, width=64, height=32)
    run.validation["samples"][0]["image"] = NASTY[1]
    run.validation["samples"].append({"file": NASTY[0], "image": "x"})
    page = page_of(run)
    assert not page.having("script")
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert page.having("img")[0]["alt"] == f"Detections on {NASTY[1]}"
    assert all(page.text.count(text) >= 2 for text in NASTY)


def test_many_classes_with_long_names_stay_below_the_limit(measured, page_of):
    page = page_of(measured(classes=tuple(f"{'&' * 200}{number}" for number in range(1203))), plots=True)
    assert "The plot shows the 30 of 1,203 classes" in page.text
    assert "The table shows the 200 of 1,203 classes" in page.text


def test_the_curves_of_many_candidates_leave_room_for_the_rest(measured, content_of, monkeypatch, write_log):
    """The page of candidates=auto took 1.16 MB with 1,203 classes, half of it the training curves."""
    names = ("FP32", *NAMES)
    run = measured(maps=(0.4,) * 2 * len(names), names=names)
    log = write_log("long.json", epochs=40, iterations=500, every=10)
    for name in ("pareto", "speed_and_size", "waterfall_bars", "per_class_bars", "precision_recall"):
        monkeypatch.setattr(pages.plots, name, lambda *arguments: "")
    content = content_of(run, training=log, compression=log)
    drawn = pages._plots(content, dict.fromkeys(names, pages.plots.BASELINE))["training"]
    assert set(drawn) == set(names) and sum(map(len, drawn.values())) < LIMIT_BYTES / 4


def test_a_given_checkpoint_is_named_in_place_of_the_curves(measured, page_of, write_log):
    run = measured()
    run.parent["uri"] = "s3://models/parent.pth"
    page = page_of(run, training=write_log("given.json", epochs=0))
    assert "The checkpoint s3://models/parent.pth was given, so nothing was trained." in page.text


def test_unmeasured_figures_are_shown_as_such(measured, page_of):
    run = measured()
    run.candidate["ir"]["metrics"]["map"] = run.validation["load"]["average"] = None
    run.validation["load"]["other_cores"] = None
    text = page_of(run).text
    assert "map_ir could not be measured" in text and "n/a" in text
    assert "Load average" not in text and "cores busy" not in text


def test_a_larger_model_is_not_called_smaller(measured, page_of):
    run = measured()
    run.candidate["ir"]["size_mb"] = 28.42
    assert "2.00x larger" in page_of(run).text


def test_details_locate_what_was_lost(measured, page_of):
    run = measured()
    run.candidate["layers_changed"] = [{"name": "layer1.conv1", "in_channels": [64, 64], "out_channels": [64, 40]}]
    text = page_of(run).text
    for fact in ("compressed PyTorch to compressed IR", "99.54%", "-0.0010", "0.0421", "FP32 ONNX: not given",
                 "FP32, throughput", "compressed, latency", "214 (207 to 218)", "2.21x to 2.41x", "2.51x", "wall time",
                 "Load average before: 0.42.", "0.03 cores busy", "3.59 M", "1.20 G", "98.5%",
                 "/bbox_head/retina_cls/Conv", "1.50%", "64 to 40", "1 layer of the compressed IR changed", "41 (40)",
                 "background"):
        assert fact in text, fact
    run.candidate["ir"]["fake_quantize_nodes"] = 0
    assert "not in int8" not in page_of(run).text


def test_many_classes_have_no_confusion_matrix(measured, page_of):
    assert "Confusion" not in page_of(measured(classes=tuple(f"class {number}" for number in range(30)))).text


def test_every_candidate_is_in_every_part(three, page_of):
    page = page_of(three, plots=True)
    for fact in ("Passed: the int8 model is", "mAP of the int8 IR", "int8, chosen", "Outside the limits: mAP drop"):
        assert fact in page.text, fact
    for name in ("int8", "pruned"):
        for fact in (f"FP32 IR to {name} IR",
                     f"Compression of {name}", f"{name}, latency", f"Provenance of {name}", f"{name} IR found"):
            assert fact in page.text, fact
    ids = [attributes["id"] for _, attributes in page.elements if attributes.get("id")]
    assert ids and len(ids) == len(set(ids))


def test_digests_are_short_with_the_full_one_on_hover(measured, page_of):
    titles = [attributes.get("title") for attributes in page_of(measured()).having("abbr")]
    assert "da7a" * 16 in titles and "c1" * 32 in titles


def test_markdown_has_the_same_figures(measured, markdown_of):
    lines = markdown_of(measured()).splitlines()
    assert lines[0] == "# Compression report: pass"
    assert "- met: mAP drop 0.0026 is within the limit 0.0100 (FP32 0.4047, compressed IR 0.4021)" in lines
    assert "| FP32 | 0.4047 | 0.4047 |  | 0.7404 | 0.7404 |  | 91.2 |  | 21.1 |  | 14.2 |  |" in lines
    (row,) = [line for line in lines if line.startswith("| compressed | 0.4031 | 0.4021 | -0.0026 (0.99x) |")]
    assert "| 214 | +123 (2.35x) | 9.02 | -12.1 (0.43x) | 3.94 | -10.3 (0.28x) |" in row
    assert "| RBC | 0.4047 | 0.4031 | 0.4021 | -0.0026 |" in lines
    assert "| FP32 IR to compressed IR | -0.0026 | 99.54% | 870 | 3 | 5 |" in lines
    assert "| Data set | `da7ada7ada7a` |" in lines


def test_markdown_of_a_failed_run_says_what_was_missed(measured, markdown_of):
    text = markdown_of(measured(maps=(0.4047, 0.4047, 0.39, 0.38)))
    assert text.startswith("# Compression report: fail")
    assert "- **missed**: mAP drop 0.0247 is above the limit 0.0100" in text


def test_markdown_says_why_each_candidate_was_chosen_or_not(three, markdown_of):
    lines = markdown_of(three).splitlines()
    assert any(line.startswith("| int8, chosen | 0.4021 |") for line in lines)
    (missed,) = [line for line in lines if line.startswith("| pruned | 0.3800 |")]
    assert "Outside the limits: mAP drop 0.0247 is above the limit 0.0100" in missed


def test_where_no_candidate_keeps_the_limits_none_is_called_the_best_within_them(three, markdown_of, page_of):
    three.thresholds = Thresholds(min_speedup=9)
    for text in (markdown_of(three), page_of(three, plots=True).text):
        assert "No candidate keeps the limits. The one that misses the fewest" in text
        assert "within the limits." not in text and "surely within" not in text


def test_markdown_has_the_whole_reason_and_decision(three, content_of):
    content = content_of(three)
    first, *others = content.summary.choice.candidates
    choice = content.summary.choice.model_copy(update={"candidates": (
        first.model_copy(update={"why": "Because " + "of this " * 80, "decision": "Fine-tuned at last."}), *others)})
    summary = content.summary.model_copy(update={"choice": choice})
    assert "Fine-tuned at last. |" in render_markdown(dataclasses.replace(content, summary=summary))


@pytest.mark.parametrize("price, hours, cost", [
    (0.5, 0.01, ", below 0.01"), (0.5, 0.0, ", 0.00"), (2.5, 2.0, ", 5.00")])
def test_a_small_cost_is_not_nothing(three, content_of, price, hours, cost):
    content = content_of(three)
    contenders = [one.model_copy(update={"hours": hours}) for one in content.summary.choice.candidates]
    choice = content.summary.choice.model_copy(update={"candidates": tuple(contenders), "price_per_hour": price})
    summary = content.summary.model_copy(update={"choice": choice})
    assert f"CPU{cost} |" in render_markdown(dataclasses.replace(content, summary=summary))


def test_every_row_of_a_table_has_its_cells(measured, markdown_of):
    run = measured(classes=("pipe|d", "back\\|slash", "new\nline", *NASTY))
    run.parent["uri"] = "a|b"
    run.validation["corrupt_images"] = [{"image": "a|b.jpg", "reason": "x"}]
    text = markdown_of(run)
    for table in re.split(r"\n(?!\|)", text):
        widths = {len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in table.splitlines() if row.startswith("|")}
        assert len(widths) <= 1, table
    assert "<script" not in text and "a\\|b.jpg" in text


@pytest.mark.parametrize("name, written", [
    ("pipe|d", "pipe\\|d"), ("a\\|b", "a\\\\\\|b"), ("<script>", "&lt;script&gt;"), ("red_cell*", "red\\_cell\\*"),
    ("[x](y)", "\\[x\\](y)"), ("`code`", "\\`code\\`"), ("a & b", "a &amp; b"), ("a\nb", "a b"),
    ("~~a~~", "\\~\\~a\\~\\~"), ("\u7ea2\u7ec6\u80de", "\u7ea2\u7ec6\u80de")])
def test_names_are_shown_as_they_are(name, written):
    assert escaped(name) == written


def test_of_many_classes_markdown_lists_the_worst_thirty(measured, markdown_of):
    text = markdown_of(measured(classes=tuple(f"class {number}" for number in range(80))))
    assert "The 30 of 80 classes with the largest drop." in text
    assert len(re.findall(r"^\| class \d", text, re.MULTILINE)) == 30
