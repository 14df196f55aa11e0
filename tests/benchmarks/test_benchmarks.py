"""Each benchmark runs in miniature and says what it measured."""

import json

import pytest

from benchmarks import initialisation, reporting, suppression, training_step
from benchmarks.training_step import TimedLoader, Turn, figures


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MMDET_COMPRESS_CACHE", str(tmp_path / "cache"))


def test_ratios_are_those_of_each_turn():
    turns = [{"ours": Turn(1.0, 0.6, 3.0), "bare": Turn(1.0, 0.5, 0.0)},
             {"ours": Turn(8.0, 0.5, 5.0), "bare": Turn(4.0, 0.5, 0.0)},
             {"ours": Turn(1.5, 0.5, 4.0), "bare": Turn(1.0, 0.5, 0.0)}]
    found = figures("int8", turns)
    assert (found["ratio"], found["ratio_min"], found["ratio_max"], found["cpu_ratio"]) == (1.5, 1.0, 2.0, 1.0)
    assert (found["seconds_per_iteration"], found["seconds_after_epoch"]) == (1.5, 4.0)
    assert found["seconds_per_epoch"] == 1.5 * 80 + 4.0


def test_a_loader_times_what_is_done_with_each_batch():
    loader = TimedLoader(["a", "b"])
    for _ in range(2):
        assert list(loader) == ["a", "b"] and len(loader) == 2
        assert len(loader.clock) == len(loader.cpu) == 2 and min(loader.clock) >= 0


def test_a_table_is_aligned():
    assert reporting.table(("name", "s"), [("int8", "1.5"), ("a", "10.0")]) == "name     s\nint8   1.5\na     10.0"


def test_training_step_compares_both_loops(cache, tmp_path, capsys):
    code = training_step.main(["--rounds", "1", "--iterations", "1", "--variants", "int8", "--val-images", "1",
                               "--input-size", "64", "64", "--output", str(tmp_path / "out.json")])
    assert code == 0
    assert "goal <= 1.02" in capsys.readouterr().out
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["results"][0]["variant"] == "int8" and document["results"][0]["ratio"] > 0
    assert {"cpu", "cores", "versions"} <= set(document["machine"])


def test_initialisation_is_timed_by_samples(cache, tmp_path, capsys):
    assert initialisation.main(["--variants", "int8", "--samples", "8", "--input-size", "64", "64", "--preflight",
                                "--output", str(tmp_path / "out.json")]) == 0
    (found,) = json.loads((tmp_path / "out.json").read_text())["results"]
    assert (found["variant"], found["samples"]) == ("int8", 8) and found["seconds"] > 0


def test_detectors_to_preflight_are_found_by_name():
    assert initialisation.preflight_configs(["ssd300"], "int8") == ["configs/nncf_compression/ssd300/int8.py"]
    assert len(initialisation.preflight_configs(["all"], "int8")) > 10
    with pytest.raises(SystemExit, match="no int8.py of ssd3000; there are .*ssd300"):
        initialisation.preflight_configs(["ssd3000"], "int8")


@pytest.mark.release
def test_suppression_compares_both_exports(cache, tmp_path, capsys):
    assert suppression.main(["--detectors", "ssd300", "--rounds", "2", "--output", str(tmp_path / "found.json")]) == 0
    (found,) = json.loads((tmp_path / "found.json").read_text())["results"]
    assert found["ours_seconds"] > 0 and found["mmdetection_seconds"] > 0 and "ssd300" in capsys.readouterr().out
