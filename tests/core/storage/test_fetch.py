import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from core.base.errors import UserError
from core.storage import fetch as fetching
from core.storage.fetch import cache_limit, cached_folder, fetch, make_room
from core.storage.s3_store import PART_BYTES
from core.storage.source import resolve_source
from tests.core.storage.fault_proxy import fault_proxy

PROJECT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MMDET_COMPRESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "fetched-1"


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def entries(cache):
    return sorted(path.name for path in cache.iterdir() if path.is_dir())


def release():
    """Let go of the entries that this process uses, as its end would."""
    while fetching._HELD:
        os.close(fetching._HELD.pop())


def test_a_prefix_is_fetched_once(s3, cache, capsys, monkeypatch):
    contents = {"a": b"1", "b/c d+é": os.urandom(5000), "b/empty": b"", "big": os.urandom(PART_BYTES + 10)}
    for name, content in contents.items():
        s3.put(f"set/{name}", content)
    source = resolve_source(f"{s3.uri}/set")
    folder = fetch(source)
    assert tree(folder) == contents and entries(cache) == [source.digest]
    assert f"fetching {s3.uri}/set (4 objects): 16.8M/16.8M B" in capsys.readouterr().out

    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    assert fetch(source) == folder


def test_one_object_is_fetched_as_a_file(s3):
    path = fetch(resolve_source(s3.put("models/model.pth", b"weights")))
    assert (path.name, path.read_bytes()) == ("model.pth", b"weights")


def test_an_object_that_changed_since_is_refused(s3, cache):
    s3.put("set/a", b"1")
    source = resolve_source(f"{s3.uri}/set")
    s3.put("set/a", b"2")
    with pytest.raises(UserError, match="set/a: its ETag changed"):
        fetch(source)
    assert entries(cache) == [f"{source.digest}.part"]


@pytest.mark.parametrize("keys, message", [(("set/a", "set/a/b"), "No object's name may be another's folder"),
                                           (("set/x", "set/y/../z"), "object name")])
def test_names_that_no_folder_can_hold_are_refused(s3, keys, message):
    for key in keys:
        s3.put(key, b"x")
    with pytest.raises(UserError, match=message):
        fetch(resolve_source(f"{s3.uri}/set"))


KILLED = """
import os, signal, sys, threading
from core.storage import s3_download
from core.storage.fetch import fetch
from core.storage.source import resolve_source
events = [0]
def patched(original):
    def call(*arguments, **options):
        result = original(*arguments, **options)
        events[0] += 1
        if events[0] == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return call
s3_download.Target.note = patched(s3_download.Target.note)
s3_download._Places.put = patched(s3_download._Places.put)
fetch(resolve_source(sys.argv[1]))
"""


