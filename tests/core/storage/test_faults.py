"""A right result after retries, or a message that names object and cause; never a wrong file."""

import os
import random
import re
import signal
import threading
from types import SimpleNamespace

import botocore.endpoint
import pytest

from core.base.errors import UserError
from core.base.files import new_folder
from core.storage import s3_client, s3_download
from core.storage.s3_store import PART_BYTES
from core.storage.store import open_store
from tests.core.storage.fault_proxy import Fault, fault_proxy
from tests.core.storage.signalled import exit_code

SMALL, BIG = os.urandom(30_000), os.urandom(2 * PART_BYTES + 100_000)
CLOCK = Fault(403, "RequestTimeTooSkewed")
EXPIRED = Fault(403, "ExpiredToken")
SLOW = Fault(503, "SlowDown")
MISSING = Fault(404, "NoSuchKey")


@pytest.fixture
def proxy(s3, monkeypatch):
    """The environment leads through a proxy; pauses are short."""
    monkeypatch.setattr(s3_download, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda seconds: None))
    monkeypatch.setenv("MMDET_COMPRESS_S3_TIMEOUT", "20")
    s3.put("set/small", SMALL)
    with fault_proxy(s3.server.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        yield proxy


@pytest.fixture
def store(proxy, s3):
    return open_store(f"{s3.uri}/set")


@pytest.fixture(scope="module")
def big_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("big") / "big"
    path.write_bytes(BIG)
    return path


def first(count, fault):
    """Return a plan in which the first GETs of an object fail."""
    def plan(method, path, before):
        return fault if method == "GET" and "list-type" not in path and before < count else None

    return plan


HEALING = [
    pytest.param(first(4, SLOW), id="a burst of 503 SlowDown"),
    pytest.param(first(2, Fault(500, "InternalError")), id="500"),
    pytest.param(first(3, Fault(reset_after=10_000)), id="reset in mid-body"),
    pytest.param(first(3, Fault(reset_after=0)), id="reset before the body"),
    pytest.param(first(3, Fault(end_after=10_000)), id="a body shorter than announced"),
    pytest.param(first(2, Fault(flip_at=12_345)), id="a flipped byte"),
    pytest.param(first(2, EXPIRED), id="an expired token that is renewed"),
    pytest.param(first(3, MISSING), id="404 that heals"),
]


@pytest.mark.parametrize("plan", HEALING)
def test_faults_that_pass_leave_no_trace_on_small_objects(store, proxy, tmp_path, plan):
    infos = store.list()
    proxy.seen.clear()
    proxy.plan = plan
    store.downloader().download_all(infos, tmp_path / "set", tmp_path / "work", lambda count: None)
    assert (tmp_path / "set" / "small").read_bytes() == SMALL
    assert proxy.count("GET") > 1


@pytest.mark.parametrize("plan", HEALING)
def test_faults_that_pass_leave_no_trace_on_big_objects(store, proxy, s3, tmp_path, big_file, plan):
    s3.client.upload_file(str(big_file), s3.name, "set/big")
    proxy.plan = plan
    arrived = []
    info = store.find("big")
    store.downloader().download_all([info], tmp_path / "set", tmp_path / "work", arrived.append)
    assert (tmp_path / "set" / "big").read_bytes() == BIG
    assert sum(arrived) == len(BIG)
    assert os.listdir(tmp_path / "work") == []


@pytest.mark.parametrize("name, content", [("small", SMALL), ("big", BIG)], ids=["small", "big"])
def test_a_server_that_falls_silent_is_asked_again(proxy, s3, tmp_path, monkeypatch, big_file, name, content):
    monkeypatch.setenv("MMDET_COMPRESS_S3_TIMEOUT", "2")
    s3.client.upload_file(str(big_file), s3.name, "set/big")
    store = open_store(f"{s3.uri}/set")
    info = store.find(name)
    proxy.plan = first(1, Fault(stall_after=100))
    store.downloader().download_all([info], tmp_path / "set", tmp_path / "work", lambda count: None)
    assert (tmp_path / "set" / name).read_bytes() == content


LASTING = [
    pytest.param(lambda method, path, before: SLOW if method == "GET" else None, "overloaded", id="SlowDown"),
    pytest.param(lambda method, path, before: Fault(reset_after=5000) if method == "GET" else None,
                 "ResponseStreamingError", id="resets"),
    pytest.param(lambda method, path, before: Fault(end_after=0) if method == "GET" else None,
                 "IncompleteReadError", id="empty bodies"),
    pytest.param(lambda method, path, before: Fault(flip_at=77) if method == "GET" else None,
                 "does not match its ETag", id="flipped bytes"),
    pytest.param(lambda method, path, before: EXPIRED if method == "GET" else None, "token has expired", id="expired"),
    pytest.param(lambda method, path, before: CLOCK if method == "GET" else None, "clock differs", id="clock"),
    pytest.param(lambda method, path, before: MISSING if method == "GET" else None, "not found", id="gone"),
    pytest.param(lambda method, path, before: Fault(403, "AccessDenied") if method == "GET" else None,
                 "credentials give no access", id="denied"),
]


@pytest.mark.parametrize("plan, cause", LASTING)
def test_faults_that_last_name_object_and_cause_and_leave_no_file(store, proxy, s3, tmp_path, plan, cause):
    proxy.plan = plan
    with pytest.raises(UserError) as caught:
        store.download("small", tmp_path / "copy")
    assert f"s3://{s3.name}/set/small" in str(caught.value) and re.search(cause, str(caught.value))
    assert os.listdir(tmp_path) == []
    assert proxy.count("GET") <= 3 * s3_client.ATTEMPTS


def test_a_stalled_server_is_given_up_after_bounded_tries(store, proxy, monkeypatch, tmp_path):
    monkeypatch.setattr(s3_download, "ATTEMPTS", 2)
    monkeypatch.setenv("MMDET_COMPRESS_S3_TIMEOUT", "0.5")
    store = open_store(f"{store.location}")
    proxy.plan = lambda method, path, before: Fault(stall_after=7) if method == "GET" else None
    with pytest.raises(UserError, match="set/small: .*[Tt]ime"), new_folder(tmp_path / "x") as folder:
        store.download("small", folder / "copy")
    assert os.listdir(tmp_path) == []


def test_listing_heals_too(store, proxy):
    proxy.plan = lambda method, path, before: SLOW if before < 1 else None
    assert [info.name for info in store.list()] == ["small"]


@pytest.mark.parametrize("fault", [SLOW, Fault(reset_after=0)])
def test_uploads_heal(store, proxy, s3, tmp_path, fault):
    proxy.plan = lambda method, path, before: fault if method == "PUT" and before < 1 else None
    (tmp_path / "file").write_bytes(SMALL)
    store.upload(tmp_path / "file", "copy")
    assert s3.get("set/copy") == SMALL


@pytest.mark.parametrize("name, size", [("small", 30_000), ("big", len(BIG))])
def test_bytes_that_flip_on_their_way_up_are_not_stored(store, proxy, s3, tmp_path, name, size):
    proxy.plan = lambda method, path, before: Fault(flip_upload=True) if method == "PUT" else None
    (tmp_path / "file").write_bytes(BIG[:size])
    with pytest.raises(UserError, match=f"set/{name}-copy: .*(BadDigest|XAmzContentSHA256Mismatch|400)"):
        store.upload(tmp_path / "file", f"{name}-copy")
    assert s3.names() == ["set/small"]


def test_random_faults_over_a_tree_end_in_the_right_tree(store, proxy, s3, tmp_path, big_file):
    contents = {f"folder {number % 3}/{number}": os.urandom(500 * number) for number in range(40)}
    for name, content in contents.items():
        s3.put(f"set/{name}", content)
    s3.client.upload_file(str(big_file), s3.name, "set/big")
    choices = [SLOW, MISSING, Fault(reset_after=300), Fault(end_after=300), *[None] * 20]
    dice = random.Random(3)
    infos = store.list()
    flipped = set()

    def plan(method, path, before):
        # Each object's content is changed once: three downloads in a row that are wrong are an error.
        if path not in flipped:
            flipped.add(path)
            return Fault(flip_at=100)
        return dice.choice(choices)

    proxy.plan = plan
    store.downloader().download_all(infos, tmp_path / "set", tmp_path / "work", lambda count: None)
    found = {path.relative_to(tmp_path / "set").as_posix(): path.read_bytes()
             for path in (tmp_path / "set").rglob("*") if path.is_file()}
    assert found == {**contents, "small": SMALL, "big": BIG}


FETCH = """
import sys; from core.base.cli import run_guarded; from core.storage.fetch import fetch
from core.storage.source import resolve_source
sys.exit(run_guarded("fetch", lambda: fetch(resolve_source(sys.argv[1])) and 0))
"""


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("awaited", ["list-type", "set/small", "set/big"])
def test_a_signal_ends_a_fetch_that_waits_for_the_network_within_seconds(proxy, s3, tmp_path, awaited, number, code):
    s3.put("set/big", BIG)
    waiting = threading.Event()

    def plan(method, path, before):
        if awaited not in path:
            return None
        waiting.set()
        return Fault(silent=True)

    proxy.plan = plan
    assert exit_code(number, waiting, FETCH, f"{s3.uri}/set", MMDET_COMPRESS_CACHE=str(tmp_path)) == code
