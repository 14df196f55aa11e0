"""A compression tried in miniature: the rows it gives, what makes it fail, and where it is looked for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.base.errors import UserError
from core.dry_run import preflight
from core.dry_run.dry_run import DryRun, Outcome, StageResult, find_openvino_python, try_ir
from core.dry_run.preflight import PreflightReport, run_preflight

ROOT = Path(__file__).parents[3]
INT8 = "configs/nncf_compression/retinanet_r18_small/digits_int8.py"
STAGES = ["config", "layers", "build", "wrap", "train step", "test", "compress", "restore", "export", "IR"]


@pytest.fixture
def config():
    """Return a function that gives a config of the small RetinaNet at 64 x 64 pixels."""
    from core.config.loading import load_config

    def load(name=INT8, **options):
        loaded = load_config(name, options)
        for part in (loaded.data.train, loaded.data.test):
            for step in part.pipeline:
                if "img_scale" in step:
                    step["img_scale"] = (64, 64)
        if loaded.get("nncf_config"):
            loaded.nncf_config.input_info.sample_size = [1, 3, 64, 64]
        return loaded

    return load


def outcomes(report):
    return {stage.stage: stage.outcome for stage in report.stages}


def why(report, stage):
    return next(result.why for result in report.stages if result.stage == stage)


def without(monkeypatch, *stages):
    """Leave out stages that a test is not about."""
    for stage in stages:
        monkeypatch.setattr(DryRun, stage, lambda self: "")


def test_int8_goes_all_the_way(config, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    given, seen = config(), []
    before = given.pretty_text
    report = run_preflight(given, on_stage=seen.append)

    assert [stage.stage for stage in report.stages] == STAGES
    expected = dict.fromkeys(STAGES, Outcome.OK)
    if find_openvino_python() is None:
        expected["IR"] = Outcome.NOT_RUN
    assert outcomes(report) == expected, str(report)
    assert report.ok and tuple(seen) == report.stages
    assert "all 111 quantizers ran" in why(report, "train step")
    assert "identical" in why(report, "restore")
    assert "111 FakeQuantize" in why(report, "export")
    assert given.pretty_text == before
    assert list(tmp_path.iterdir()) == []
    out = capsys.readouterr().out
    assert "loading annotations" not in out and "nncf" not in out


def test_a_plain_config_skips_what_is_compression(config, monkeypatch):
    monkeypatch.setattr(preflight, "find_openvino_python", lambda given: None)
    report = run_preflight(config("configs/detectors/retinanet_r18_small_digits.py"), ["cat", "dog"])
    assert report.ok, str(report)
    assert {stage for stage, outcome in outcomes(report).items() if outcome is Outcome.NOT_RUN} == {
        "config", "wrap", "compress", "IR"}
    assert "RetinaNet" in why(report, "layers")
    assert "make setup" in why(report, "IR")


def test_an_error_in_the_nncf_config_is_the_first_failure(config):
    broken = config()
    broken.nncf_config.compression.initializer.range = {"num_init_steps": 10}
    report = run_preflight(broken)
    assert outcomes(report) == {"config": Outcome.FAILED, **dict.fromkeys(STAGES[1:], Outcome.SKIPPED)}
    assert "num_init_steps" in why(report, "config") and "\n" not in why(report, "config")
    with pytest.raises(UserError, match="preflight, stage config.*num_init_steps"):
        report.require_ok()


def test_what_a_dynamic_shape_rules_out_fails_before_anything_is_built(config):
    report = run_preflight(config("configs/nncf_compression/retinanet_r18_small/int8_pruning.py"), dynamic_shape=True)
    assert outcomes(report) == {"config": Outcome.FAILED, **dict.fromkeys(STAGES[1:], Outcome.SKIPPED)}
    assert why(report, "config").startswith("--dynamic-shape: quantization with filter pruning. The Model Optimizer")


def test_a_dynamic_shape_is_exported_and_what_cannot_be_fails(config, monkeypatch):
    from core.export import onnx

    monkeypatch.setattr(preflight, "find_openvino_python", lambda given: None)
    without(monkeypatch, "train_step", "test_forward")
    plain, sizes = "configs/detectors/retinanet_r18_small_digits.py", []
    write = onnx.write_onnx
    monkeypatch.setattr(onnx, "write_onnx", lambda network, path, size, *rest: (
        sizes.append(size), write(network, path, size, *rest)))
    assert run_preflight(config(plain), dynamic_shape=True).ok
    assert len(set(sizes)) == 2

    def depends(*arguments):
        raise UserError("--dynamic-shape", "RetinaNet", "Its export depends on the size.", "Leave it out.")

    monkeypatch.setattr(onnx, "require_any_size", depends)
    report = run_preflight(config(plain), dynamic_shape=True)
    assert outcomes(report)["export"] is Outcome.FAILED
    assert "depends on the size" in why(report, "export")


def test_frozen_layers_fail_with_the_scopes(config):
    report = run_preflight(config("configs/nncf_compression/retinanet_r18_small/pruning.py",
                                  **{"model.backbone.frozen_stages": 1}))
    assert outcomes(report)["layers"] is Outcome.FAILED
    assert "ignored_scopes" in why(report, "layers") and "NNCFConv2d" in why(report, "layers")


def test_pruning_that_removes_nothing_fails_before_and_after_training(config, monkeypatch):
    idle = config("configs/nncf_compression/retinanet_r18_small/pruning.py")
    idle.nncf_config.compression.params.pruning_target = 0.02
    idle.nncf_config.compression.pruning_init = 0.01
    assert outcomes(run_preflight(idle))["layers"] is Outcome.FAILED
    monkeypatch.setattr(DryRun, "layers", lambda self: "")
    report = run_preflight(idle)
    assert outcomes(report)["compress"] is Outcome.FAILED
    assert why(report, "compress").startswith("nncf_config: none of ")


@pytest.mark.parametrize(("options", "outcome"), [({}, Outcome.OK), ({"nncf_strict": True}, Outcome.FAILED)])
def test_strict_fails_where_postprocessing_stays_outside(config, monkeypatch, options, outcome):
    monkeypatch.setattr("core.compression.wrap.postprocessing_obstacle", lambda detector: "its head is made so")
    monkeypatch.setattr(preflight, "find_openvino_python", lambda given: None)
    without(monkeypatch, "train_step", "test_forward", "compress", "restore", "export")
    report = run_preflight(config(**options))
    assert outcomes(report)["wrap"] is outcome
    assert "its head is made so" in why(report, "wrap")


def test_a_loss_that_is_not_finite_fails_the_step(config):
    report = run_preflight(config(**{"model.bbox_head.loss_bbox.loss_weight": float(10 ** 39)}))
    assert outcomes(report)["train step"] is Outcome.FAILED
    assert "loss" in why(report, "train step")


def test_an_unexpected_exception_is_a_row_too(config, monkeypatch):
    def fails(self):
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(DryRun, "layers", fails)
    report = run_preflight(config())
    assert why(report, "layers") == "ZeroDivisionError: by nothing"
    assert not report.ok


def test_an_ir_that_cannot_be_made_fails_with_the_reason(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho noise >&2\necho 'trial: ONNX model: it is broken.' >&2\nexit 2\n")
    python.chmod(0o755)
    with pytest.raises(UserError, match="ended with code 2. trial: ONNX model: it is broken."):
        try_ir(python, tmp_path, tmp_path)


def test_the_python_that_converts_is_this_one_where_it_has_openvino(tmp_path, monkeypatch):
    assert find_openvino_python() == Path(sys.executable)
    monkeypatch.setattr("core.dry_run.dry_run.importlib.util.find_spec", lambda name: None)
    assert find_openvino_python() is None
    for wrong in (tmp_path / "absent", tmp_path):
        with pytest.raises(UserError, match="--openvino-python"):
            find_openvino_python(wrong)


def test_a_long_reason_goes_on_in_its_column():
    row = StageResult("wrap", Outcome.FAILED, "word " * 40, 1.25).row()
    lines = row.splitlines()
    assert lines[0].startswith("wrap        FAILED      1.2  word") and len(lines) == 3
    assert all(line.startswith(" " * 29 + "word") and len(line) <= 118 for line in lines[1:])


def test_a_report_is_ok_where_nothing_failed():
    rows = [StageResult("a", Outcome.OK, "", 1.0), StageResult("b", Outcome.NOT_RUN, "absent", 0.5)]
    report = PreflightReport(tuple(rows))
    assert report.ok and report.seconds == 1.5
    report.require_ok()
    assert not PreflightReport((*rows, StageResult("c", Outcome.FAILED, "why", 0.0))).ok


@pytest.mark.parametrize(("arguments", "code", "text"), [
    (["configs/absent.py"], 2, "configs/absent.py"),
    ([INT8, "--openvino-python", "/absent"], 2, "--openvino-python"),
    (["configs/nncf_compression/retinanet_r18_small/int8_pruning.py", "--dynamic-shape"], 1, "--dynamic-shape"),
    ([INT8, "--cfg-options", "nncf_config.compression.initializer.range.num_init_samples=-3"], 1, "num_init_samples")])
def test_the_command_ends_with_a_code_and_a_reason(arguments, code, text):
    done = subprocess.run([sys.executable, "-m", "core.dry_run.preflight", *arguments], cwd=ROOT,
                          capture_output=True, text=True, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    assert done.returncode == code, done.stderr
    assert text in (done.stderr if code == 2 else done.stdout)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("options", [["--num-classes", "0"], ["--num-classes", "3", "--classes", "a,b,c"]])
def test_classes_are_named_or_counted(options, capsys):
    with pytest.raises(SystemExit, match="2"):
        preflight.build_parser().parse_args([INT8, *options])


def test_made_up_classes_are_as_many_as_the_head_has(config):
    assert preflight.classes_in(config()) == tuple(f"class {index}" for index in range(10))
    headless = config()
    headless.model.pop("bbox_head")
    with pytest.raises(UserError, match="--num-classes"):
        preflight.classes_in(headless)


def test_without_mmdetection_it_says_where_to_run(monkeypatch):
    monkeypatch.setattr(preflight, "_MODULES", ("torch", "no_such_module"))
    with pytest.raises(UserError, match="no_such_module"):
        run_preflight({})
