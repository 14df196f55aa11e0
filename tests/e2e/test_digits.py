"""The built-in job from an empty folder: its numbers, its files, and what is not done again."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core.results.validation import Validation
from tests.e2e.conftest import boxes_of_self_check

pytestmark = pytest.mark.e2e

FIGURES = ("map_fp32", "map_compressed", "map_ir_fp32", "map_ir", "map50_fp32", "map50_compressed", "map50_ir_fp32",
           "map50_ir", "map_drop", "fps_fp32", "fps", "speedup", "latency_ms_p50_fp32", "latency_ms_p50",
           "size_mb_fp32", "size_mb")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_run_passes_and_prints_its_table(digits):
    assert digits.code == 0, digits.text[-3000:]
    assert digits.summary["verdict"] == "pass"
    assert "report.html" in digits.text


def test_the_detector_is_good_and_int8_keeps_it(digits):
    summary = digits.summary
    assert summary["map50_fp32"] >= 0.85
    assert summary["map_drop"] <= 0.01
    assert abs(summary["map_fp32"] - summary["map_ir_fp32"]) <= 0.005
    assert abs(summary["map_compressed"] - summary["map_ir"]) <= 0.01


def test_int8_with_and_without_fine_tuning_stand_side_by_side(digits):
    found = {one["name"]: one for one in digits.summary["choice"]["candidates"]}
    assert found.keys() == {"post_training", "int8"} and found[digits.chosen]["chosen"]
    assert (found["post_training"]["epochs"], found["int8"]["epochs"]) == (0, 1)
    assert all(one["why"] and one["decision"] and one["hours"] > 0 for one in found.values())
    assert "pareto-" in (digits.folder / "report.html").read_text()


def test_every_figure_is_there_and_derived_ones_agree(digits):
    summary = digits.summary
    assert all(isinstance(summary[name], float) for name in FIGURES)
    assert summary["map_drop"] == pytest.approx(summary["map_fp32"] - summary["map_ir"])
    assert summary["size_mb"] < 0.5 * summary["size_mb_fp32"]


def test_the_waterfall_locates_what_is_lost(digits):
    measured = Validation.read(digits.folder / "validation" / "metrics.json")
    steps = {str(step): form.metrics.map for step, form in measured.steps()}
    assert list(steps) == ["FP32 PyTorch", "FP32 ONNX", "FP32 IR", "post_training PyTorch", "post_training IR",
                           "int8 PyTorch", "int8 IR"]
    assert steps["FP32 ONNX"] == pytest.approx(steps["FP32 PyTorch"], abs=0.002)
    assert steps["FP32 IR"] == pytest.approx(steps["FP32 ONNX"], abs=0.002)
    candidate = next(one for one in measured.candidates if one.name == digits.chosen)
    shares = {(str(pair.first), str(pair.second)): pair.share for model in measured.models for pair in model.neighbours}
    assert shares["FP32 PyTorch", "FP32 ONNX"] > 0.99 and shares["FP32 ONNX", "FP32 IR"] > 0.99
    assert all(shares[f"{one.name} PyTorch", f"{one.name} IR"] > 0.9 for one in measured.candidates)
    assert candidate.ir.execution.unrounded == () and candidate.ir.execution.int8_share > 0.95
    assert candidate.map_drop.low <= digits.summary["map_drop"] <= candidate.map_drop.high


def test_provenance_names_the_files_that_lie_beside_it(digits):
    digests = digits.summary["provenance"]["sha256"]
    model = digits.folder / "model"
    assert digests["ir_xml"] == sha256(model / digits.chosen / "model.xml")
    assert digests["ir_bin"] == sha256(model / digits.chosen / "model.bin")
    assert digests["ir_fp32_bin"] == sha256(model / "fp32" / "model.bin")
    assert digests["compressed_checkpoint"] == sha256(digits.folder / "checkpoints" / f"{digits.chosen}.pth")
    assert {"torch", "mmdet", "nncf", "openvino"} <= set(digits.summary["provenance"]["versions"])


def test_the_report_is_self_contained_and_small(digits):
    report = (digits.folder / "report.html").read_text()
    assert len(report.encode()) < 1_000_000
    assert "<img" in report and "http-equiv=\"refresh\"" not in report
    assert 'src="http' not in report and 'href="http' not in report
    assert (digits.folder / "report.md").read_text().startswith("#")


def test_the_bundle_is_published_whole(digits, work_dir):
    version = work_dir / "published" / "digits" / "1"
    manifest = json.loads((version / "bundle.json").read_text())
    assert manifest["validated_xml_sha256"] == digits.summary["provenance"]["sha256"]["ir_xml"]
    assert manifest["model_info"]["source_run"] == digits.folder.name
    assert manifest["model_info"]["measured_map"] == str(digits.summary["map_ir"])
    assert not [path for path in version.parent.iterdir() if path.name.startswith(".")]


def test_the_bundle_checks_itself_where_it_was_copied_to(work_dir, tmp_path):
    copy = shutil.copytree(work_dir / "published" / "digits" / "1", tmp_path / "some where")
    assert boxes_of_self_check(copy) >= 3


def test_a_second_run_takes_every_pure_stage_from_the_first(digits, run_pipeline, digits_options, work_dir):
    again = run_pipeline(*digits_options)
    assert again.code == 0, again.text[-3000:]
    for stage in ("train", "compress-int8", "evaluate-fp32", "export-int8", "convert-post_training", "validate"):
        assert f"{stage} unchanged" in again.text, stage
    assert again.summary == digits.summary
    assert not (work_dir / "published" / "digits" / "2").exists()


def test_a_gate_that_asks_too_much_fails_the_run_and_leaves_the_report(digits, run_pipeline, digits_options):
    failed = run_pipeline(*digits_options, "-p", "min_speedup=1000")
    assert failed.code == 1
    assert "train unchanged" in failed.text
    assert "1000" in failed.text and f"{digits.summary['speedup']:.2f}" in failed.text
    assert failed.summary["verdict"] == "fail"
    assert (failed.folder / "report.html").is_file()


def test_the_ir_runs_by_itself(digits):
    code = ("import sys, numpy, openvino; openvino.Core(); "
            "model = openvino.Core().compile_model(sys.argv[1], 'CPU'); "
            "found = model(numpy.zeros((1, 3, 144, 192), 'float32')); "
            "assert found['boxes'].shape[2] == 5 and found['labels'].shape[0] == 1")
    subprocess.run([sys.executable, "-c", code, str(digits.folder / "model" / digits.chosen / "model.xml")], check=True,
                   env={"OPENVINO_TELEMETRY": "0", "PATH": "/usr/bin:/bin", "HOME": str(digits.folder)})
