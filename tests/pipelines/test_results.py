from types import SimpleNamespace

import pytest

from pipelines import results
from pipelines.results import collect_results, write_parameters


def artifact(path, content=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is not None:
        path.write_text(content)
    return SimpleNamespace(path=str(path))


@pytest.fixture(name="finished")
def fixture_finished(tmp_path):
    ir = tmp_path / "root" / "convert" / "ir"
    for name in ("model.xml", "model.bin"):
        artifact(ir / name, name)
    return {"resolve": {"resolved_data": {"uri": "x"}},
            "train": {"checkpoint": artifact(tmp_path / "root/train/checkpoint", "weights"),
                      "log": artifact(tmp_path / "root/train/log", "{}\n")},
            "convert-compressed": {"ir": artifact(ir)}}


def test_what_finished_is_collected(finished, tmp_path):
    run = tmp_path / "run"
    collect_results(finished, run)
    assert sorted(path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()) == [
        "checkpoints/fp32.pth", "logs/train.jsonl", "model/compressed/model.bin", "model/compressed/model.xml"]
    assert (run / "checkpoints/fp32.pth").read_text() == "weights"


def test_every_candidate_has_a_place_and_one_that_failed_has_none(finished, tmp_path):
    from core.results.outcome import Outcome

    outcome = Outcome(version=1, kind="failed candidate", candidate="wild", stage="compress", reason="loss: nan.")
    for name in ("int8", "wild"):
        outputs = {output: artifact(tmp_path / "root" / name / output, "x") for output in ("checkpoint", "log")}
        finished[f"compress-{name}"] = outputs
    outcome.put(tmp_path / "root" / "wild" / "checkpoint", folder=False)
    run = tmp_path / "run"
    collect_results(finished, run)
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["fp32.pth", "int8.pth"]
    assert sorted(path.name for path in (run / "logs").iterdir()) == [
        "compress-int8.jsonl", "compress-wild.jsonl", "train.jsonl"]


def test_small_files_are_copies_and_large_ones_links(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "LINK_FROM_BYTES", 5)
    collect_results(finished, tmp_path / "run")
    assert (tmp_path / "run/checkpoints/fp32.pth").samefile(finished["train"]["checkpoint"].path)
    assert not (tmp_path / "run/logs/train.jsonl").samefile(finished["train"]["log"].path)


def test_other_file_system_gets_copies(finished, tmp_path, monkeypatch):
    def link(source, target):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(results, "LINK_FROM_BYTES", 0)
    monkeypatch.setattr(results.os, "link", link)
    collect_results(finished, tmp_path / "run")
    assert (tmp_path / "run/checkpoints/fp32.pth").read_text() == "weights"


def test_parameters_can_be_given_again(tmp_path):
    import yaml
    values = {"seed": 1, "classes": ["größe"], "model_options": {"a.b": 1}, "max_map_drop": 0.01, "destination": ""}
    write_parameters(values, tmp_path)
    assert yaml.safe_load((tmp_path / "params.yaml").read_text(encoding="utf-8")) == values
