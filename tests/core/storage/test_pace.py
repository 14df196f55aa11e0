"""Servers that send or take bytes too slowly are given up with a message, and slow ones that keep the rate are not."""

import time

import pytest

from core.base.errors import UserError
from core.storage import s3_download
from core.storage.s3_pace import Pace, TooSlow, lowest_rate
from core.storage.store import open_store
from tests.core.storage.fault_proxy import Fault, fault_proxy

TOO_SLOW = "the service is too slow: .* at least .* must.*MMDET_COMPRESS_S3_SPEED_LIMIT"


@pytest.fixture
def proxy(s3, monkeypatch):
    """A proxy that the environment leads through; the rate is measured over one second."""
    monkeypatch.setattr(s3_download, "PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("MMDET_COMPRESS_S3_TIMEOUT", "1")
    s3.put("set/a", bytes(30_000))
    with fault_proxy(s3.server.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        yield proxy


def dripping(wanted):
    return lambda method, path, before: Fault(drip_seconds=0.1) if wanted(method, path) else None


@pytest.mark.parametrize("what", ["list", "find", "read", "download_all", "write", "delete"])
def test_a_server_that_drips_its_answers_is_given_up(proxy, s3, tmp_path, what):
    store = open_store(f"{s3.uri}/set")
    infos = store.list()
    operations = {
        "list": store.list, "find": lambda: store.find("a"), "read": lambda: store.read("a"),
        "download_all": lambda: store.downloader().download_all(infos, tmp_path / "x", tmp_path / "y", lambda n: None),
        "write": lambda: store.write("b", b"b"), "delete": lambda: store.delete("b")}
    proxy.seen.clear()
    proxy.plan = dripping(lambda method, path: True)
    with pytest.raises(UserError, match=f"{s3.uri}/set.*{TOO_SLOW}"):
        operations[what]()
    assert len(proxy.seen) == 2


def test_a_server_that_drips_a_big_object_is_given_up(proxy, s3, tmp_path):
    s3.put("set/big", bytes(17 << 20))
    store = open_store(f"{s3.uri}/set")
    proxy.plan = dripping(lambda method, path: method == "GET")
    with pytest.raises(UserError, match=f"{s3.uri}/set/big.*{TOO_SLOW}"):
        store.download("big", tmp_path / "big")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [12 << 20, 32 << 20])
def test_a_server_that_sips_an_upload_is_given_up(proxy, s3, tmp_path, size):
    (tmp_path / "file").write_bytes(bytes(size))
    store = open_store(f"{s3.uri}/set")
    proxy.plan = lambda method, path, before: Fault(sip_seconds=2.0) if method == "PUT" else None
    with pytest.raises(UserError, match=f"{s3.uri}/set/big.*{TOO_SLOW}"):
        store.upload(tmp_path / "file", "big")


def test_a_server_that_thinks_and_then_answers_is_waited_for(proxy, s3, monkeypatch):
    monkeypatch.setenv("MMDET_COMPRESS_S3_TIMEOUT", "5")
    store = open_store(f"{s3.uri}/set")
    monkeypatch.setattr("core.storage.s3_pace._WINDOW_SECONDS", 0.5)
    proxy.plan = lambda method, path, before: time.sleep(1.5)
    assert store.find("a").size == 30_000


def test_the_rate_is_measured_over_seconds_of_waiting_for_each_request():
    pace = Pace(1000, 10)
    for _ in range(30):
        pace.sent(5000, 4.9)
    pace.received(1, 60)
    pace.received(9_000, 9)
    with pytest.raises(TooSlow, match="9,001 bytes moved in 10 s"):
        pace.received(1, 1)
    pace.begin()
    pace.sent(1, 9)
    pace.begin()
    pace.sent(1, 9)


@pytest.mark.parametrize("text", ["fast", "-1", "nan", "inf"])
def test_a_rate_that_is_no_number_is_refused(monkeypatch, text):
    monkeypatch.setenv("MMDET_COMPRESS_S3_SPEED_LIMIT", text)
    with pytest.raises(UserError, match="MMDET_COMPRESS_S3_SPEED_LIMIT"):
        lowest_rate()
