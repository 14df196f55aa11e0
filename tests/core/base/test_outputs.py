import json

import pytest

from core.base.executor_output import ExecutorOutput
from core.base.outputs import MOST_CLASSES, write_confusion_matrix, write_json, write_metrics, write_text


def test_text_goes_to_folders_that_did_not_exist(tmp_path):
    write_text(tmp_path / "a" / "b" / "location", "here")
    assert (tmp_path / "a" / "b" / "location").read_text() == "here"
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["location"]


def test_json_that_cannot_be_stored_leaves_what_was_there(tmp_path):
    write_json(tmp_path / "value", {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "value", {"a": float("nan")})
    assert json.loads((tmp_path / "value").read_text()) == {"a": 1}


def test_metrics_are_metadata_and_a_file(tmp_path):
    executor_input = {"outputs": {
        "outputFile": str(tmp_path / "output.json"),
        "artifacts": {"metrics": {"artifacts": [{"name": "metrics", "uri": "/m"}]}}}}
    output = ExecutorOutput(json.dumps(executor_input))
    write_metrics(output, "metrics", tmp_path / "metrics", {"map": 0.5, "ap": float("nan"), "none": None})
    output.write()

    assert json.loads((tmp_path / "metrics").read_text()) == {"map": 0.5, "ap": "nan"}
    written = json.loads((tmp_path / "output.json").read_text())
    assert written["artifacts"]["metrics"]["artifacts"] == [
        {"name": "metrics", "uri": "/m", "metadata": {"map": 0.5, "ap": "nan"}}]


def written_artifact(tmp_path, classes, matrix):
    """Return a confusion matrix's file and the metadata of its artifact."""
    executor_input = {"outputs": {
        "outputFile": str(tmp_path / "output.json"),
        "artifacts": {"confusion": {"artifacts": [{"name": "confusion", "uri": "/c"}]}}}}
    output = ExecutorOutput(json.dumps(executor_input))
    write_confusion_matrix(output, "confusion", tmp_path / "confusion", classes, matrix)
    output.write()
    (artifact,) = json.loads((tmp_path / "output.json").read_text())["artifacts"]["confusion"]["artifacts"]
    return json.loads((tmp_path / "confusion").read_text()), artifact["metadata"]


def test_a_confusion_matrix_is_what_the_sdk_makes_of_it(tmp_path):
    from kfp import dsl

    classes, matrix = ["cat", "dog", "background"], [[3, 1, 0], [0, 2, 4], [1, 0, 0]]
    file, metadata = written_artifact(tmp_path, classes, matrix)
    assert file == {"classes": classes, "matrix": matrix}
    expected = dsl.ClassificationMetrics(name="x", uri="/x", metadata={})
    expected.log_confusion_matrix(classes, matrix)
    assert metadata == expected.metadata


def test_a_matrix_of_very_many_classes_goes_into_the_file_alone(tmp_path):
    count = MOST_CLASSES + 1
    file, metadata = written_artifact(tmp_path, [str(number) for number in range(count)], [[0] * count] * count)
    assert len(file["matrix"]) == count and metadata == {}
