"""Publishing to a real S3 server behind proxies that lose, repeat and delay requests, or cut a publisher off.

40 seeded schedules run by default; ``MMDET_COMPRESS_TEST_SCHEDULES=500`` runs so many.
"""

import contextlib
import hashlib
import json
import os
import random
import re
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import botocore.endpoint
import pytest

from core.base.errors import UserError
from core.bundle.manifest import Manifest
from core.bundle.publish import publish
from core.bundle.publish_s3 import S3Publisher
from core.storage import s3_download
from core.storage.s3_client import connect
from core.storage.s3_store import S3Store
from tests.core.bundle.published import PUBLISHED, write_bundle
from tests.core.storage.fault_proxy import Fault, fault_proxy
from tests.core.storage.signalled import exit_code

SCHEDULES = int(os.environ.get("MMDET_COMPRESS_TEST_SCHEDULES", "40"))
AT_A_TIME, PUBLISHERS = 4, 3
LOST = Fault(arrives=0, lose_answer=True)
FAULTS = {
    "request lost": LOST, "answer lost": Fault(lose_answer=True), "request late": Fault(arrives=0, late=True),
    "request twice": Fault(arrives=2), "request again late": Fault(late=True),
    "answer lost, again late": Fault(lose_answer=True, late=True)}


@pytest.fixture
def without_pauses(monkeypatch):
    monkeypatch.setattr(s3_download, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda seconds: None))


class Adversary:
    """Chooses faults for the requests of one publisher, and which of them is the last that anybody hears of.

    Args:
        dice: Decides.
        counts: Counts faults by name.
    """

    def __init__(self, dice, counts):
        self.dice, self.counts = dice, counts
        self.rate = dice.choice([0.0, 0.05, 0.2, 0.5])
        self.last = dice.choice([None, dice.randrange(30)])
        self.lock, self.requests = threading.Lock(), 0

    def __call__(self, method, path, before):
        with self.lock:
            self.requests += 1
            if self.last is not None and self.requests > self.last:
                self.counts["cut off"] += self.requests == self.last + 1
                return LOST
            if self.dice.random() >= self.rate:
                return None
            name = self.dice.choice(sorted(FAULTS))
            self.counts[name] += 1
            return FAULTS[name]


class Reader:
    """Looks at what is published as a consumer does, around all proxies."""

    def __init__(self, s3, prefix):
        self.s3, self.prefix, self.manifests = s3, prefix, {}

    def look(self):
        """Check that every manifest that was ever seen is there and unchanged, and all its files with it."""
        for key in self.listed():
            match = re.fullmatch(rf"{self.prefix}/(\d+)/bundle\.json", key)
            if match and int(match.group(1)) not in self.manifests:
                self.manifests[int(match.group(1))] = self.s3.get(key)
        for version, manifest in self.manifests.items():
            assert self.s3.get(f"{self.prefix}/{version}/bundle.json") == manifest
            for name, record in json.loads(manifest)["files"].items():
                content = self.s3.get(f"{self.prefix}/{version}/{name}")
                assert hashlib.sha256(content).hexdigest() == record["sha256"], f"version {version}: {name}"

    def listed(self):
        answer = self.s3.client.list_objects_v2(Bucket=self.s3.name, Prefix=f"{self.prefix}/")
        return [entry["Key"] for entry in answer.get("Contents", [])]

    def content_of(self, version):
        return json.loads(self.manifests[version])["content_sha256"]


def run_schedule(seed, s3, proxies, clients, bundles, counts):
    """Let publishers of some bundles run beside each other and a reader, and then one of each bundle in peace."""
    dice = random.Random(seed)
    prefix = f"schedule-{seed}"
    reader, results = Reader(s3, prefix), []

    def work(client, bundle, version, days):
        publisher = S3Publisher(S3Store(s3.name, prefix, client=client),
                                now=lambda: datetime.now(UTC) + timedelta(days=days))
        try:
            results.append((publisher.publish(bundle, Manifest.read(bundle), version)[0], bundle))
            counts["published"] += 1
        except UserError as error:
            counts["outcome unknown" if "not known" in str(error) else "failed"] += 1

    threads = []
    for proxy, client in zip(proxies, clients):
        proxy.plan = Adversary(random.Random(dice.random()), counts)
        arguments = (client, dice.choice(bundles), dice.choice([None, None, None, 1]), dice.choice([0, 0, 2]))
        threads.append(threading.Thread(target=work, args=arguments))
        threads[-1].start()
        if dice.random() < 0.4:
            threads[-1].join()
    while any(thread.is_alive() for thread in threads):
        reader.look()
        time.sleep(0.05)
    for proxy in proxies:
        proxy.plan = lambda method, path, before: None
        while proxy.late:
            proxy.deliver_late()
    reader.look()
    for bundle, days in [*((bundle, 0) for bundle in bundles), (bundles[0], 2)]:
        work(clients[0], bundle, None, days)
    reader.look()
    for version, bundle in results:
        assert reader.content_of(version) == Manifest.read(bundle).content_sha256
    assert {bundle for _, bundle in results} >= set(bundles), "a publisher that nobody disturbed failed"
    left = {key.split("/")[1] for key in reader.listed()} - {".claims"} - set(map(str, reader.manifests))
    assert not left, "what abandoned publications left is not cleared"


