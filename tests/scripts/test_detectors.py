"""The program that tries every detector: its rows, its table, its mistakes."""

import json

import pytest

from core.base.errors import UserError
from scripts import detectors
from scripts.detectors import (
    BEGIN,
    END,
    REPOSITORY,
    Cell,
    Row,
    families_section,
    main,
    markdown,
    replace_between,
    summary,
)

ROW = Row("ssd300", "int8", "d1", {
    "wrap": Cell("ok", "60 points (as without: it is so)"), "train step": Cell("ok", "60/60"),
    "ONNX": Cell("FAILED", "RuntimeError: no NonMaxSuppression"), "IR": Cell("-")},
    {"points_with": 60, "ir_weight_bytes": 7}, 12.5)


def test_row_survives_json():
    assert Row.from_json(json.loads(json.dumps(ROW.to_json()))) == ROW


def test_a_row_is_ok_without_a_failure():
    assert not ROW.ok
    assert Row("ssd300", "int8", cells={"wrap": Cell("ok"), "IR": Cell("not run", "no environment with OpenVINO")}).ok


def test_markdown_explains_every_outcome_that_is_not_ok():
    text = markdown([ROW, ROW], {"torch": "2.1.2"})
    rows = [line for line in text.splitlines() if line.startswith("| ssd300")]
    assert rows == ["| ssd300 | int8 | 60 points [1] | 60/60 | FAILED [2] | - |"] * 2
    assert "[1] as without: it is so" in text and "[2] RuntimeError: no NonMaxSuppression" in text
    assert text.count("[2] Runtime") == 1
    assert "torch 2.1.2" in text
    assert "not tried yet" not in text and "7 rows are not tried yet" in markdown([ROW], {}, 7)


def test_the_page_names_every_family_and_refusal_as_the_adapters_do():
    section = families_section()
    assert section in (REPOSITORY / "docs" / "detectors.md").read_text()
    assert section in markdown([ROW], {})
    assert "| FoveaBox | FoveaHead | score_thr, nms_pre, max_per_img, nms, min_bbox_size, deploy_nms_pre |" in section
    assert "rpn.nms, " in section and "| YOLOX (x32) |" in section and "| SOLOHead |" in section


@pytest.mark.parametrize(("arguments", "near"), [(["--detectors", "ssd30"], "ssd300"),
                                                 (["--algorithms", "int4"], "int8")])
def test_unknown_names_are_refused_with_the_nearest(arguments, near, capsys):
    assert main(arguments) != 0
    assert near in capsys.readouterr().err


@pytest.fixture
def trials(monkeypatch):
    """Tries nothing; returns the list of what would have been tried."""
    tried = []

    def run(detector, algorithm, python):
        tried.append((detector, algorithm))
        return Row(detector, algorithm, detectors.config_digest(detector, algorithm), {"wrap": Cell("ok")}, seconds=1.0)

    monkeypatch.setattr(detectors, "run_row_apart", run)
    monkeypatch.setattr(detectors, "config_digest", lambda detector, algorithm: f"{detector} {algorithm}")
    monkeypatch.setattr(detectors, "_text", lambda rows, suffix, left=0: json.dumps([row.to_json() for row in rows]))
    return tried


def test_rows_that_are_done_are_not_tried_again(trials, tmp_path, monkeypatch):
    command = ["--detectors", "ssd300", "--rows", str(tmp_path / "rows.json"), "--output", str(tmp_path / "out.json")]
    assert main(command) == 0
    assert trials == [("ssd300", name) for name in ("int8", "pruning", "int8_pruning")]
    assert main(command) == 0
    assert len(trials) == 3
    monkeypatch.setattr(detectors, "config_digest", lambda detector, algorithm: f"new {algorithm}")
    assert main(command) == 0
    assert len(trials) == 6


def test_a_failed_row_is_tried_again(trials, tmp_path):
    rows = [Row("ssd300", "int8", "ssd300 int8", {"wrap": Cell("FAILED", "why")}).to_json()]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    assert main(["--detectors", "ssd300", "--algorithms", "int8", "--rows", str(tmp_path / "rows.json")]) == 0
    assert trials == [("ssd300", "int8")]


def test_when_the_time_is_over_the_rest_is_left_for_the_next_run(trials, tmp_path, capsys):
    command = ["--detectors", "ssd300,yolox_s", "--rows", str(tmp_path / "rows.json")]
    assert main([*command, "--minutes", "0"]) == 3
    assert "6 rows are left" in capsys.readouterr().err and not trials
    assert main(command) == 0
    assert len(trials) == 6


def test_a_file_without_rows_is_refused(tmp_path, capsys):
    (tmp_path / "rows.json").write_text('[{"detector": "ssd300"}]')
    assert main(["--rows", str(tmp_path / "rows.json")]) == 2
    assert "rows.json" in capsys.readouterr().err


def test_the_summary_has_a_cell_for_each_detector_and_algorithm(tmp_path):
    rows = [ROW, Row("ssd300", "pruning", cells={"IR": Cell("ok", "7 MB")}),
            Row("yolox_s", "int8", cells={"wrap": Cell("ok", "60 points (as without: it is so)")})]
    table = summary(rows)
    assert table.splitlines()[2:] == ["| ssd300 | fails at ONNX | IR |", "| yolox_s | IR, raw heads compressed |  |"]
    page = tmp_path / "README.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    replace_between(page, BEGIN, END, table)
    assert page.read_text() == f"before\n{BEGIN}\n{table}\n{END}\nafter\n"
    page.write_text(f"{END} {BEGIN}")
    with pytest.raises(UserError, match="begin detectors"):
        replace_between(page, BEGIN, END, table)
    assert page.read_text() == f"{END} {BEGIN}"
