from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.base.errors import UserError
from core.storage.location import Location, Scheme, local_path, parse_location


@pytest.mark.parametrize("text, expected", [
    ("/data/bccd", "/data/bccd"),
    ("/data/../other/", "/other"),
    ("file:///data/with%20space", "/data/with space"),
    ("file://localhost/data", "/data"),
    ("file:/data", "/data"),
    ("/data/größe #1?x=1", "/data/größe #1?x=1"),
])
def test_a_place_of_this_machine_becomes_an_absolute_path(text, expected):
    assert parse_location(text) == Location(Scheme.FILE, expected)
    assert local_path(text) == Path(expected)


def test_relative_and_home_paths_become_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    assert local_path("data/set") == tmp_path / "data" / "set"
    assert local_path("~/set") == Path("/home/someone/set")


def test_what_is_built_in_has_a_name_and_options():
    assert parse_location("builtin://digits") == Location(Scheme.BUILTIN, "digits")
    assert parse_location("builtin://digits/?seed=1&val=") == Location(Scheme.BUILTIN, "digits",
                                                                       {"seed": "1", "val": ""})


@pytest.mark.parametrize("text", [
    "", "a\0b", "file:///a%00b", "file://", "file:data", "file://server/share", "file://[x/share", "s3://", "s3:///key",
    "s3://b/..", "gs://bucket/x", "https://host/x", "builtin://digits?seed=1&seed=2", "builtin://digits?seed",
])
def test_what_cannot_be_reached_is_refused_by_its_name(text):
    with pytest.raises(UserError) as caught:
        parse_location(text, "destination")
    assert caught.value.thing == "destination"
    assert caught.value.value in (text, repr(text))


def test_a_bucket_and_a_key_are_taken_as_they_stand():
    location = parse_location("s3://my.bucket/a/b%20c #+/")
    assert (location.scheme, location.bucket, location.key) == (Scheme.S3, "my.bucket", "a/b%20c #+")
    assert str(location) == "s3://my.bucket/a/b%20c #+"
    assert (parse_location("s3://bucket").bucket, parse_location("s3://bucket/").key) == ("bucket", "")


@pytest.mark.parametrize("text, pattern", [("s3://bucket/p?latest", ""), ("s3://bucket/p/?latest=v*", "v*"),
                                           ("file:///p?latest=20??", "20??")])
def test_stored_locations_can_ask_for_the_latest(text, pattern):
    assert parse_location(text).query == {"latest": pattern}
    assert parse_location(text).path in ("bucket/p", "/p")


def test_only_places_of_this_machine_have_a_local_path():
    with pytest.raises(UserError, match="builtin://digits"):
        local_path("builtin://digits")


def test_a_refused_uri_does_not_tell_the_secrets_in_it():
    for text in ("s3://key:secret@bucket/prefix?X-Amz-Signature=canary", "s3://bucket/prefix?X-Amz-Signature=canary",
                 "https://key:secret@bucket/prefix?X-Amz-Signature=canary"):
        with pytest.raises(UserError) as refused:
            parse_location(text)
        assert "secret" not in str(refused.value) and "canary" not in str(refused.value)
        assert "bucket/prefix" in str(refused.value)


ODD = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=25)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=40), ODD.map("s3://bucket/{}".format), ODD.map("file://{}".format),
                 ODD.map("file:///{}".format), ODD.map("s3://{}".format), ODD.map("builtin://{}".format)))
def test_whatever_is_written_is_a_location_or_refused(text):
    try:
        location = parse_location(text)
    except UserError as refused:
        assert refused.rule and refused.hint
        return
    assert location.scheme is not Scheme.FILE or location.path.startswith("/")
    if location.scheme is Scheme.S3:
        parts = location.key.split("/") if location.key else []
        assert location.bucket and not {"", ".", ".."} & set(parts)


@settings(max_examples=200, deadline=None)
@given(st.lists(ODD.filter(lambda part: part not in ("", ".", "..") and not set("/?") & set(part)), max_size=4))
def test_a_key_without_a_question_mark_survives(parts):
    location = parse_location("/".join(["s3://bucket", *parts]))
    assert (location.bucket, location.key) == ("bucket", "/".join(parts))
    assert parse_location(str(location)) == location


@settings(max_examples=200, deadline=None)
@given(ODD.filter(lambda name: name not in ("", ".", "..") and "/" not in name))
def test_any_file_name_survives_as_a_path_and_as_a_uri(name):
    assert parse_location(f"/data/{name}").path == f"/data/{name}"
    assert parse_location(f"file:///data/{quote(name)}").path == f"/data/{name}"
