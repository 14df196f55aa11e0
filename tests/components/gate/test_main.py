import json

import pytest

from components.gate.stage import STAGE
from tests.summaries import summary_record


@pytest.fixture(name="summary")
def fixture_summary(tmp_path):
    path = tmp_path / "summary.json"
    path.write_text(json.dumps({**summary_record(map_drop=0.02, worst_class_drop=0.04), "worst_class": "Platelets"}))
    return path


def test_model_within_both_limits_passes(summary, capsys):
    assert STAGE.main(["--summary", str(summary), "--max-map-drop", "0.03", "--min-speedup", "1.5"]) == 0
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["pass"] * 4


def test_failure_names_number_and_limit(summary, capsys):
    assert STAGE.main(["--summary", str(summary), "--max-map-drop", "0.01", "--min-speedup", "3"]) == 1
    floor, map_drop, class_drop, speedup = capsys.readouterr().out.splitlines()
    assert map_drop.startswith("FAIL: ") and "0.02" in map_drop and "0.01" in map_drop
    assert floor.startswith("pass: ") and class_drop.startswith("pass: ")
    assert speedup.startswith("FAIL: ") and "2.00" in speedup and "3.00" in speedup


def test_a_class_that_lost_too_much_fails(summary, capsys):
    arguments = ["--summary", str(summary), "--max-map-drop", "0.03", "--max-class-drop", "0.03"]
    assert STAGE.main(arguments) == 1
    assert "FAIL: largest AP drop of a class 0.0400 (Platelets)" in capsys.readouterr().out


def test_a_model_that_finds_nothing_fails(tmp_path, capsys):
    path = tmp_path / "summary.json"
    path.write_text(json.dumps(summary_record(map_fp32=0.0, map_ir=0.0, map_drop=0.0)))
    assert STAGE.main(["--summary", str(path)]) == 1
    assert capsys.readouterr().out.startswith("FAIL: mAP 0.0000 ")
    assert STAGE.main(["--summary", str(path), "--min-map", "0"]) == 0


def test_of_several_candidates_the_chosen_one_is_judged_and_each_has_its_reason(tmp_path, capsys):
    path = tmp_path / "summary.json"
    facts = {"decision": "", "epochs": 1, "hours": 0.1, "gpus": 0}
    choice = {"objective": "throughput", "candidates": [
        {"name": "int8", "chosen": True, "why": "The best.", **facts},
        {"name": "pruned", "chosen": False, "why": "Outside the limits.", **facts}]}
    path.write_text(json.dumps({**summary_record(), "further": [summary_record(speedup=0.5)], "choice": choice}))
    assert STAGE.main(["--summary", str(path)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[:2] == ["chosen: int8. The best.", "not chosen: pruned. Outside the limits."]
    assert not [line for line in shown if line.startswith("FAIL")]


def test_limit_that_is_none_is_the_users_error(summary, capsys):
    assert STAGE.main(["--summary", str(summary), "--max-map-drop", "nan"]) == 2
    assert "max_map_drop" in capsys.readouterr().err
