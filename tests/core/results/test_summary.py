import json

import pytest

from core.base.errors import UserError
from core.results.summary import FIGURES, Summary, Thresholds
from tests.summaries import summary_record


def test_a_summary_written_before_there_were_names_and_a_floor_is_read():
    record = summary_record()
    del record["provenance"]["models"], record["provenance"]["thresholds"]["min_map"]
    summary = Summary.from_json(record)
    assert summary.provenance.thresholds == Thresholds() and summary.provenance.models.candidate == "candidate"


@pytest.mark.parametrize("change, message", [
    ({"schema": 1}, "schema is 1"), ({"extra": 1}, "extra is 1"), ({"fps": "high"}, "fps is 'high'"),
    ({"fps": True}, "fps is True"), ({"verdict": "maybe"}, "verdict is 'maybe'"),
    ({"worst_class": 3}, "worst_class is 3"), ({"provenance": {}}, "provenance.sha256 is missing")])
def test_what_is_no_summary_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        Summary.from_json({**summary_record(), **change})


def test_limits_out_of_range_name_file_and_parameter(tmp_path):
    record = summary_record()
    record["provenance"]["thresholds"]["max_map_drop"] = 7
    (tmp_path / "summary.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="summary.json, parameter max_map_drop: 7"):
        Summary.read(tmp_path / "summary.json")


@pytest.mark.parametrize("figure", FIGURES)
def test_a_summary_without_a_key_is_refused(figure):
    record = summary_record()
    del record[figure]
    with pytest.raises(UserError, match=f"{figure} is missing"):
        Summary.from_json(record)
