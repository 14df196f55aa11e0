"""A stage's work on a candidate: what it fails of is written in the place of its artifacts, and handed on."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.candidates import Candidates, OfCandidate
from components.stage import Stage, collected_artifact, input_artifact, output_artifact
from core.base.errors import CandidateFailed, UserError
from core.base.executor_output import ExecutorOutput
from core.config.loading import load_config
from core.results.outcome import Outcome

MODEL = "configs/detectors/retinanet_r18_small_digits.py"


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Stands for a stage."""

    onnx: Path = input_artifact("Model", "What comes in.", folder=True)
    of: OfCandidate
    ir: Path = output_artifact("Model", "A folder.", folder=True)
    log: Path = output_artifact("Artifact", "A file.")
    irs: dict[str, Path] = collected_artifact("Model", "Of all candidates.", folder=True)


@pytest.fixture(name="work")
def fixture_work(tmp_path):
    """Return a function that does a stage's work on a candidate and gives the metadata of its artifacts."""
    def run(candidate, work, given="onnx", keeps=()):
        stage = Convert(onnx=tmp_path / given, of=OfCandidate(candidate=candidate), ir=tmp_path / "ir",
                        log=tmp_path / "log", irs={})
        output = ExecutorOutput(json.dumps({"outputs": {
            "outputFile": str(tmp_path / "output.json"),
            "artifacts": {name: {"artifacts": [{"uri": f"/{name}"}]} for name in ("ir", "log")}}}))
        stage.of.work(stage, output, work, stage.onnx, fails_of=CandidateFailed, keeps=keeps)
        output.write()
        artifacts = json.loads((tmp_path / "output.json").read_text())["artifacts"]
        return {name: listed["artifacts"][0]["metadata"] for name, listed in artifacts.items()}

    return run


def fail():
    raise CandidateFailed("loss", "nan", "It must be finite.", "Lower optimizer.lr.")


def test_artifacts_name_their_candidate(work):
    assert work({"name": "int8"}, lambda: None) == {name: {"candidate": "int8"} for name in ("ir", "log")}
    assert work({}, lambda: None) == {"ir": {}, "log": {}}


def test_what_a_candidate_fails_of_stands_in_the_place_of_its_artifacts(work, tmp_path, capsys):
    assert work({"name": "int8"}, fail)["ir"] == {"candidate": "int8"}
    for name in ("ir", "log"):
        found = Outcome.at(tmp_path / name)
        assert (found.candidate, found.stage) == ("int8", "convert") and found.reason.startswith("loss: nan.")
        assert 0 < found.seconds < 60 and found.gpus == 0
    assert "int8 failed in convert and is left out: loss: nan." in capsys.readouterr().out


def test_a_failed_training_s_earlier_processes_count(work, tmp_path):
    def diverge():
        error = CandidateFailed("loss", "nan", "It must be finite.", "Lower optimizer.lr.")
        error.seconds = 7200.0
        raise error

    work({"name": "int8"}, diverge)
    assert Outcome.at(tmp_path / "ir").hours == 2


def test_a_log_that_was_written_before_the_failure_is_kept(work, tmp_path):
    def diverge():
        (tmp_path / "log").write_text("loss: 3.5")
        fail()

    work({"name": "int8"}, diverge, keeps=["log"])
    assert (tmp_path / "log").read_text() == "loss: 3.5" and Outcome.at(tmp_path / "ir").stage == "convert"
    (tmp_path / "log").unlink()
    work({"name": "int8"}, fail, keeps=["log"])
    assert Outcome.at(tmp_path / "log").reason.startswith("loss: nan.")


def test_on_several_ranks_the_first_alone_writes_the_outcome_and_no_other_fails(tmp_path, monkeypatch):
    stage = Convert(onnx=tmp_path / "onnx", of=OfCandidate(candidate={"name": "int8"}), ir=tmp_path / "ir",
                    log=tmp_path / "log", irs={})
    with pytest.raises(CandidateFailed):
        stage.of.work(stage, ExecutorOutput(""), fail, fails_of=CandidateFailed)
    # As the launcher starts another rank: KFP's input is taken from it.
    monkeypatch.setenv("MMDET_COMPRESS_RANK", "1")
    stage.of.work(stage, ExecutorOutput(""), fail, fails_of=CandidateFailed)
    assert not stage.ir.exists() and not stage.log.exists()
    Outcome(version=1, kind="failed candidate", candidate="int8", stage="compress", reason="loss: nan").put(
        stage.onnx, folder=True)
    stage.of.work(stage, ExecutorOutput(""), lambda: pytest.fail("there is nothing to work on"), stage.onnx)


def test_an_outcome_is_handed_on_and_no_work_is_done(work, tmp_path):
    work({"name": "int8"}, fail)
    (tmp_path / "ir").rename(tmp_path / "before")
    work({"name": "int8"}, lambda: pytest.fail("there is nothing to work on"), given="before")
    assert Outcome.at(tmp_path / "ir").reason.startswith("loss: nan.")


