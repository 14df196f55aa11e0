"""The compress stage is killed at random moments, with its state on S3, and ends with the undisturbed weights."""

import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.environments import child_environment

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
SEED = 20_211_109
# A RetinaNet of a few thousand parameters at 64 x 64 pixels, three epochs of four iterations.
MODEL = {"model.backbone.base_channels": 8, "model.neck.in_channels": [8, 16, 32, 64], "model.neck.out_channels": 16,
         "model.bbox_head.in_channels": 16, "model.bbox_head.feat_channels": 16, "data.workers_per_gpu": 0,
         "data.train.pipeline.2.img_scale": (64, 64), "data.val.pipeline.1.img_scale": (64, 64),
         "data.test.pipeline.1.img_scale": (64, 64), "log_config.interval": 1, "evaluation.interval": 3,
         "runner.max_epochs": 1}
COMPRESSION = {**MODEL, "runner.max_epochs": 3, "nncf_compress_postprocessing": False,
               "nncf_config.input_info.sample_size": [1, 3, 64, 64],
               "nncf_config.compression.initializer.range.num_init_samples": 8,
               "nncf_config.compression.initializer.batchnorm_adaptation.num_bn_adaptation_samples": 8}
RESOLVE = """
import json, sys
from core.config.reference import resolve_config
from core.data.dataset import resolve_data
configs = ["configs/detectors/retinanet_r18_small_digits.py",
           "configs/nncf_compression/retinanet_r18_small/digits_int8.py"]
model, compression = (json.loads(text, object_hook=lambda item: tuple(item["t"]) if set(item) == {"t"} else item)
                      for text in sys.argv[1:3])
print(json.dumps([resolve_data("builtin://digits?train=16&val=4&test=4").to_json(),
                  resolve_config(configs[0], model).to_json(), resolve_config(configs[1], compression).to_json()]))
"""
DIGEST = """
import sys
from core.checkpoint.checkpoint import load_checkpoint, weights_digest
for path in sys.argv[1:]:
    print(weights_digest(load_checkpoint(path).state_dict))
"""


class Stages:
    """Stages forked from a process that has imported all they need."""

    def __init__(self, folder, environment, python):
        self.folder, self._environment, self._python = folder, environment, python
        self.log, self._pipe = folder / "stages.log", folder / "markers"
        os.mkfifo(self._pipe)
        self._server = subprocess.Popen([str(python), str(ROOT / "tests/e2e/training_server.py")], env=environment,
                                        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def python(self, program, *arguments):
        done = subprocess.run([str(self._python), "-c", program, *map(str, arguments)], env=self._environment, cwd=ROOT,
                              stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout.strip()

    def run(self, stage, argv, moment=None):
        """Run a stage and return its exit code; ``moment`` is (marker, how many of them, seconds after) to kill at."""
        asked = {"stage": stage, "argv": [str(part) for part in argv], "log": str(self.log)}
        if moment is not None:
            asked["markers"] = str(self._pipe)
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()
        process = int(self._server.stdout.readline())
        if moment is not None:
            self._kill_at(process, *moment)
        return int(self._server.stdout.readline())

    def _kill_at(self, process, marker, count, delay):
        with open(self._pipe, "rb", buffering=0) as markers:
            while count:
                seen = markers.read(1)
                if not seen:
                    return
                count -= seen == marker
            time.sleep(delay)
            # It is this server's child until the server has been asked for its end, so the id is nobody else's.
            if not select.select([self._server.stdout], [], [], 0)[0]:
                os.kill(process, signal.SIGKILL)

    def end(self):
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()


@pytest.fixture
def stages(tmp_path, s3):
    python = Path(sys.executable)
    environment = child_environment(python, ROOT, {"MMDET_COMPRESS_CACHE": str(tmp_path / "cache"),
                                                   "OMP_NUM_THREADS": "1"})
    stages = Stages(tmp_path, environment, python)
    yield stages
    stages.end()


def moments(kills):
    """Return where to kill: seeded-random, a quarter of them in saves and a quarter in uploads."""
    draw = random.Random(SEED)
    markers = [b"s", b"u", b"i", b"i"] * (kills // 4)
    draw.shuffle(markers)
    return [(marker, draw.randint(1, 4), draw.uniform(0, 0.03 if marker in b"su" else 0.2)) for marker in markers]


@pytest.mark.parametrize("kills", [8, pytest.param(20, marks=pytest.mark.release)])
def test_killed_at_many_moments_compress_ends_with_the_undisturbed_weights(stages, s3, tmp_path, kills):
    tagged = [json.dumps({name: {"t": value} if isinstance(value, tuple) else value for name, value in options.items()})
              for options in (MODEL, COMPRESSION)]
    data, model, compression = json.loads(stages.python(RESOLVE, *tagged).splitlines()[-1])
    parent = tmp_path / "fp32.pth"
    assert stages.run("train", ["--data", json.dumps(data), "--model", json.dumps(model), "--checkpoint", parent,
                                "--log", tmp_path / "train.jsonl"]) == 0, stages.log.read_text()[-3000:]

    def compress(name, seed, state, moment=None):
        options = ["--data", json.dumps(data), "--compression", json.dumps(compression), "--fp32-checkpoint", parent,
                   "--checkpoint", tmp_path / f"{name}.pth", "--log", tmp_path / f"{name}.jsonl",
                   "--seed", seed, "--checkpoint-minutes", 1e-9, "--training-state", state]
        return stages.run("compress", options, moment)

    left, killed_in, trainings, unfinished = moments(kills), [], 0, False
    while left or unfinished:
        code = compress(f"killed-{trainings}", trainings, f"{s3.uri}/states", left[0] if left else None)
        unfinished = code == -signal.SIGKILL
        if unfinished:
            killed_in.append(left.pop(0)[0])
        else:
            assert code == 0, stages.log.read_text()[-3000:]
            trainings += 1

    for seed in range(trainings):
        assert compress(f"whole-{seed}", seed, "") == 0
    names = [tmp_path / f"{kind}-{seed}.pth" for kind in ("killed", "whole") for seed in range(trainings)]
    digests = stages.python(DIGEST, *names).split()
    sys.__stdout__.write(f"{len(killed_in)} kills in {trainings} trainings, {killed_in.count(b's')} of them in saves, "
                         f"{killed_in.count(b'u')} in uploads\n")
    assert len(killed_in) == kills
    assert digests[:trainings] == digests[trainings:]
    assert len(set(digests)) == trainings