@pytest.mark.parametrize("events", [3, 12])
def test_a_killed_fetch_goes_on_where_it_was(s3, cache, monkeypatch, events):
    """Ten small objects and one of three parts: the kill comes among the small ones, or among the parts."""
    contents = {f"{number}": os.urandom(1000) for number in range(10)}
    contents["big"] = os.urandom(2 * PART_BYTES + 7)
    for name, content in contents.items():
        s3.put(f"set/{name}", content)
    killed = subprocess.run([sys.executable, "-c", KILLED, f"{s3.uri}/set", str(events)], cwd=PROJECT, check=False)
    assert killed.returncode == -signal.SIGKILL
    source = resolve_source(f"{s3.uri}/set")
    assert entries(cache) == [f"{source.digest}.part"]

    with fault_proxy(s3.server.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        assert tree(fetch(source)) == contents
    assert entries(cache) == [source.digest]
    asked = proxy.count("GET")
    assert asked < 13 if events == 3 else asked <= 3


def test_a_stage_waits_for_another_that_fetches_the_same(s3, cache, monkeypatch):
    for number in range(8):
        s3.put(f"set/{number}", os.urandom(1000))
    program = "import sys; from core.storage.fetch import fetch; from core.storage.source import resolve_source\n" \
              "print(fetch(resolve_source(sys.argv[1])))"
    with fault_proxy(s3.server.endpoint) as proxy:
        environment = {**os.environ, "AWS_ENDPOINT_URL_S3": proxy.endpoint}
        running = [subprocess.Popen([sys.executable, "-c", program, f"{s3.uri}/set"], cwd=PROJECT, env=environment,
                                    stdout=subprocess.PIPE, text=True) for _ in range(3)]
        places = {process.communicate()[0].splitlines()[-1] for process in running}
    assert [process.returncode for process in running] == [0, 0, 0] and len(places) == 1
    assert sum("list-type" not in line for line in proxy.seen) == 8


def test_the_oldest_unused_entries_make_room(cache, monkeypatch):
    monkeypatch.setenv("MMDET_COMPRESS_CACHE_LIMIT", "300kB")
    for number, name in enumerate(("a", "b", "c")):
        cached_folder(name, lambda folder, work: (folder / "x").write_bytes(bytes(100_000)), 100_000)
        os.utime(cache / name, (1000 + number, 1000 + number))
    release()
    cached_folder("a", None, 0)
    cached_folder("d", lambda folder, work: (folder / "x").write_bytes(bytes(150_000)), 150_000)
    assert entries(cache) == ["a", "d"]


def test_a_folder_that_fails_to_fill_is_kept_for_the_next_try(cache):
    def fail(folder, work):
        (folder / "x").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_folder("key", fail, 0)
    assert not (cache / "key").exists()
    seen = []
    folder = cached_folder("key", lambda folder, work: seen.append((folder / "x").read_text()), 0)
    assert seen == ["half"] and (folder / "x").exists()


def test_a_disk_without_room_is_named(cache):
    with pytest.raises(UserError, match="cache folder: .* MB are free. .* must fit"):
        make_room(10 ** 18)


@pytest.mark.parametrize("text, size", [("", 100 * 10 ** 9), ("20GB", 20 * 10 ** 9), ("5 mb", 5 * 10 ** 6), ("7", 7)])
def test_the_limit_is_a_size(monkeypatch, text, size):
    monkeypatch.setenv("MMDET_COMPRESS_CACHE_LIMIT", text)
    assert cache_limit() == size


@pytest.mark.parametrize("text", ["much", "-1", "1.5GB", "GB"])
def test_a_limit_that_is_no_size_is_refused(monkeypatch, text):
    monkeypatch.setenv("MMDET_COMPRESS_CACHE_LIMIT", text)
    with pytest.raises(UserError, match="MMDET_COMPRESS_CACHE_LIMIT"):
        cache_limit()


def test_the_cache_keeps_its_promises_whatever_is_asked_of_it(cache, monkeypatch):
    """Entries hold what was filled in, those in use stay, and unused ones stay within the limit."""
    monkeypatch.setenv("MMDET_COMPRESS_CACHE_LIMIT", "100000")
    monkeypatch.setattr(fetching, "_LEFT_FREE", 0)
    run = [0]

    class Cache(RuleBasedStateMachine):
        def __init__(self):
            super().__init__()
            release()
            run[0] += 1
            self.used, self.clock, self.run = set(), 0, run[0]

        @rule(key=st.sampled_from("abcdef"), size=st.integers(0, 60_000))
        def use(self, key, size):
            name = f"{self.run}{key}"
            content = (name * size)[:size].encode()
            folder = cached_folder(name, lambda folder, work: (folder / "x").write_bytes(content), size)
            assert (folder / "x").read_bytes() == (name * 60_000)[:(folder / "x").stat().st_size].encode()
            self.used.add(name)
            self.clock += 1
            os.utime(folder, (self.clock, self.clock))

        @rule(key=st.sampled_from("abcdef"))
        def fail(self, key):
            name = f"{self.run}{key}"
            if not (cache / name).exists():
                def broken(folder, work):
                    (folder / "x").write_bytes(b"half")
                    raise OSError("broken")

                with pytest.raises(OSError, match="broken"):
                    cached_folder(name, broken, 10)

        @rule()
        def end_of_process(self):
            release()
            self.used.clear()

        @invariant()
        def what_is_used_is_there(self):
            assert all((cache / name / "x").is_file() for name in self.used)

    Cache.TestCase.settings = settings(max_examples=20, stateful_step_count=12, deadline=None)
    Cache.TestCase().runTest()
