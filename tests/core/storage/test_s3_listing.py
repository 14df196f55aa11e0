"""What a server says of its objects is taken apart without trust."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.base.errors import UserError
from core.storage import s3_listing
from core.storage.s3_listing import listed_objects, stored_object
from core.storage.store import StoredObject

WHEN = datetime(2024, 1, 2, 3, 4, 5, 678, UTC)
ENTRY = {"Key": "data/a.png", "Size": 70, "ETag": '"d41d8"', "LastModified": WHEN}
URI = "s3://bucket/data/"


def listed(*entries):
    return listed_objects([{"Contents": list(entries)}], "data/", URI)


def without(key):
    return {name: value for name, value in ENTRY.items() if name != key}


def test_a_listing_is_sorted_and_leaves_folder_marks_out():
    later = timezone(timedelta(hours=2))
    entries = [{**ENTRY, "Key": "data/b"}, {**ENTRY, "Key": "data/c/"},
               {**ENTRY, "LastModified": WHEN.astimezone(later)}]
    assert listed(*entries) == [StoredObject(name, 70, "d41d8", WHEN.replace(microsecond=0)) for name in ("a.png", "b")]
    assert listed_objects([{}, {"Contents": []}], "data/", URI) == []


@pytest.mark.parametrize("entry, said", [
    (without("ETag"), "no ETag"), (without("Size"), "no size"), (without("LastModified"), "no date"),
    (without("Key"), "the key None"), ({**ENTRY, "Key": "other/a"}, "'other/a'"), ({**ENTRY, "Key": 5}, "the key 5"),
    ({**ENTRY, "Key": "data/" + "x" * 2000}, "1024 bytes"), ({**ENTRY, "Size": -1}, "-1 size"),
    ({**ENTRY, "Size": True}, "True size"), ({**ENTRY, "Size": "70"}, "'70' size"),
    ({**ENTRY, "Size": 1 << 64}, "size"),
    ({**ENTRY, "ETag": ""}, "ETag"), ({**ENTRY, "ETag": '""'}, "ETag"), ({**ENTRY, "ETag": "x" * 10_000}, "long) ETag"),
    ({**ENTRY, "ETag": "a\x1b[2J"}, "ETag"), ({**ENTRY, "LastModified": "2024"}, "'2024' date"),
    ({**ENTRY, "LastModified": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=23)))}, "date"),
    ([], "listing of"), (None, "listing of"), ("x", "listing of")], ids=str)
def test_what_is_missing_or_malformed_is_named(entry, said):
    with pytest.raises(UserError) as refused:
        listed(entry)
    assert said in str(refused.value) and "s3://bucket/data/" in str(refused.value)


@pytest.mark.parametrize("times", [2, 65_000])
def test_a_key_is_listed_once(times):
    with pytest.raises(UserError, match="'data/a.png' twice"):
        listed_objects(({"Contents": [ENTRY]} for _ in range(times)), "data/", URI)


def test_a_listing_without_end_has_one(monkeypatch):
    monkeypatch.setattr(s3_listing, "MOST_OBJECTS", 100)
    monkeypatch.setattr(s3_listing, "MOST_PAGES", 50)

    def pages(size):
        number = 0
        while True:
            yield {"Contents": [{**ENTRY, "Key": f"data/{number + index}"} for index in range(size)]}
            number += size

    for size in (0, 10):
        with pytest.raises(UserError, match="more than 100 objects or 50 pages"):
            listed_objects(pages(size), "data/", URI)


def test_an_answer_that_botocore_cannot_read_is_named():
    def pages():
        raise RuntimeError("Unable to calculate correct timezone offset")
        yield

    with pytest.raises(UserError, match="listing of s3://bucket/data/.*timezone offset"):
        listed_objects(pages(), "data/", URI)


@given(st.dictionaries(st.sampled_from(["Key", "Size", "ETag", "LastModified"]), st.one_of(
    st.none(), st.integers(), st.text(max_size=9), st.datetimes(), st.datetimes(timezones=st.timezones()), st.lists(
        st.integers(), max_size=2))))
@settings(max_examples=200, deadline=None)
def test_any_answer_gives_a_sound_record_or_a_message(answer):
    try:
        found = stored_object("a", answer.get("Size"), answer, URI)
    except UserError as refused:
        assert refused.rule
    else:
        assert found.size >= 0 and found.etag and found.modified.tzinfo is UTC
