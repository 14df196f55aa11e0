"""What stands in the place of a failed candidate's artifacts."""

import pytest

from core.results.outcome import Outcome

OUTCOME = Outcome(version=1, kind="failed candidate", candidate="int8", stage="compress", reason="loss: nan.")


@pytest.mark.parametrize("folder", [False, True])
def test_an_outcome_is_found_in_an_artifacts_place(tmp_path, folder):
    OUTCOME.put(tmp_path / "artifact", folder)
    assert (tmp_path / "artifact").is_dir() == folder
    assert Outcome.at(tmp_path / "artifact") == OUTCOME


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a checkpoint", b'{"kind": "pytorch"}', b"{ no json", b"[1]"])
def test_an_artifact_is_no_outcome(tmp_path, content):
    (tmp_path / "artifact").write_bytes(content)
    assert Outcome.at(tmp_path / "artifact") is None
    assert Outcome.at(tmp_path) is None and Outcome.at(tmp_path / "absent") is None


def test_how_long_a_failure_took_changes_no_digest():
    assert OUTCOME.model_copy(update={"seconds": 9.0}).digest == OUTCOME.digest
    assert OUTCOME.model_copy(update={"reason": "loss: inf."}).digest != OUTCOME.digest
