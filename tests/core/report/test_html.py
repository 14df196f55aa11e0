import re
from html.parser import HTMLParser

import pytest

from core.report.build import build_report
from core.report.html import LIMIT_BYTES

pytest.importorskip("matplotlib")
pytest.importorskip("cv2")

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
def page_of(inputs_of, tmp_path):
    def build(run, **logs):
        file = tmp_path / "out" / "report.html"
        build_report(inputs_of(run, **logs), tmp_path / "summary.json", file, tmp_path / "report.md")
        text = file.read_text(encoding="utf-8")
        assert len(text.encode("utf-8")) < LIMIT_BYTES == 1_000_000
        return Page(text)

    return build


def test_the_worst_images_are_shown_with_what_is_compared(measured, page_of, add_samples, tmp_path):
    run = measured()
    pictures = {"samples": []}
    add_samples(tmp_path / "validation", pictures, count=3)
    run.validation["waterfall"]["neighbours"][3]["worst"] = pictures["samples"][:2]
    run.validation["samples"] = pictures["samples"][2:]
    page = page_of(run)
    assert "FP32 IR beside compressed IR: BloodImage_00000.jpg" in page.text
    assert len(page.having("img")) == 3


def test_many_worst_images_leave_room_for_samples(measured, page_of, add_samples, tmp_path):
    run = measured()
    pictures = {"samples": []}
    add_samples(tmp_path / "validation", pictures, count=10)
    run.validation["waterfall"]["neighbours"][3]["worst"] = pictures["samples"][:8]
    run.validation["samples"] = pictures["samples"][8:]
    assert len(page_of(run).having("img")) == 10


def test_the_page_shows_every_part(measured, page_of):
    text = page_of(measured()).text
    for part in ("Passed: the compressed model is within its limits", "mAP drop 0.0026 is within the limit 0.0100",
                 "Figures", "Accuracy by class", "Training of the FP32 model", "Compression: quantization",
                 "Left out and warnings", "Nothing was left out", "Provenance", "AMD EPYC 7B13", "2.35x", "0.4021",
                 "3.61x smaller", "da7ada7ada7a", "72 test images", "Waterfall", "Speed", "Structure", "Confusion",
                 "95 % interval over images -0.0031 to 0.0087", "Precision over recall"):
        assert part in text, part


def test_a_failed_run_has_its_page_with_the_reasons(measured, page_of):
    run = measured(maps=(0.4047, 0.39, 0.4047, 0.3821))
    run.validation["speedup"] = 1.1
    text = page_of(run).text
    assert "Failed: the compressed model is outside its limits" in text
    assert "mAP drop 0.0226 is above the limit 0.0100" in text
    assert "speed-up 1.10x is below the minimum 1.20x" in text


def test_the_page_needs_nothing_but_itself(measured, page_of, add_samples, tmp_path):
    run = measured()
    add_samples(tmp_path / "validation", run.validation, count=2)
    page = page_of(run)
    assert not {name for name, _ in page.elements} & {"script", "link", "iframe", "object", "base", "form", "video"}
    for _, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href"):
                assert value.startswith(("data:image/jpeg;base64,", "#"))
            if name == "style":
                assert "url(" not in value


def test_the_style_fetches_nothing():
    from core.report.style import CSS

    assert not re.search(r"url\(|@import|</", CSS)


def test_ids_are_unique(measured, page_of):
    ids = [attributes["id"] for _, attributes in page_of(measured()).elements if attributes.get("id")]
    assert ids and len(ids) == len(set(ids))


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
    run.validation["corrupt_images"], run.fp32["warnings"] = list(NASTY), list(NASTY)
    run.compressed["model"]["algorithms"] = [NASTY[0]]
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
    page = page_of(measured(classes=tuple(f"{'&' * 200}{number}" for number in range(1203))))
    assert "The plot shows the 30 of 1,203 classes" in page.text
    assert "The table shows the 200 of 1,203 classes" in page.text


def test_a_given_checkpoint_is_named_in_place_of_the_curves(measured, page_of, write_log):
    run = measured()
    run.parent["uri"] = "s3://models/parent.pth"
    page = page_of(run, training=write_log("given.json", epochs=0))
    assert "The checkpoint s3://models/parent.pth was given, so nothing was trained." in page.text


def test_unmeasured_figures_are_shown_as_such(measured, page_of):
    run = measured()
    for key in ("fps", "latency_ms_p50", "size_mb"):
        run.validation["compressed"][key] = None
    run.validation["compressed"]["metrics"]["map"] = None
    page = page_of(run)
    assert "map_ir is nan; every figure must be a finite number to be judged" in page.text
    assert "n/a" in page.text


def test_a_larger_model_is_not_called_smaller(measured, page_of):
    run = measured()
    run.validation["compressed"]["size_mb"] = 28.42
    assert "2.00x larger" in page_of(run).text


def test_digests_are_short_with_the_full_one_on_hover(measured, page_of):
    titles = [attributes.get("title") for attributes in page_of(measured()).having("abbr")]
    assert "da7a" * 16 in titles and "c1" * 32 in titles
