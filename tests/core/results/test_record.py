import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.base.errors import UserError
from core.results.accuracy import DetectionMetrics
from core.results.record import Count, MeasuredFraction, MeasuredQuantity, Name, Positive, Record, Text
from core.results.summary import Summary
from tests.summaries import summary_record


class Inner(Record):
    names: dict[Text, MeasuredFraction]
    counts: tuple[Count, ...]


class Toy(Record):
    name: Name
    fps: Positive
    size: MeasuredQuantity
    inner: Inner


GOOD = {"name": "a", "fps": 2.0, "size": None, "inner": {"names": {"red": 0.5, "green": None}, "counts": [1, 2]}}


def changed(path, value):
    record = json.loads(json.dumps(GOOD))
    inner = record
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return record


def test_null_is_nan_and_nan_is_null():
    toy = Toy.from_json(GOOD)
    assert math.isnan(toy.size) and math.isnan(toy.inner.names["green"])
    assert toy.to_json() == GOOD and "NaN" not in toy.to_text()


def test_a_record_survives_its_file(tmp_path):
    toy = Toy.from_json({**GOOD, "size": 3.0, "inner": {"names": {"\u7ea2": 0.5}, "counts": []}})
    toy.write(tmp_path / "new" / "toy.json")
    assert Toy.read(tmp_path / "new" / "toy.json") == toy


@pytest.mark.parametrize("path, value, place", [
    (("fps",), "fast", "fps is 'fast'"), (("fps",), True, "fps is True"), (("fps",), 0, "fps is 0"),
    (("fps",), None, "fps is None"), (("size",), "big", "size is 'big'"), (("size",), -1, "size is -1"),
    (("size",), True, "size is True"), (("size",), 10 ** 400, "an integer of 401 digits"),
    (("name",), "../x", "name is '../x'"), (("name",), 3, "name is 3"),
    (("inner", "names", "red"), 1.5, "inner.names.red is 1.5"),
    (("inner", "counts"), [1, -2], "inner.counts[1] is -2"), (("inner", "counts"), [1.5], "inner.counts[0] is 1.5"),
    (("inner", "counts"), "12", "inner.counts is '12'"), (("inner",), [], "inner is []"), (("extra",), 1, "extra is 1"),
    (("inner", "names"), {"x" * 10_000: "y" * 10_000}, "inner.names.xxx")])
def test_a_wrong_value_is_named_with_its_place(tmp_path, path, value, place):
    file = tmp_path / "toy.json"
    file.write_text(json.dumps(changed(path, value)))
    with pytest.raises(UserError) as raised:
        Toy.read(file)
    assert raised.value.thing == f"toy {file}" and place in raised.value.value
    assert len(str(raised.value)) < 2000


def test_a_key_of_the_file_is_no_attribute_s_name():
    record = summary_record()
    record["baseline_map"] = record.pop("map_fp32")
    with pytest.raises(UserError, match="map_fp32 is missing"):
        Summary.from_json(record)


def test_a_missing_key_is_named():
    with pytest.raises(UserError, match="inner.counts is missing"):
        Toy.from_json({**GOOD, "inner": {"names": {}}})


@pytest.mark.parametrize("content", [
    b"", b"{", b"\xff\xfe", b"[1]", b"null", b"NaN", b'{"name": NaN}', b'{"fps": Infinity}', b"[" * 100_000,
    b'{"size": ' + b"9" * 10_000 + b"}", b'{"name": "\\udcff"}'])
def test_what_is_no_record_is_refused(tmp_path, content):
    file = tmp_path / "toy.json"
    file.write_bytes(content)
    with pytest.raises(UserError) as raised:
        Toy.read(file)
    assert str(file) in str(raised.value) and len(str(raised.value)) < 2000


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for place in (tmp_path / "absent.json", tmp_path):
        with pytest.raises(UserError, match=str(place)):
            Toy.read(place)


def test_a_huge_file_is_not_read(tmp_path):
    with open(tmp_path / "toy.json", "wb") as file:
        file.truncate(10 ** 9)
    with pytest.raises(UserError, match="1,000,000,000 bytes, and at most"):
        Toy.read(tmp_path / "toy.json")


def test_many_mistakes_are_counted():
    with pytest.raises(UserError, match="and 9,997 more"):
        Toy.from_json(changed(("inner", "counts"), ["x"] * 10_000))


def test_rounding_beyond_a_limit_is_cut_and_more_is_refused():
    inner = Inner(names={"red": 1.0000000000000002, "bad\udcff": 0.5}, counts=())
    assert inner.names == {"red": 1.0, "bad?": 0.5}
    with pytest.raises(ValueError):
        Inner(names={"red": 1.01}, counts=())


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
                    max_leaves=5)


@settings(max_examples=150, deadline=None)
@given(path=st.sampled_from([("name",), ("fps",), ("size",), ("inner",), ("inner", "names"), ("inner", "counts"),
                             ("extra",)]), value=JSON)
def test_any_other_value_is_read_or_refused_with_its_place(path, value):
    """Nothing but a UserError leaves the reader, and what it reads it writes again."""
    record = changed(path, value)
    try:
        toy = Toy.from_json(record)
    except UserError as error:
        assert str(error.value)
        return
    assert Toy.from_json(toy.to_json()).to_text() == toy.to_text()


def test_undefined_accuracy_is_null_and_back():
    figures = [name for name, field in DetectionMetrics.model_fields.items() if field.annotation is float]
    metrics = DetectionMetrics(**dict.fromkeys(figures, 0.5), per_class_ap={"cat": 0.5, "dog": math.nan},
                               per_class_voc_ap={}, images=3, detections=7)
    metrics = metrics.model_copy(update={"map_small": math.nan})
    written = metrics.to_json()
    assert written["map_small"] is None and written["per_class_ap"] == {"cat": 0.5, "dog": None}
    assert json.loads(json.dumps(written, allow_nan=False)) == written
    assert DetectionMetrics.from_json(written).to_json() == written
