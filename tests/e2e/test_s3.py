"""The pipeline on a real S3 server: killed within compress, gone on with, repeated as by a schedule; nothing leaks."""

import json
import os
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.environments import child_environment

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
# A RetinaNet of a few thousand parameters, 24 iterations of compression.
MODEL = {"model.backbone.base_channels": 8, "model.neck.in_channels": [8, 16, 32, 64], "model.neck.out_channels": 16,
         "model.bbox_head.in_channels": 16, "model.bbox_head.feat_channels": 16, "data.workers_per_gpu": 0}
COMPRESSION = {**MODEL, "runner.max_epochs": 6, "evaluation.interval": 6, "log_config.interval": 1,
               "nncf_config.compression.initializer.range.num_init_samples": 8,
               "nncf_config.compression.initializer.batchnorm_adaptation.num_bn_adaptation_samples": 8}
PARENT = """
import json, sys
import torch
from core.config.loading import load_config
from core.detectors.building import build_detector
detector = build_detector(load_config("configs/detectors/retinanet_r18_small_digits.py", json.loads(sys.argv[1])))
detector.init_weights()
torch.save({"state_dict": detector.state_dict()}, sys.argv[2])
"""
KILL_AFTER_STATES = 2
CANARIES = {"AWS_ACCESS_KEY_ID": "CANARYKEYID00000001", "AWS_SECRET_ACCESS_KEY": "canary-secret-0000000002",
            "AWS_SESSION_TOKEN": "canary-token-0000000003"}
SIGNED = "https://canaryuser:canarypass04@127.0.0.1/fp32.pth?X-Amz-Signature=canarysignature05&X-Amz-Credential=canary06"


def start(work_dir, *options, **variables):
    """Start the pipeline with its output in ``work_dir``'s neighbour and return the process."""
    with open(work_dir.with_suffix(".log"), "ab") as log:
        return subprocess.Popen([sys.executable, "pipelines/compress.py", "--work-dir", str(work_dir), *options],
                                cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **variables})


def process_of(*parts):
    """Return the id of the process whose command line has all ``parts``."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if all(part in command for part in parts):
            return int(folder.name)
    raise LookupError(parts)


def upload_data(s3, tmp_path):
    from core.data.digits import DigitsOptions, materialise

    folder = materialise(DigitsOptions.from_query({"train": "16", "val": "4", "test": "4"}))
    with tarfile.open(tmp_path / "digits.tar", "w") as archive:
        archive.add(folder, "digits")
    s3.put("data/v1/digits.tar", (tmp_path / "digits.tar").read_bytes())


def upload_parent(s3, tmp_path, name):
    python = Path(sys.executable)
    subprocess.run([str(python), "-c", PARENT, json.dumps(MODEL), str(tmp_path / name)], cwd=ROOT, check=True,
                   env=child_environment(python, ROOT, {}))
    s3.put(f"parents/{name}", (tmp_path / name).read_bytes())


def keys_below(s3, prefix):
    return list(filter(lambda key: key.startswith(prefix), s3.names()))


def versions(s3):
    """Return the versions that lie at the destination."""
    return {key.split("/")[2] for key in keys_below(s3, "models/digits/")}


def leaks(canaries, *folders):
    """Return the files below ``folders`` that hold one of the ``canaries``."""
    texts = [canary.encode() for canary in canaries]
    found = []
    for folder in folders:
        for path in [folder] if folder.is_file() else folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and any(text in path.read_bytes() for text in texts):
                found.append(path)
    return found


@dataclass(frozen=True)
class Journey:
    """A pipeline with everything on S3, to be started again and again with the same parameters."""

    work_dir: Path
    options: list[str]

    def start(self):
        return start(self.work_dir, *self.options)

    def finish(self):
        """Run it to its end and return what this run printed."""
        before = len(self.log)
        assert self.start().wait() == 0, self.log[-3000:]
        return self.log[before:]

    @property
    def log(self):
        path = self.work_dir.with_suffix(".log")
        return path.read_text() if path.exists() else ""


@pytest.fixture(scope="module")
def journey(s3_of_module, tmp_path_factory):
    """The journey after its first start was killed within compress."""
    s3, tmp_path = s3_of_module, tmp_path_factory.mktemp("journey")
    upload_data(s3, tmp_path)
    upload_parent(s3, tmp_path, "v1.pth")
    parameters = {
        "data": f"{s3.uri}/data/v1/digits.tar", "checkpoint": f"{s3.uri}/parents?latest=v*", "model_name": "digits",
        "destination": f"{s3.uri}/models", "training_state": f"{s3.uri}/states", "checkpoint_minutes": 0.0001,
        "model_options": json.dumps(MODEL), "compression_options": json.dumps(COMPRESSION), "max_map_drop": 1.0,
        "max_class_drop": 1.0, "min_speedup": 0.01, "min_map": 0.0}
    options = [part for name, value in parameters.items() for part in ("-p", f"{name}={value}")]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("MMDET_COMPRESS_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        killed = Journey(tmp_path / "runs", options)
        pipeline = killed.start()
        # A state is there once its training.json and so many checkpoints are.
        while pipeline.poll() is None and len(keys_below(s3, "states/")) < 1 + KILL_AFTER_STATES:
            time.sleep(0.05)
        assert pipeline.poll() is None, killed.log[-3000:]
        stage = process_of("components.compress", f"{s3.uri}/states")
        pipeline.kill()
        pipeline.wait()
        # Its stage dies with it.
        while Path(f"/proc/{stage}").exists():
            time.sleep(0.05)
        yield killed


@pytest.fixture(scope="module")
def finished(journey, s3_of_module):
    """The folder of the journey's second start, which had to come to its end."""
    assert keys_below(s3_of_module, "models/") == []
    journey.finish()
    return (journey.work_dir / "latest").resolve()


