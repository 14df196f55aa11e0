"""The whole pipeline with data, checkpoint, training state and bundle on a real S3 server, killed and started again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("kfp", reason="needs the openvino environment")

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder of scenes: those that the built-in job makes, fewer."""
    from core.data.digits import DigitsOptions, materialise

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMDET_COMPRESS_CACHE", str(tmp_path_factory.mktemp("cache")))
        return materialise(DigitsOptions.from_query({"train": "64", "val": "8", "test": "16"}))


def options(s3, folder):
    return ["--work-dir", str(folder / "runs"), "-p", f"data={s3.uri}/sets?latest=v*",
            "-p", f"checkpoint={s3.uri}/fp32.pth", "-p", f"training_state={s3.uri}/state",
            "-p", f"destination={s3.uri}/published", "-p", "model_name=digits", "-p", "max_map_drop=1.0",
            "-p", "max_class_drop=1.0", "-p", "min_speedup=0.0"]


def wait_for(condition, process, seconds=600):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the run ended before its training state was stored"
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_everything_on_s3_killed_in_compress_and_started_again(s3, data, digits, tmp_path, monkeypatch):
    assert digits.code == 0
    monkeypatch.setenv("MMDET_COMPRESS_CACHE", str(tmp_path / "cache"))
    for path in sorted(data.rglob("*")):
        if path.is_file():
            s3.put(f"sets/v10/{path.relative_to(data).as_posix()}", path.read_bytes())
    s3.put("sets/v9/annotations/train.json", b"an older set that is not taken")
    s3.client.upload_file(str(digits.folder / "checkpoints" / "fp32.pth"), s3.name, "fp32.pth")
    command = [sys.executable, "pipelines/compress.py", *options(s3, tmp_path)]

    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    wait_for(lambda: any(name.startswith("state/") and name.endswith(".pth") for name in s3.names()), process)
    stages = subprocess.run(["pgrep", "-f", "-d", " ", f"components.compress .*{tmp_path}"], stdout=subprocess.PIPE,
                            text=True, check=False).stdout.split()
    for number in stages:
        os.kill(int(number), signal.SIGKILL)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert stages and not any(name.startswith("published/") for name in s3.names())

    again = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    sys.__stdout__.write(again.stdout)
    assert again.returncode == 0, again.stdout[-3000:]
    summary = json.loads((tmp_path / "runs" / "latest" / "summary.json").read_text())
    assert summary["provenance"]["data"]["uri"] == f"{s3.uri}/sets/v10"
    assert summary["provenance"]["parent"]["uri"] == f"{s3.uri}/fp32.pth"
    manifest = json.loads(s3.get("published/digits/1/bundle.json"))
    assert manifest["validated_xml_sha256"] == summary["provenance"]["sha256"]["ir_xml"]
    assert "train unchanged" in again.stdout
    assert "goes on after" in (tmp_path / "runs" / "latest" / "logs" / "compress.log").read_text()
