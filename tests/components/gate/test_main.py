import json
from dataclasses import fields

import pytest

from components.gate.__main__ import main
from core.report.summary import FIGURES, PROVENANCE, Summary


@pytest.fixture(name="summary")
def fixture_summary(tmp_path):
    values = {**dict.fromkeys(FIGURES, 0.5), "map_drop": 0.02, "worst_class": "Platelets", "worst_class_drop": 0.04,
              "corrupt_images": 0.0, "speedup": 2.0, "schema": 2, "verdict": "pass",
              "provenance": {key: {} for key in PROVENANCE}}
    path = tmp_path / "summary.json"
    path.write_text(json.dumps({field.name: values[field.name] for field in fields(Summary)}))
    return path


def test_model_within_both_limits_passes(summary, capsys):
    assert main(["--summary", str(summary), "--max-map-drop", "0.03", "--min-speedup", "1.5"]) == 0
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["pass"] * 3


def test_failure_names_number_and_limit(summary, capsys):
    assert main(["--summary", str(summary), "--max-map-drop", "0.01", "--min-speedup", "3"]) == 1
    map_drop, class_drop, speedup = capsys.readouterr().out.splitlines()
    assert map_drop.startswith("FAIL: ") and "0.02" in map_drop and "0.01" in map_drop
    assert class_drop.startswith("pass: ")
    assert speedup.startswith("FAIL: ") and "2.00" in speedup and "3.00" in speedup


def test_a_class_that_lost_too_much_fails(summary, capsys):
    arguments = ["--summary", str(summary), "--max-map-drop", "0.03", "--max-class-drop", "0.03"]
    assert main(arguments) == 1
    assert "FAIL: largest AP drop of a class 0.0400 (Platelets)" in capsys.readouterr().out


def test_limit_that_is_none_is_the_users_error(summary, capsys):
    assert main(["--summary", str(summary), "--max-map-drop", "nan"]) == 2
    assert "max_map_drop" in capsys.readouterr().err
