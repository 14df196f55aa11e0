"""The whole pipeline on a real S3 server: killed within compress, started again, gone on with; and nothing leaks."""

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from pipelines.environments import child_environment, environment_folder

pytest.importorskip("kfp", reason="needs the openvino environment")

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
from core.training.model import build_detector
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
    return s3.put("data/digits.tar", (tmp_path / "digits.tar").read_bytes())


def upload_parent(s3, tmp_path):
    python = environment_folder("train", ROOT) / "bin" / "python"
    subprocess.run([str(python), "-c", PARENT, json.dumps(MODEL), str(tmp_path / "fp32.pth")], cwd=ROOT, check=True,
                   env=child_environment(python, ROOT, {}))
    return s3.put("parents/fp32.pth", (tmp_path / "fp32.pth").read_bytes())


def keys_below(s3, prefix):
    return list(filter(lambda key: key.startswith(prefix), s3.names()))


def leaks(canaries, *folders):
    """Return the files below ``folders`` that hold one of the ``canaries``."""
    texts = [canary.encode() for canary in canaries]
    found = []
    for folder in folders:
        for path in [folder] if folder.is_file() else folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and any(text in path.read_bytes() for text in texts):
                found.append(path)
    return found


def test_killed_within_compress_the_pipeline_on_s3_goes_on_and_passes(s3, tmp_path, monkeypatch):
    monkeypatch.setenv("MMDET_COMPRESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    work_dir = tmp_path / "runs"
    parameters = {
        "data": upload_data(s3, tmp_path), "checkpoint": upload_parent(s3, tmp_path), "model_name": "digits",
        "destination": f"{s3.uri}/models", "training_state": f"{s3.uri}/states", "checkpoint_minutes": 0.0001,
        "model_options": json.dumps(MODEL), "compression_options": json.dumps(COMPRESSION), "max_map_drop": 1.0,
        "max_class_drop": 1.0, "min_speedup": 0.01}
    options = [part for name, value in parameters.items() for part in ("-p", f"{name}={value}")]

    pipeline = start(work_dir, *options)
    # A state is there once its training.json and so many checkpoints are.
    while pipeline.poll() is None and len(keys_below(s3, "states/")) < 1 + KILL_AFTER_STATES:
        time.sleep(0.05)
    assert pipeline.poll() is None, work_dir.with_suffix(".log").read_text()[-3000:]
    pipeline.kill()
    os.kill(process_of("components.compress", f"{s3.uri}/states"), signal.SIGKILL)
    pipeline.wait()
    assert keys_below(s3, "models/") == []

    assert start(work_dir, *options).wait() == 0, work_dir.with_suffix(".log").read_text()[-3000:]

    folder = (work_dir / "latest").resolve()
    assert "an interrupted training goes on after" in (folder / "logs" / "compress.log").read_text()
    assert json.loads((folder / "summary.json").read_text())["verdict"] == "pass"
    published = keys_below(s3, "models/digits/1/")
    assert {"model.xml", "model.bin"} <= {key.rpartition("/")[2] for key in published}
    assert leaks([s3.server.access_key, s3.server.secret_key], work_dir, work_dir.with_suffix(".log"),
                 tmp_path / "cache") == []


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
