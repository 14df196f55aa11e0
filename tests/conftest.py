"""What holds for every test run, and the S3 server that tests share."""

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scripts import s3_server as server_script

RUNNING_VARIABLE = "MMDET_COMPRESS_TEST_S3"
"""Folder of a server that scripts/s3_server.py has started, for work on tests; else each run starts its own."""


def pytest_configure(config):
    """Take Ctrl-C as a program in the foreground does: a shell starts background jobs with SIGINT ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class S3Server:
    """A running server; see scripts/s3_server.py."""

    endpoint: str
    tls_endpoint: str
    ca_bundle: str
    access_key: str
    secret_key: str


@dataclass(frozen=True)
class S3Bucket:
    """An empty bucket of one test's own.

    Attributes:
        server: Where it lies.
        name: Its name.
        client: A plain boto3 client, to prepare and to look behind the code that is tested.
    """

    server: S3Server
    name: str
    client: Any

    @property
    def uri(self) -> str:
        return f"s3://{self.name}"

    def put(self, key: str, contents: bytes, **options: Any) -> str:
        self.client.put_object(Bucket=self.name, Key=key, Body=contents, **options)
        return f"{self.uri}/{key}"

    def get(self, key: str) -> bytes:
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def names(self) -> list:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Start Ceph's RADOS Gateway once for the whole test run."""
    if os.environ.get(RUNNING_VARIABLE):
        yield S3Server(**json.loads(Path(os.environ[RUNNING_VARIABLE], "server.json").read_text()))
        return
    missing = server_script.missing_programs()
    if missing:
        pytest.skip(f"{', '.join(missing)} missing; install the packages {server_script.PACKAGES}")
    folder = tmp_path_factory.mktemp("s3-server")
    try:
        yield S3Server(**server_script.start(folder))
    finally:
        server_script.stop(folder)


@pytest.fixture(scope="session")
def s3_test_client(s3_server: S3Server) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.session.Session().client(
        "s3", endpoint_url=s3_server.endpoint, aws_access_key_id=s3_server.access_key,
        aws_secret_access_key=s3_server.secret_key, region_name="us-east-1",
        config=Config(request_checksum_calculation="when_required", response_checksum_validation="when_required",
                      s3={"addressing_style": "path"}))


def _empty_bucket(server: S3Server, client: Any, monkeypatch: pytest.MonkeyPatch) -> S3Bucket:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    name = f"test-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=name)
    return S3Bucket(server, name, client)


@pytest.fixture
def s3(s3_server: S3Server, s3_test_client: Any, monkeypatch: pytest.MonkeyPatch) -> S3Bucket:
    """An empty bucket, and the environment variables by which boto3 finds its server."""
    return _empty_bucket(s3_server, s3_test_client, monkeypatch)


@pytest.fixture(scope="module")
def s3_of_module(s3_server: S3Server, s3_test_client: Any) -> Iterator[S3Bucket]:
    """The same for tests that look at one piece of work together."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield _empty_bucket(s3_server, s3_test_client, monkeypatch)


@pytest.fixture
def small_disk(tmp_path):
    """An empty file system of its own with room for 2 MiB, which a test can really fill."""
    folder = tmp_path / "small disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True,
                             text=True) if os.geteuid() == 0 and shutil.which("mount") else None
    if mounted is None or mounted.returncode:
        pytest.skip("a file system can be mounted by root alone, and not in every container")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def file_size_limit():
    """Return a context manager in which no file can grow beyond so many bytes (EFBIG), as on a disk that is full."""
    @contextlib.contextmanager
    def limit(size):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limit
