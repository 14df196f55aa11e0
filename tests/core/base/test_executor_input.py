import json
from pathlib import Path

import pytest

from core.base.errors import UserError
from core.base.executor_input import candidates_of


def executor_input(*artifacts):
    return json.dumps({"inputs": {"artifacts": {"irs": {"artifacts": [
        {"uri": uri, "metadata": metadata} for uri, metadata in artifacts]}}}})


def test_artifacts_of_a_list_are_told_apart_by_their_candidate_whatever_their_order():
    given = executor_input(("s3://bucket/b/ir", {"candidate": "b"}), ("/local/a/ir", {"candidate": "a", "size": 1.0}))
    assert candidates_of(given, "irs") == {"b": Path("/s3/bucket/b/ir"), "a": Path("/local/a/ir")}


@pytest.mark.parametrize("uri, path", [("gs://x/y", "/gcs/x/y"), ("minio://x/y", "/minio/x/y"), ("/x", "/x")])
def test_paths_are_those_of_kfp(uri, path):
    from kfp import dsl

    assert candidates_of(executor_input((uri, {"candidate": "a"})), "irs") == {"a": Path(path)}
    assert dsl.Artifact(uri=uri).path == path


@pytest.mark.parametrize("given", [
    executor_input(("/a", {})), executor_input(("/a", {"candidate": "a"}), ("/b", {"candidate": "a"})), "{}",
    "no json"])
def test_an_artifact_that_names_no_candidate_of_its_own_is_refused(given):
    with pytest.raises(UserError, match="--executor-input, irs"):
        candidates_of(given, "irs")
