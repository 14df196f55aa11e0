from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import botocore.endpoint
import pytest

from core.base.errors import UserError
from core.bundle.manifest import Manifest
from core.bundle.publish import check_destination, publish
from core.bundle.publish_s3 import S3Publisher
from core.storage.s3_store import S3Store
from core.storage.store import AccessDenied
from tests.core.bundle.published import PUBLISHED, seal, write_bundle
from tests.core.storage.fault_proxy import Fault, fault_proxy


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "bundle")


def test_first_version_holds_the_bundle_and_nothing_else_is_left(bundle, s3):
    published = publish(bundle, f"{s3.uri}/models/", "cells")
    assert (published.location, published.version, published.created) == (f"{s3.uri}/models/cells/1", 1, True)
    assert s3.names() == [f"models/cells/1/{name}" for name in PUBLISHED]
    for name in PUBLISHED:
        assert s3.get(f"models/cells/1/{name}") == (bundle / name).read_bytes()


def test_same_content_is_published_once_and_other_content_as_the_next_version(bundle, s3):
    publish(bundle, s3.uri, "cells")
    again = publish(bundle, s3.uri, "cells")
    assert (again.version, again.created) == (1, False)
    (bundle / "labels.txt").write_text("others")
    seal(bundle)
    assert publish(bundle, s3.uri, "cells").version == 2


def test_a_damaged_version_does_not_count(bundle, s3):
    publish(bundle, s3.uri, "cells")
    s3.put("cells/1/labels.txt", b"labels.tXt")
    assert publish(bundle, s3.uri, "cells").version == 2


def test_other_content_under_a_version_is_refused(bundle, s3):
    assert publish(bundle, s3.uri, "cells", version=3).version == 3
    assert not publish(bundle, s3.uri, "cells", version=3).created
    (bundle / "labels.txt").write_text("others")
    seal(bundle)
    before = s3.names()
    with pytest.raises(UserError, match="cells/3. A version that is published never gets other content"):
        publish(bundle, s3.uri, "cells", version=3)
    assert s3.names() == before and s3.get("cells/3/labels.txt") == b"labels.txt"


def test_the_manifest_is_written_last(bundle, s3, monkeypatch):
    with fault_proxy(s3.server.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        publish(bundle, s3.uri, "cells")
    written = [line.split("/", 2)[2].partition("?")[0] for line in proxy.seen if line[:4] in ("PUT ", "POST")]
    assert written[0] == "cells/.claims/1" and written[-1] == "cells/1/bundle.json"
    assert [line for line in proxy.seen if line.startswith("DELETE")] == [f"DELETE /{s3.name}/cells/.claims/1"]


def test_a_publication_that_fails_shows_no_version_and_is_resumed_by_the_next(bundle, s3, monkeypatch):
    def plan(method, path, before):
        return Fault(403, "AccessDenied") if method == "PUT" and path.endswith("fp32/model.xml") else None

    with fault_proxy(s3.server.endpoint) as proxy:
        proxy.plan = plan
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        with pytest.raises(AccessDenied, match="cells/1/fp32/model.xml: AccessDenied"):
            publish(bundle, s3.uri, "cells")
        assert s3.names() == ["cells/.claims/1", "cells/1/fp32/model.bin"]
        proxy.plan = lambda method, path, before: None
        proxy.seen.clear()
        assert publish(bundle, s3.uri, "cells").version == 1
    assert not any("fp32/model.bin" in line for line in proxy.seen)
    assert s3.names() == [f"cells/1/{name}" for name in PUBLISHED]


def test_file_that_changed_is_refused(bundle, s3):
    (bundle / "model.bin").write_text("changed")
    with pytest.raises(UserError, match="it changed"):
        publish(bundle, s3.uri, "cells")
    assert s3.names() == []


def test_publishers_at_the_same_time_get_versions_of_their_own(bundle, s3, tmp_path):
    folders = []
    for number in range(4):
        folders.append(tmp_path / f"bundle {number}")
        folders[-1].mkdir()
        for name in ("model.xml", "model.bin"):
            (folders[-1] / name).write_text(f"{number} {name}")
        seal(folders[-1])
    with ThreadPoolExecutor(len(folders)) as pool:
        versions = [published.version for published in
                    pool.map(lambda folder: publish(folder, s3.uri, "cells"), folders)]
    assert sorted(versions) == [1, 2, 3, 4]
    for number, version in enumerate(versions):
        for name in ("bundle.json", "model.bin", "model.xml"):
            assert s3.get(f"cells/{version}/{name}") == (folders[number] / name).read_bytes()


def test_what_a_killed_publisher_left_is_skipped_and_after_a_day_cleared(bundle, s3):
    s3.put("cells/.claims/1", b"somebody")
    s3.put("cells/1/model.bin", b"half")
    assert publish(bundle, s3.uri, "cells").version == 2
    assert "cells/1/model.bin" in s3.names()

    assert publish_a_day_later(s3, bundle) == (2, False)
    left = [f"cells/2/{name}" for name in PUBLISHED]
    assert s3.names() == ["cells/.claims/1", *left]
    assert publish_a_day_later(s3, bundle, 2) == (2, False)
    with pytest.raises(UserError, match="cells/1. .*given up is not used again"):
        publish(bundle, s3.uri, "cells", version=1)
    write_bundle(bundle, {"model.xml": b"another"})
    assert publish(bundle, s3.uri, "cells").version == 3


def publish_a_day_later(s3, bundle, days=2):
    publisher = S3Publisher(S3Store(s3.name, "cells"), now=lambda: datetime.now(UTC) + timedelta(days=days))
    return publisher.publish(bundle, Manifest.read(bundle), None)


def test_a_version_that_is_closed_takes_the_manifest_of_a_publisher_that_still_lives(bundle, s3, monkeypatch):
    """It began more than a day ago, and another one comes and closes its version between two of its requests."""
    other = write_bundle(bundle.parent / "other", {"model.xml": b"another"})
    with fault_proxy(s3.server.endpoint) as proxy:
        closed = []

        def plan(method, path, before):
            if method == "PUT" and path.endswith("1/model.bin") and not closed:
                closed.append(publish_a_day_later(s3, other))
            return None

        proxy.plan = plan
        client = S3Store(s3.name, "cells")
        monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda seconds: None))
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        with pytest.raises(UserError, match="cells/1. This publication took so long that another one gave it up"):
            publish(bundle, s3.uri, "cells")
    assert closed == [(2, True)] and client.find("1/bundle.json") is None
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.server.endpoint)
    assert publish(bundle, s3.uri, "cells").version == 3


