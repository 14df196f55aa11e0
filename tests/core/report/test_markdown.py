import re

import pytest

from core.report.build import build_report
from core.report.markdown import escaped

pytest.importorskip("matplotlib")
pytest.importorskip("cv2")


@pytest.fixture()
def markdown_of(inputs_of, tmp_path):
    def build(run):
        build_report(inputs_of(run), tmp_path / "summary.json", tmp_path / "report.html", tmp_path / "report.md")
        return (tmp_path / "report.md").read_text(encoding="utf-8")

    return build


def test_the_page_has_the_same_figures(measured, markdown_of):
    lines = markdown_of(measured()).splitlines()
    assert lines[0] == "# Compression report: pass"
    assert "- met: mAP drop 0.0026 is within the limit 0.0100 (FP32 0.4047, compressed IR 0.4021)" in lines
    assert "| mAP | 0.4047 | 0.4031 | 0.4047 | 0.4021 | -0.0026 | 0.99x |" in lines
    assert "| Throughput, images/s |  |  | 91.2 | 214 |  | 2.35x |" in lines
    assert "| RBC | 0.4047 | 0.4031 | 0.4021 | -0.0026 |" in lines
    assert "| Data set | `da7ada7ada7a` |" in lines


def test_a_failed_run_says_what_was_missed(measured, markdown_of):
    text = markdown_of(measured(maps=(0.4047, 0.39, 0.4047, 0.3821)))
    assert text.startswith("# Compression report: fail")
    assert "- **missed**: mAP drop 0.0226 is above the limit 0.0100" in text


def test_every_row_of_a_table_has_its_cells(measured, markdown_of):
    tables = re.split(r"\n(?!\|)", markdown_of(measured(classes=("pipe|d", "back\\|slash", "new\nline"))))
    for table in tables:
        widths = {len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in table.splitlines() if row.startswith("|")}
        assert len(widths) <= 1, table


@pytest.mark.parametrize("name, written", [
    ("pipe|d", "pipe\\|d"), ("a\\|b", "a\\\\\\|b"), ("<script>", "&lt;script&gt;"), ("red_cell*", "red\\_cell\\*"),
    ("[x](y)", "\\[x\\](y)"), ("`code`", "\\`code\\`"), ("a & b", "a &amp; b"), ("a\nb", "a b"),
    ("~~a~~", "\\~\\~a\\~\\~"), ("\u7ea2\u7ec6\u80de", "\u7ea2\u7ec6\u80de")])
def test_names_are_shown_as_they_are(name, written):
    assert escaped(name) == written


def test_of_many_classes_the_worst_thirty_are_listed(measured, markdown_of):
    text = markdown_of(measured(classes=tuple(f"class {number}" for number in range(80))))
    assert "The 30 of 80 classes with the largest drop." in text
    assert len(re.findall(r"^\| class \d", text, re.MULTILINE)) == 30


def test_what_was_left_out_is_listed(measured, markdown_of):
    run = measured()
    run.validation["corrupt_images"] = ["a|b.jpg"]
    assert "- 1 corrupt image left out of the validation: a\\|b.jpg." in markdown_of(run)