def test_the_baseline_s_failure_and_a_fault_of_another_kind_end_the_stage(work, tmp_path):
    with pytest.raises(CandidateFailed):
        work({}, fail)

    def broken():
        raise UserError("disk", "full", "There must be room.", "Make some.")

    with pytest.raises(UserError, match="disk"):
        work({"name": "int8"}, broken)
    assert not (tmp_path / "ir").exists()


def test_by_hand_an_outcome_is_no_input(work, tmp_path):
    work({"name": "int8"}, fail)
    (tmp_path / "ir").rename(tmp_path / "before")
    with pytest.raises(UserError, match="before holds no model: int8 failed in convert"):
        work({}, lambda: None, given="before")


@pytest.mark.parametrize("text, found", [
    ("int8=out/ir", {"int8": Path("out/ir")}), ("out/ir", {"compressed": Path("out/ir")}),
    ("out/a=b/ir", {"compressed": Path("out/a=b/ir")})])
def test_by_hand_candidates_are_named_on_the_command_line(text, found):
    seen = []
    stage = Stage("convert", "openvino", Convert, lambda arguments, output: seen.append(arguments.irs))
    assert stage.main(["--onnx", "o", "--ir", "i", "--log", "l", "--irs", text]) == 0
    assert seen == [found]


def wanted(**given):
    candidates = Candidates(**given)
    candidates.check()
    return list(candidates.wanted(MODEL, load_config(MODEL), {"seed": 1}))


def test_one_config_is_a_list_of_one_and_the_lists_go_before_it():
    one = {"compression_config": "a/int8.py"}
    assert [(each.name, each.path, each.when) for each in wanted(**one)] == [("compressed", "a/int8.py", "always")]
    assert [each.name for each in wanted(**one, compression_configs=["a/int8.py", "a/pruning.py"])] == [
        "int8", "pruning"]
    assert [each.name for each in wanted(**one, compression_configs=["a/int8.py", "b/int8.py"])] == [
        "a-int8", "b-int8"]
    both = wanted(**one, compression_configs=["a/int8.py"], candidates=["post_training", "int8"])
    assert [(each.name, each.when) for each in both] == [
        ("own-int8", "always"), ("post_training", "never"), ("int8", "always")]
    assert both[2].options["seed"] == 1 and "nncf_config" in both[2].options


@pytest.mark.parametrize("path, name", [("_int8.py", "int8"), ("__int8_.py", "int8"), (".hidden.py", "hidden"),
                                        ("_" * 70 + "a.py", None), ("__.py", None),
                                        ("\u6a21\u578b.py", None)])
def test_a_config_s_name_is_one_that_records_take(path, name):
    # Making(candidate="_int8") was refused after the training.
    if name is None:
        with pytest.raises(UserError, match="after their files: here nothing. What is left"):
            wanted(compression_configs=[path])
    else:
        (found,) = wanted(compression_configs=[path])
        assert Outcome(version=1, kind="failed candidate", candidate=found.name, stage="compress",
                       reason="x").candidate == name


def test_names_differ_from_those_of_ready_made_candidates_in_more_than_capitals():
    assert [one.name for one in wanted(compression_configs=["INT8.py"], candidates=["int8"])] == ["own-INT8", "int8"]
    with pytest.raises(UserError, match="parameter compression_configs"):
        wanted(compression_configs=["own-int8.py", "int8.py"], candidates=["int8"])


def test_auto_trains_where_that_is_needed_and_goes_on_without_one_that_cannot_be():
    found = wanted(candidates=["auto"], max_candidates=3)
    assert [(each.name, each.when, each.may_fail) for each in found] == [
        ("post_training", "never", True), ("int8", "when_needed", True), ("int8_pruned_40", "when_needed", True)]
    assert wanted(candidates=["auto"], fine_tune="always")[1].when == "always"


@pytest.mark.parametrize("given, message", [
    ({}, "no candidate is given"), ({"candidates": ["int4"]}, "parameter candidates: int4"),
    ({"candidates": ["auto"], "fine_tune": "often"}, "parameter fine_tune: often"),
    ({"candidates": ["auto"], "max_candidates": -1}, "parameter max_candidates: -1"),
    ({"compression_configs": ["a/x.py", "a/X.py"]}, "parameter compression_configs"),
    ({"compression_configs": ["a/fp32.py"]}, "none is fp32")])
def test_candidates_that_cannot_be_are_refused(given, message):
    with pytest.raises(UserError, match=message):
        wanted(**given)


def test_report_by_hand_names_a_candidate_whose_files_are_not_all_given(tmp_path, capsys):
    from components.report.stage import STAGE as REPORT

    file = str(tmp_path / "any.json")
    names = ("log-fp32", "evaluation-fp32", "validation", "summary", "html", "markdown", "metrics", "confusion")
    arguments = [item for name in names for item in (f"--{name}", file)]
    code = REPORT.main([*arguments, "--data", "{}", "--model", "{}", "--parent", "{}",
                        "--evaluation-candidates", f"int8={file}", "--log-candidates", f"int8={file}"])
    assert code == 2 and "candidates: int8; int8; none. Evaluations, logs and makings" in capsys.readouterr().err
