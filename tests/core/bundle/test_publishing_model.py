"""Publishing to S3 against an adversary: a request may be lost, unanswered, done twice or late, or be the last one."""

import contextlib
import hashlib
import re
from datetime import timedelta

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from core.base.errors import Terminated, UserError
from core.bundle.manifest import SCHEMA, Manifest, content_digest, describe_files
from core.bundle.publish_s3 import S3Publisher
from core.storage import s3_download
from core.storage.s3_store import S3Store
from tests.core.bundle.memory_s3 import Actor, Client, Killed, MemoryS3

BUNDLES = {"one": ("1", "of run 1"), "the same of another run": ("1", "of run 2"), "two": ("2", "of run 3")}
"""What the content is made of, and what differs between runs that made the same."""
ACTORS = st.integers(0, 5)
DAY = timedelta(days=1)
ARRIVALS, ANSWERS = ("once", "twice", "never", "late", "again late"), ("given", "lost", "terminated", "killed")
GIVEN_UP_AFTER = 15
"""Requests that a publisher sends until it has cleared what others left, and some more."""


def write_bundles(folder):
    """Write the bundles; the first two have the same content and manifests of their own."""
    for name, (content, run) in BUNDLES.items():
        place = folder / name
        place.mkdir()
        (place / "model.bin").write_bytes(content.encode() * 3)
        (place / "labels.txt").write_bytes(content.encode())
        (place / "model.xml").write_bytes(f"{content} {run}".encode())
        files = describe_files(place)
        xml = hashlib.sha256(content.encode()).hexdigest()
        Manifest(SCHEMA, "cells", content_digest(files, xml), xml, {"source_run": run}, {}, {}, files).write(place)
    return {name: (folder / name, Manifest.read(folder / name)) for name in BUNDLES}


def publish(server, bundle, version, client):
    return S3Publisher(S3Store("bucket", "cells", client=client), now=lambda: server.clock).publish(*bundle, version)


def manifests(objects):
    return {int(match.group(1)): content for key, (content, *_) in objects.items()
            if (match := re.fullmatch(r"cells/(\d+)/bundle\.json", key))}


def check_version(objects, version, manifest):
    """A reader who sees the manifest sees every file whole."""
    for name, record in manifest.files.items():
        assert f"cells/{version}/{name}" in objects, f"version {version} is committed without {name}"
        content = objects[f"cells/{version}/{name}"][0]
        assert hashlib.sha256(content).hexdigest() == record.sha256, f"version {version} has another {name}"


def publishing_machine(bundles):
    by_bytes = {(folder / "bundle.json").read_bytes(): manifest for folder, manifest in bundles.values()}

    class Publishing(RuleBasedStateMachine):
        def __init__(self):
            super().__init__()
            self.server = MemoryS3()
            self.actors, self.seen, self.promised = [], {}, []

        def publish(self, name, version, client):
            return publish(self.server, bundles[name], version, client)

        def running(self, index):
            return self.actors[index % len(self.actors)] if self.actors else None

        @rule(name=st.sampled_from(sorted(BUNDLES)), version=st.sampled_from([None, None, None, 1, 2]))
        def start(self, name, version):
            if len(self.actors) < 4:
                actor = Actor(self.server, lambda client: self.publish(name, version, client))
                self.actors.append(actor)
                actor.content = bundles[name][1].content_sha256

        @precondition(lambda self: self.actors)
        @rule(index=ACTORS, count=st.integers(1, 25))
        def proceed(self, index, count):
            actor = self.running(index)
            for _ in range(count):
                if actor.asks is not None:
                    actor.step()
                    self.what_was_seen_stays()
            self.collect(actor)

        @rule(name=st.sampled_from(sorted(BUNDLES)), expired=st.booleans())
        def overtake(self, name, expired):
            """Somebody publishes from beginning to end while all others stand still, perhaps for days."""
            if expired:
                self.let_claims_expire()
            self.resolve(name)

        @precondition(lambda self: self.actors)
        @rule(index=ACTORS, arrives=st.sampled_from(ARRIVALS), answer=st.sampled_from(ANSWERS))
        def meddle(self, index, arrives, answer):
            actor = self.running(index)
            if actor.asks is not None:
                actor.step(arrives, answer)
            self.collect(actor)

        @precondition(lambda self: self.server.late)
        @rule(index=ACTORS)
        def arrive_late(self, index):
            with contextlib.suppress(ClientError):
                self.server.late.pop(index % len(self.server.late))()

        @rule()
        def let_claims_expire(self):
            self.server.clock += DAY * 2

        def collect(self, actor):
            if actor.asks is None:
                self.actors.remove(actor)
                assert actor.error is None or isinstance(actor.error, (UserError, Terminated, Killed)), actor.error
                if actor.error is None:
                    self.promised.append((actor.result[0], actor.content))

        @invariant()
        def what_was_seen_stays(self):
            found = manifests(self.server.objects)
            for version, content in found.items():
                check_version(self.server.objects, version, by_bytes[content])
            for version, content in self.seen.items():
                assert found.get(version) == content, f"the manifest of version {version} was seen and is another"
            self.seen.update(found)
            for version, content in self.promised:
                assert by_bytes[found[version]].content_sha256 == content

        def teardown(self):
            for actor in self.actors:
                while actor.asks is not None:
                    actor.step("never", "killed")
            while self.server.late:
                self.arrive_late(0)
                self.what_was_seen_stays()
            for days in (0, 2):
                self.server.clock += DAY * days
                for name in bundles:
                    self.resolve(name)
            whole = manifests(self.server.objects)
            left = [key for key in self.server.objects if (match := re.match(r"cells/(\d+)/", key))
                    and int(match.group(1)) not in whole]
            assert left == [], "what abandoned publications left is not cleared"

        def resolve(self, name):
            """The next publisher, whom nobody disturbs, finds the bundle or publishes it."""
            manifest = bundles[name][1]
            there = {by_bytes[content].content_sha256 for content in manifests(self.server.objects).values()}
            client = Client(self.server, lambda operation, request: request())
            version, created = self.publish(name, None, client)
            assert created is (manifest.content_sha256 not in there)
            self.promised.append((version, manifest.content_sha256))
            self.what_was_seen_stays()

    return Publishing


