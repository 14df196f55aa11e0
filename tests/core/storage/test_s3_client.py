"""What boto3 is told, that every way to give credentials works, and that none of them shows anywhere."""

import logging
import os
import subprocess
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.base.errors import UserError
from core.storage.s3_client import connect
from core.storage.store import AccessDenied, StoredObject, open_store

PROJECT = Path(__file__).parents[3]
CANARIES = {"AWS_ACCESS_KEY_ID": "CANARYACCESSKEY1234", "AWS_SECRET_ACCESS_KEY": "canary-secret-5678",
            "AWS_SESSION_TOKEN": "canary-token-9012"}


@pytest.fixture
def file(tmp_path):
    (tmp_path / "file").write_bytes(os.urandom(100_000))
    return tmp_path / "file"


def round_trip(s3, file):
    store = open_store(f"{s3.uri}/p")
    store.upload(file, "a/b c")
    store.download("a/b c", file.with_name("copy"))
    return file.with_name("copy").read_bytes() == file.read_bytes()


def test_https_works_with_the_authority_that_is_given(s3, file, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.server.tls_endpoint)
    with pytest.raises(UserError, match=r"SSLError.*AWS_CA_BUNDLE"):
        open_store(s3.uri).list()
    monkeypatch.setenv("AWS_CA_BUNDLE", s3.server.ca_bundle)
    assert round_trip(s3, file)
    reader = open_store(s3.uri)
    infos = reader.list()
    monkeypatch.delenv("AWS_CA_BUNDLE")
    with pytest.raises(UserError, match="AWS_CA_BUNDLE"):
        open_store(s3.uri).downloader().download_all(infos, file.parent / "x", file.parent / "y", lambda count: None)


def test_the_general_endpoint_variable_works(s3, file, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.server.endpoint)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert round_trip(s3, file)


def test_a_mounted_credentials_file_and_a_profile_work(s3, file, monkeypatch, tmp_path):
    (tmp_path / "credentials").write_text(f"[cells]\naws_access_key_id = {s3.server.access_key}\n"
                                          f"aws_secret_access_key = {s3.server.secret_key}\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "cells")
    assert round_trip(s3, file)


def test_buckets_go_into_the_path_only_with_an_endpoint_of_its_own(s3, monkeypatch):
    def style():
        return connect().generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "k"})

    assert style().startswith(f"{s3.server.endpoint}/bucket/k")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://store.example.org")
    assert style().startswith("https://store.example.org/bucket/k")
    monkeypatch.setenv("MMDET_COMPRESS_S3_ADDRESSING", "virtual")
    assert style().startswith("https://bucket.store.example.org/k")
    monkeypatch.delenv("MMDET_COMPRESS_S3_ADDRESSING")
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    assert style().startswith("https://bucket.s3.")


@pytest.mark.parametrize("name, value", [("MMDET_COMPRESS_S3_ADDRESSING", "dns"), ("MMDET_COMPRESS_S3_TIMEOUT", "-1"),
                                         ("MMDET_COMPRESS_S3_TIMEOUT", "soon"), ("AWS_PROFILE", "absent-profile"),
                                         ("AWS_ENDPOINT_URL_S3", "no address")])
def test_settings_that_cannot_be_used_are_named(s3, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=f"{name}|S3 settings"):
        open_store(s3.uri)


def test_no_credential_shows_in_logs_messages_or_tracebacks(s3, file, monkeypatch, caplog, capfd):
    """Canaries stand where keys and tokens do, everything is logged that can be, and the server refuses them."""
    caplog.set_level(logging.DEBUG)
    for name, canary in CANARIES.items():
        monkeypatch.setenv(name, canary)
    store, said = open_store(s3.uri), []
    listed = StoredObject("a", 1, "0" * 32, datetime.now(UTC))
    for action in (store.list, lambda: store.read("a"), lambda: store.write("a", b"1"), lambda: store.upload(file, "a"),
                   lambda: store.delete("a"), lambda: store.find("a"),
                   lambda: store.downloader().download_all(
                       [listed], file.parent / "x", file.parent / "y", lambda count: None)):
        with pytest.raises(AccessDenied) as caught:
            action()
        said.append("".join(traceback.format_exception(type(caught.value), caught.value, caught.tb)))
    output = capfd.readouterr()
    everything = "\n".join([*said, caplog.text, output.out, output.err])
    assert len(said) == 7
    for canary in (*CANARIES.values(), "X-Amz-Signature", "Signature="):
        assert canary not in everything


def test_a_stage_that_fails_tells_no_credential(s3, tmp_path):
    program = "import sys; from core.base.cli import run_guarded\n" \
              "from core.bundle.publish import check_destination\n" \
              "sys.exit(run_guarded('resolve', lambda: check_destination(sys.argv[1], 'cells') or 0))"
    done = subprocess.run([sys.executable, "-c", program, s3.uri], cwd=PROJECT, env={**os.environ, **CANARIES},
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2 and s3.uri in done.stderr
    assert not any(canary in done.stdout + done.stderr for canary in CANARIES.values())
