"""Several candidates end to end, in miniature: one diverges, one is killed, the best of the others is published."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.results.summary import Summary
from core.results.validation import Validation

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
# A RetinaNet of a few thousand parameters, one epoch of four iterations.
MODEL = {"model.backbone.base_channels": 8, "model.neck.in_channels": [8, 16, 32, 64], "model.neck.out_channels": 16,
         "model.bbox_head.in_channels": 16, "model.bbox_head.feat_channels": 16, "data.workers_per_gpu": 0,
         "log_config.interval": 1, "evaluation.interval": 3, "runner.max_epochs": 1}
# It finds nothing, and is not asked to.
NO_LIMITS = ("min_map=0", "max_map_drop=0.5", "max_class_drop=1", "min_speedup=0")
CONFIG = """_base_ = {base!r}
nncf_compress_postprocessing = False
optimizer = dict(lr={rate})
optimizer_config = dict(_delete_=True, grad_clip=None)
"""


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """Options of a run with a ready-made candidate, one that diverges, and one that does not."""
    folder = tmp_path_factory.mktemp("configs")
    base = str(ROOT / "configs" / "nncf_compression" / "retinanet_r18_small" / "digits_int8.py")
    for name, rate in (("wild", 1e30), ("tame", 1e-5)):
        (folder / f"{name}.py").write_text(CONFIG.format(base=base, rate=rate))
    values = ["model_config=configs/detectors/retinanet_r18_small_digits.py",
              "data=builtin://digits?train=16&val=4&test=4", f"model_options={json.dumps(MODEL)}",
              f"compression_options={json.dumps(MODEL)}", "candidates=post_training",
              f"compression_configs={folder / 'wild.py'},{folder / 'tame.py'}", *NO_LIMITS]
    return [item for value in values for item in ("-p", value)]


def process_of(stage: str, work_dir: Path) -> int:
    """Return the process that runs a stage of this work folder."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                argv = (folder / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            if f"components.{stage}" in argv and any(str(work_dir) in item for item in argv):
                return int(folder.name)
    raise AssertionError(f"no process runs {stage}")


@pytest.fixture(scope="module")
def killed(tmp_path_factory, options):
    """A run whose last candidate's process is killed: its work folder, exit code and text."""
    work_dir = tmp_path_factory.mktemp("candidates")
    command = [sys.executable, "pipelines/compress.py", "--work-dir", str(work_dir), *options]
    lines = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout:
            lines.append(line)
            if line.startswith("compress-tame | ") and "initialising" in line:
                os.kill(process_of("compress", work_dir), signal.SIGKILL)
    return work_dir, process.returncode, "".join(lines)


@pytest.fixture(scope="module")
def finished(killed, options, run_in):
    """The same run, started again."""
    return run_in(killed[0], *options, "-p", f"destination={killed[0] / 'published'}")


def test_a_killed_process_fails_the_run(killed):
    _, code, text = killed
    assert code == 1
    assert re.search(r"^compress-tame FAILED", text, re.MULTILINE), text[-3000:]
    assert "validate" not in text.partition("compress-tame FAILED")[2]


def test_started_again_it_takes_what_is_finished(finished):
    assert finished.code == 0, finished.text[-3000:]
    for stage in ("train", "evaluate-fp32", "compress-wild", "convert-wild"):
        assert f"{stage} unchanged" in finished.text, stage
    assert "compress-tame unchanged" not in finished.text


def test_a_candidate_that_diverges_is_named_and_the_best_of_the_others_is_chosen(finished):
    summary = Summary.read(finished.folder / "summary.json")
    found = {one.name: one for one in summary.choice.candidates}
    assert found.keys() == {"post_training", "wild", "tame"}
    assert found["wild"].why.startswith("Failed in compress: loss: ") and not found["wild"].chosen
    chosen = summary.provenance.models.candidate
    assert found[chosen].chosen and chosen in ("post_training", "tame")
    assert found["post_training"].epochs == 0 and found["tame"].epochs == 1
    validation = Validation.read(finished.folder / "validation" / "metrics.json")
    assert {one.name for one in validation.candidates} == {"post_training", "tame"}
    assert [(one.candidate, one.stage) for one in validation.failed] == [("wild", "compress")]
    report = (finished.folder / "report.html").read_text()
    assert "Failed in compress" in report and "pareto-" in report


def test_the_chosen_one_is_published(finished, killed):
    summary = finished.summary
    chosen = summary["provenance"]["models"]["candidate"]
    bundle = killed[0] / "published" / "detector" / "1"
    manifest = json.loads((bundle / "bundle.json").read_text())
    assert manifest["validated_xml_sha256"] == summary["provenance"]["sha256"]["ir_xml"]
    assert (finished.folder / "model" / chosen / "model.bin").is_file()
    assert not (finished.folder / "model" / "wild").exists()
