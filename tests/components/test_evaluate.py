"""What evaluate takes for a candidate's own failure, and what fails the run."""

import dataclasses
import json

import pytest

from components.evaluate.stage import STAGE
from core.base.errors import CandidateFailed, UserError
from core.checkpoint.checkpoint import load_checkpoint, save_checkpoint
from core.results.outcome import Outcome
from tests.core.training.conftest import compressed, plain, tiny_config, tiny_data, tiny_ref, trained

__all__ = ["compressed", "plain", "tiny_config", "tiny_data", "tiny_ref", "trained"]


@pytest.fixture
def evaluate(tmp_path, tiny_ref):
    """Return a function that evaluates a checkpoint of a candidate, and gives the exit code and its outcome, if any."""
    def run(checkpoint, candidate="int8"):
        artifacts = {name: {"artifacts": [{"name": name, "uri": f"/{name}"}]} for name in ("evaluation", "detections")}
        code = STAGE.main(["--data", json.dumps(tiny_ref.to_json()), "--checkpoint", str(checkpoint),
                           "--candidate", json.dumps({"name": candidate} if candidate else {}),
                           "--evaluation", str(tmp_path / "evaluation.json"),
                           "--detections", str(tmp_path / "found.npz"),
                           "--executor-input", json.dumps({"outputs": {"outputFile": str(tmp_path / "output.json"),
                                                                       "artifacts": artifacts}})])
        return code, Outcome.at(tmp_path / "evaluation.json")

    return run


def test_a_compression_that_cannot_be_restored_is_the_candidate_s_outcome(evaluate, compressed, tmp_path):
    given = load_checkpoint(compressed)
    state = {**given.compression.state, "builder_state": {"quantization": {}}}
    save_checkpoint(dataclasses.replace(given, compression=dataclasses.replace(given.compression, state=state)),
                    tmp_path / "bad.pth")
    code, outcome = evaluate(tmp_path / "bad.pth")
    assert code == 0 and (outcome.candidate, outcome.stage) == ("int8", "evaluate")
    assert "compression_state" in outcome.reason
    # Of the baseline, or by hand, it is an error.
    (tmp_path / "evaluation.json").unlink()
    assert evaluate(tmp_path / "bad.pth", candidate="") == (2, None)


def test_boxes_that_are_nan_are_the_candidate_s_outcome(evaluate, compressed, monkeypatch):
    def broken(*arguments):
        raise CandidateFailed("model", "boxes or scores that are NaN", "Every box must be of numbers.", "")

    monkeypatch.setattr("core.training.evaluate.evaluate_network", broken)
    code, outcome = evaluate(compressed)
    assert code == 0 and outcome.reason.startswith("model: boxes or scores that are NaN")


@pytest.mark.parametrize("fault", ["cut off", "other classes", "data out of reach"])
def test_what_is_no_fault_of_the_candidate_s_fails_the_run(evaluate, compressed, tmp_path, monkeypatch, fault):
    checkpoint = tmp_path / "it.pth"
    checkpoint.write_bytes(compressed.read_bytes())
    if fault == "cut off":
        checkpoint.write_bytes(compressed.read_bytes()[:-100])
    elif fault == "other classes":
        save_checkpoint(dataclasses.replace(load_checkpoint(compressed), classes=("cat",)), checkpoint)
    else:
        def unreachable(reference):
            raise UserError("object storage", "s3://sets", "It does not answer.", "Wait.")

        monkeypatch.setattr("core.data.dataset.open_dataset", unreachable)
    assert evaluate(checkpoint) == (2, None)
    assert not (tmp_path / "evaluation.json").exists() and not (tmp_path / "found.npz").exists()