def test_a_version_that_is_committed_is_never_cleared(bundle, s3):
    publish(bundle, s3.uri, "cells")
    s3.put("cells/.claims/1", b"a claim that its publisher did not come to delete")
    before = s3.names()
    assert publish_a_day_later(s3, bundle) == (1, False)
    assert s3.names() == before[1:]


def test_a_claimed_version_is_refused_by_name(bundle, s3):
    s3.put("cells/.claims/5", b"somebody")
    with pytest.raises(UserError, match="cells/5. Somebody else is publishing this version"):
        publish(bundle, s3.uri, "cells", version=5)


def test_a_server_without_conditional_writes_still_gets_the_bundle(bundle, s3, monkeypatch):
    with fault_proxy(s3.server.endpoint) as proxy:
        refused = []

        def plan(method, path, before):
            if method == "PUT" and path.endswith("/.claims/1") and path not in refused:
                refused.append(path)
                return Fault(501, "NotImplemented")
            return None

        proxy.plan = plan
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        assert publish(bundle, s3.uri, "cells").version == 1
    assert len(refused) == 1 and s3.names() == [f"cells/1/{name}" for name in PUBLISHED]


def test_the_destination_is_checked_by_writing(s3, monkeypatch):
    check_destination(f"{s3.uri}/models", "cells")
    assert s3.names() == []
    with pytest.raises(UserError, match="absent-bucket.*(NoSuchBucket|404)"):
        check_destination("s3://absent-bucket/models", "cells")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    with pytest.raises(AccessDenied, match="SignatureDoesNotMatch") as caught:
        check_destination(f"{s3.uri}/models", "cells")
    assert "canary" not in str(caught.value)


def test_a_version_that_is_published_is_refused_before_there_is_a_bundle(s3):
    s3.put("cells/3/bundle.json", b"{}")
    check_destination(s3.uri, "cells", 4)
    with pytest.raises(UserError, match="parameter model_version: 3. .*cells has this version already"):
        check_destination(s3.uri, "cells", 3)


def test_a_destination_that_may_be_listed_but_not_written_is_refused(s3, monkeypatch):
    with fault_proxy(s3.server.endpoint) as proxy:
        proxy.plan = lambda method, path, before: Fault(403, "AccessDenied") if method == "PUT" else None
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        with pytest.raises(AccessDenied, match="right to write"):
            check_destination(f"{s3.uri}/models", "cells")


def test_a_destination_without_credentials_or_service_is_refused(s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="127.0.0.1:9"):
        check_destination(f"{s3.uri}/models", "cells")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("HOME", "/nowhere")
    with pytest.raises(UserError, match="NoCredentialsError.*Set AWS_ACCESS_KEY_ID"):
        check_destination(f"{s3.uri}/models", "cells")
