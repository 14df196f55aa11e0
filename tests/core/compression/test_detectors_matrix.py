"""The program that tries every detector: its rows, its table, its mistakes."""

import json

import pytest

from core.compression.matrix import Cell, Row, main, markdown, reference_counts

ROW = Row("ssd300", "int8", {"wrap": Cell("ok", "60 points (as without: it is so)"), "train step": Cell("ok", "60/60"),
                             "ONNX": Cell("FAILED", "RuntimeError: no NonMaxSuppression"), "IR": Cell("-")},
          {"points_with": 60, "ir_bytes": 7}, 12.5)


def test_row_survives_json():
    assert Row.from_json(json.loads(json.dumps(ROW.to_json()))) == ROW


def test_a_row_is_ok_without_a_failure():
    assert not ROW.ok
    assert Row("ssd300", "int8", {"wrap": Cell("ok"), "IR": Cell("not run", "no environment with OpenVINO")}).ok


def test_markdown_explains_every_outcome_that_is_not_ok():
    text = markdown([ROW, ROW], {"torch": "1.8.1"})
    rows = [line for line in text.splitlines() if line.startswith("| ssd300")]
    assert rows == ["| ssd300 | int8 | 60 points [1] | 60/60 | FAILED [2] | - |"] * 2
    assert "[1] as without: it is so" in text and "[2] RuntimeError: no NonMaxSuppression" in text
    assert text.count("[2] Runtime") == 1
    assert "torch 1.8.1" in text


def test_reference_counts_leave_out_what_may_change():
    assert reference_counts([ROW]) == {"ssd300": {"int8": {"points_with": 60}}}


@pytest.mark.parametrize(("arguments", "near"), [(["--detectors", "ssd30"], "ssd300"),
                                                 (["--algorithms", "int4"], "int8")])
def test_unknown_names_are_refused_with_the_nearest(arguments, near, capsys):
    assert main(arguments) != 0
    assert near in capsys.readouterr().err
