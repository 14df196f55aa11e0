import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.base.errors import UserError
from core.storage.location import parse_location
from core.storage.source import resolve_latest, resolve_single, resolve_source, version_key
from tests.core.storage.fault_proxy import fault_proxy


def test_a_prefix_is_resolved_without_downloading(s3, monkeypatch):
    for name in ("a", "b/c", "b/d"):
        s3.put(f"set/{name}", name.encode())
    s3.put("settings", b"beside")
    s3.put("set/folder/", b"")
    with fault_proxy(s3.server.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        source = resolve_source(f"{s3.uri}/set/")
    assert [info.name for info in source.objects] == ["a", "b/c", "b/d"]
    assert (source.uri, source.size, source.single) == (f"{s3.uri}/set", 7, False)
    assert all("list-type=2" in line for line in proxy.seen)


def test_the_digest_depends_on_content_alone(s3):
    s3.put("one/a", b"1")
    s3.put("two/a", b"1")
    first = resolve_source(f"{s3.uri}/one").digest
    assert resolve_source(f"{s3.uri}/two").digest == first
    s3.put("one/a", b"1")
    assert resolve_source(f"{s3.uri}/one").digest == first
    s3.put("one/a", b"2")
    assert resolve_source(f"{s3.uri}/one").digest != first
    s3.put("two/b", b"")
    assert resolve_source(f"{s3.uri}/two").digest != first


def test_an_object_is_resolved_whatever_its_name(s3):
    one, other = (resolve_single(s3.put(key, b"weights"), "checkpoint") for key in ("m/model.pth", "top.pth"))
    assert one.digest == other.digest and one.single
    assert one.objects[0].name == "model.pth"
    with pytest.raises(UserError, match="checkpoint: .*/m. It must be an object"):
        resolve_single(f"{s3.uri}/m", "checkpoint")


def test_what_is_not_there_is_named(s3):
    with pytest.raises(UserError, match=f"data: {s3.uri}/none. There must be such an object"):
        resolve_source(f"{s3.uri}/none", "data")
    with pytest.raises(UserError, match=f"data: {s3.uri}. The bucket holds no object"):
        resolve_source(s3.uri, "data")
    with pytest.raises(UserError, match="s3://no-such-bucket"):
        resolve_source("s3://no-such-bucket/x", "data")


def test_the_latest_by_version_and_by_time_on_s3(s3):
    for name in ("v10/a", "v9/a", "v2.zip"):
        s3.put(f"sets/{name}", name.encode())
    time.sleep(1.1)
    s3.put("sets/old/b", b"newest")
    assert resolve_source(f"{s3.uri}/sets?latest=v*").uri == f"{s3.uri}/sets/v10"
    assert resolve_source(f"{s3.uri}/sets?latest=*.zip").uri == f"{s3.uri}/sets/v2.zip"
    assert resolve_source(f"{s3.uri}/sets?latest").uri == f"{s3.uri}/sets/old"
    with pytest.raises(UserError, match="there is old, v10, v2.zip, v9"):
        resolve_source(f"{s3.uri}/sets?latest=w*")


def test_the_latest_in_a_folder(tmp_path):
    for number, name in enumerate(("b", "a", "c")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
        os.utime(tmp_path / name / "file", (1000 + number % 2 * 100, 1000 + number % 2 * 100))
    location = parse_location(f"file://{tmp_path}?latest")
    assert resolve_latest(location, "data").path == str(tmp_path / "a")
    assert resolve_latest(parse_location(f"file://{tmp_path}?latest=[bc]"), "data").path == str(tmp_path / "c")


@given(st.lists(st.lists(st.integers(0, 10 ** 6), min_size=1, max_size=4), min_size=2, max_size=6))
def test_versions_are_ordered_as_their_numbers(versions):
    names = ["v" + ".".join(map(str, version)) for version in versions]
    in_order = sorted(zip(names, versions), key=lambda pair: version_key(pair[0]))
    assert [version for _, version in in_order] == sorted(versions)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=30), st.text(max_size=30))
def test_any_two_names_can_be_ordered(one, other):
    assert (version_key(one) < version_key(other)) or (version_key(one) >= version_key(other))