def test_killed_within_compress_the_pipeline_on_s3_goes_on_and_passes(journey, finished, s3_of_module):
    assert "an interrupted training is resumed after" in (finished / "logs" / "compress.log").read_text()
    assert json.loads((finished / "summary.json").read_text())["verdict"] == "pass"
    published = keys_below(s3_of_module, "models/digits/1/")
    assert {"model.xml", "model.bin"} <= {key.rpartition("/")[2] for key in published}
    server = s3_of_module.server
    assert leaks([server.access_key, server.secret_key], journey.work_dir.parent) == []


def test_a_schedule_ends_in_the_cache_until_a_new_parent_makes_the_next_version(journey, finished, s3_of_module,
                                                                                tmp_path):
    printed = journey.finish()
    assert all(f"{stage} unchanged" in printed for stage in ("train", "compress", "validate"))
    assert versions(s3_of_module) == {"1"}

    upload_parent(s3_of_module, tmp_path, "v2.pth")
    printed = journey.finish()
    assert "compress unchanged" not in printed and "parents/v2.pth" in printed
    assert versions(s3_of_module) == {"1", "2"}
    parents = [json.loads(s3_of_module.get(f"models/digits/{version}/bundle.json")) for version in "12"]
    assert parents[0]["content_sha256"] != parents[1]["content_sha256"]


def test_refused_credentials_and_signed_urls_are_in_nothing_that_a_run_leaves(s3, tmp_path):
    work_dir = tmp_path / "runs"
    assert start(work_dir, "-p", f"checkpoint={s3.uri}/fp32.pth", MMDET_COMPRESS_CACHE=str(tmp_path / "cache"),
                 AWS_MAX_ATTEMPTS="1", **CANARIES).wait() == 1
    for name in ("checkpoint", "data", "training_state", "destination"):
        assert start(work_dir, "-p", f"{name}={SIGNED}").wait() == 2
    log = work_dir.with_suffix(".log").read_text()
    assert f"{s3.uri}/fp32.pth" in log and "parameter training_state" in log
    signed = ["canarypass04", "canarysignature05", "canary06"]
    assert leaks([*CANARIES.values(), *signed], work_dir, work_dir.with_suffix(".log")) == []
