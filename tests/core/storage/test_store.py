import os

import pytest

from core.base.errors import UserError
from core.storage.s3_store import PART_BYTES
from core.storage.store import ObjectExists, ObjectNotFound, check_name, open_store


def test_what_was_written_is_read_and_listed(store, tmp_path):
    store.write("b/second", b"two")
    store.write("a", b"")
    store.write("b/first é+%20?&", b"one")

    infos = store.list()
    assert [(info.name, info.size) for info in infos] == [("a", 0), ("b/first é+%20?&", 3), ("b/second", 3)]
    assert store.read("b/first é+%20?&") == b"one" and store.read("a") == b""
    assert [info.name for info in store.list("b/s")] == ["b/second"]
    assert store.find("b/second") == infos[2]
    assert infos[0].modified.utcoffset().total_seconds() == 0


def test_a_new_store_is_empty_and_nothing_is_made_by_looking(store, tmp_path):
    assert store.list() == [] and store.list("deep/er") == [] and store.find("x/y") is None
    assert list(tmp_path.iterdir()) == []


def test_writing_again_replaces_and_changes_the_etag(store):
    store.write("state", b"one")
    before = store.find("state").etag
    store.write("state", b"other")
    assert store.read("state") == b"other"
    assert store.find("state").etag != before


def test_what_must_be_new_is_not_replaced(store):
    store.write("claim", b"mine", only_new=True)
    with pytest.raises(ObjectExists, match="claim"):
        store.write("claim", b"yours", only_new=True)
    assert store.read("claim") == b"mine"


@pytest.mark.parametrize("size", [0, 10, PART_BYTES, 2 * PART_BYTES + 12345])
def test_files_travel_there_and_back(store, tmp_path, size):
    source, copy = tmp_path / "source", tmp_path / "to" / "copy"
    source.write_bytes(os.urandom(size))
    store.upload(source, "models/big.bin")
    store.download("models/big.bin", copy)
    assert copy.read_bytes() == source.read_bytes()
    assert os.listdir(copy.parent) == ["copy"]


def test_a_missing_object_is_named(store, tmp_path):
    with pytest.raises(ObjectNotFound, match="not found|NoSuchKey") as missing:
        store.read("no/such")
    assert store.uri("no/such") in str(missing.value)
    (tmp_path / "kept").write_text("kept")
    with pytest.raises(ObjectNotFound):
        store.download("no/such", tmp_path / "kept")
    assert (tmp_path / "kept").read_text() == "kept"


def test_deleting_twice_is_deleting_once(store):
    store.write("x", b"1")
    store.delete("x")
    store.delete("x")
    assert store.list() == []


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../up", "a/../b", "a//b", "a/", "a\nb", "a\0"])
def test_names_that_lead_elsewhere_are_refused(store, name):
    with pytest.raises(UserError, match="object name"):
        check_name(name, "here")
    for method in (store.read, store.find, store.delete):
        with pytest.raises(UserError, match="object name"):
            method(name)
    with pytest.raises(UserError, match="object name"):
        store.write(name, b"")


@pytest.mark.parametrize("location", ["builtin://digits", "gs://bucket", "s3://", "s3://bucket/x?latest"])
def test_what_is_no_store_is_refused(location):
    with pytest.raises(UserError, match="destination: "):
        open_store(location, "destination")