def test_no_bundle_is_half_or_lost_on_a_real_server_behind_a_hostile_network(s3, tmp_path, monkeypatch, without_pauses):
    contents = {"model.bin": os.urandom(300), "labels.txt": b"cells"}
    bundles = [write_bundle(tmp_path / name, {**contents, "model.xml": name.encode()}) for name in ("one", "two")]
    counts = Counter()

    def run(seeds, proxies, clients):
        for seed in seeds:
            try:
                run_schedule(seed, s3, proxies, clients, bundles, counts)
            except AssertionError as error:
                raise AssertionError(f"schedule {seed}: {error}") from error

    with contextlib.ExitStack() as stack:
        pool, runs = stack.enter_context(ThreadPoolExecutor(AT_A_TIME)), []
        for number in range(AT_A_TIME):
            proxies = [stack.enter_context(fault_proxy(s3.server.endpoint)) for _ in range(PUBLISHERS)]
            clients = []
            for proxy in proxies:
                monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
                clients.append(connect(attempts=2))
            runs.append(pool.submit(run, range(number, SCHEDULES, AT_A_TIME), proxies, clients))
        for finished in runs:
            finished.result()
    print(f"{SCHEDULES} schedules: {dict(sorted(counts.items()))}")
    assert counts["published"] > SCHEDULES and counts["failed"] and counts["cut off"]
    assert all(counts[name] for name in FAULTS)


def completion(method, path):
    return method == "POST" and "bundle.json?uploadId" in path


def test_a_lost_answer_to_the_manifest_is_found_out(s3, tmp_path, monkeypatch, without_pauses):
    bundle = write_bundle(tmp_path / "bundle")
    with fault_proxy(s3.server.endpoint) as proxy:
        proxy.plan = lambda method, path, before: Fault(lose_answer=True) if completion(method, path) else None
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        published = publish(bundle, s3.uri, "cells")
    assert (published.version, published.created) == (1, True)
    assert s3.names() == [f"cells/1/{name}" for name in PUBLISHED]


@pytest.mark.parametrize("arrives", [0, 1])
def test_an_outcome_that_cannot_be_found_out_is_said_and_left_to_the_next_publisher(s3, tmp_path, monkeypatch,
                                                                                    without_pauses, arrives):
    bundle = write_bundle(tmp_path / "bundle")
    with fault_proxy(s3.server.endpoint) as proxy:
        begun = []

        def plan(method, path, before):
            if completion(method, path):
                begun.append(path)
                return Fault(arrives=arrives, lose_answer=True)
            return LOST if begun else None

        proxy.plan = plan
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        with pytest.raises(UserError, match="cells/1. It is not known whether its bundle.json is stored.*same bundle"):
            publish(bundle, s3.uri, "cells")
    assert set(PUBLISHED[1:]) <= {name.removeprefix("cells/1/") for name in s3.names()}
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.server.endpoint)
    published = publish(bundle, s3.uri, "cells")
    assert (published.version, published.created) == (1, arrives == 0)


PUBLISH = """
import sys; from pathlib import Path; from core.base.cli import run_guarded; from core.bundle.publish import publish
sys.exit(run_guarded("publish", lambda: print(publish(Path(sys.argv[1]), sys.argv[2], "cells")) or 0))
"""
WAITING = {
    "the claim": lambda method, path: method == "PUT" and ".claims/1" in path,
    "a file": lambda method, path: method == "PUT" and path.endswith("1/model.bin"),
    "a part of a big file": lambda method, path: method == "PUT" and "1/big.bin?" in path,
    "the manifest": completion,
}


@pytest.mark.parametrize("awaited", WAITING)
@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_publisher_that_waits_for_the_network_within_seconds(s3, tmp_path, awaited, number, code):
    bundle = write_bundle(tmp_path / "bundle", {
        **{name: name.encode() for name in PUBLISHED[1:]}, "big.bin": bytes(40 << 20 if "big" in awaited else 10)})
    with fault_proxy(s3.server.endpoint) as proxy:
        waiting = threading.Event()

        def plan(method, path, before):
            if not WAITING[awaited](method, path):
                return None
            waiting.set()
            return Fault(silent=True)

        proxy.plan = plan
        assert exit_code(number, waiting, PUBLISH, str(bundle), s3.uri, AWS_ENDPOINT_URL_S3=proxy.endpoint) == code
        # The request was done: it is the answer that nobody waited for.
    versions = {name.split("/")[1] for name in s3.names() if name.endswith("bundle.json")}
    assert versions == ({"1"} if awaited == "the manifest" else set())
    published = publish(bundle, s3.uri, "cells")
    assert (published.version, published.created) == (1, awaited != "the manifest")