def test_no_bundle_is_half_or_lost_whatever_happens_to_requests_and_publishers(tmp_path, monkeypatch):
    monkeypatch.setattr(s3_download, "PAUSE_SECONDS", 0)
    machine = publishing_machine(write_bundles(tmp_path))
    machine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None,
                                         suppress_health_check=list(HealthCheck))
    machine.TestCase().runTest()


def steps_of(actor, most=None):
    """Let an actor do so many requests, or all."""
    done = 0
    while actor.asks is not None and done != most:
        actor.step()
        done += 1
    return done


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("arrives", ARRIVALS)
def test_whatever_happens_to_any_one_request_the_next_publisher_finds_or_publishes_the_bundle(tmp_path, monkeypatch,
                                                                                             arrives, answer):
    monkeypatch.setattr(s3_download, "PAUSE_SECONDS", 0)
    bundles = write_bundles(tmp_path)
    step, so_far = 0, True
    while so_far:
        server = MemoryS3()
        first = Actor(server, lambda client, server=server: publish(server, bundles["one"], None, client))
        steps_of(first, step)
        so_far = first.asks is not None
        if so_far:
            first.step(arrives, answer)
        steps_of(first)
        for again in range(2):
            for version in manifests(server.objects):
                check_version(server.objects, version, bundles["one"][1])
            found = sorted(manifests(server.objects))
            whole = Client(server, lambda operation, request: request())
            assert publish(server, bundles["one"], None, whole) == (1, not found)
            while server.late:
                with contextlib.suppress(ClientError):
                    server.late.pop(0)()
            assert again == 0 or found == [1]
        step += 1
    assert step > 15


def test_whoever_gives_up_a_version_at_any_step_of_a_resumed_publication_leaves_no_half_bundle(tmp_path, monkeypatch):
    """One publisher was killed before it committed, another resumes it and stands still, a third one comes days later
    and stands still, too: for every pair of steps the second goes on to its end, and then the third."""
    monkeypatch.setattr(s3_download, "PAUSE_SECONDS", 0)
    bundles = write_bundles(tmp_path)

    def begun(bundle):
        return Actor(server, lambda client: publish(server, bundles[bundle], None, client))

    second_step, ended = 0, False
    while not ended:
        for third_step in range(GIVEN_UP_AFTER):
            server = MemoryS3()
            first = begun("one")
            while first.asks != "complete_multipart_upload":
                first.step()
            first.step("never", "killed")
            second = begun("one")
            ended = steps_of(second, second_step) < second_step
            server.clock += 2 * DAY
            third = begun("two")
            steps_of(third, third_step)
            steps_of(second)
            steps_of(third)
            assert third.error is None and (second.error is None or isinstance(second.error, UserError))
            for version, content in manifests(server.objects).items():
                check_version(server.objects, version, bundles["one" if b"run 1" in content else "two"][1])
        second_step += 1
    assert second_step > 10


def test_a_commit_that_arrives_after_the_version_was_given_up_commits_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(s3_download, "PAUSE_SECONDS", 0)
    bundles, server = write_bundles(tmp_path), MemoryS3()
    first = Actor(server, lambda client: publish(server, bundles["one"], None, client))
    while len(server.objects) < 1 + len(bundles["one"][1].files):
        first.step()
    while first.asks is not None:
        first.step("late", "killed")
    server.clock += 2 * DAY
    assert publish(server, bundles["two"], None, Client(server, lambda operation, request: request())) == (2, True)
    assert len(server.late) == 1
    with contextlib.suppress(ClientError):
        server.late.pop()()
    assert sorted(manifests(server.objects)) == [2]
