import subprocess
import sys
from pathlib import Path

import pytest

from core.base.errors import UserError
from pipelines import compress

PROJECT = Path(__file__).parents[2]
COMPILED = PROJECT / "pipelines" / "compress.yaml"

@pytest.fixture(name="spec")
def fixture_spec():
    return compress.define_pipeline().pipeline_spec


def test_every_result_is_an_output_of_its_stage(spec):
    from pipelines.results import RESULTS

    outputs = {}
    for component in [spec.root, *spec.components.values()]:
        for task in component.dag.tasks.values():
            outputs[task.task_info.name.partition("-")[0]] = spec.components[
                task.component_ref.name].output_definitions.artifacts
    assert all(output in outputs[stage] for stage, output, _ in RESULTS)


def test_command_line_is_parsed_without_the_heavy_libraries():
    program = """
import sys
from pipelines import compress
compress.build_parser().parse_args(["-p", "seed=1", "--runner", "docker"])
print(sorted({"kfp", "torch", "yaml", "numpy", "google"} & sys.modules.keys()))
"""
    shown = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, check=True, capture_output=True, text=True)
    assert shown.stdout == "[]\n"


def test_parameters_are_listed_with_type_default_and_description(capsys):
    assert compress.main(["--list-params"]) == 0
    assert "min_speedup = 1.0\n    a number. Smallest accepted ratio" in capsys.readouterr().out


def test_command_line_goes_before_file_before_default(spec, tmp_path):
    (tmp_path / "p.yaml").write_text("seed: 5\nmodel_name: cells\n")
    values = compress.chosen_parameters(spec, tmp_path / "p.yaml", ["seed=6"])
    assert (values["seed"], values["model_name"], values["min_speedup"]) == (6, "cells", 1.0)
    assert len(values) == len(spec.root.input_definitions.parameters)


def test_relative_location_counts_from_where_the_command_is_given(spec, tmp_path, monkeypatch):
    (tmp_path / "cells").mkdir()
    monkeypatch.chdir(tmp_path)
    given = ["data=cells", "destination=models", "checkpoint=file:///a.pth", "compression_config=configs/x.py",
             "model_name=cells"]
    values = compress.chosen_parameters(spec, None, given)
    assert {name: values[name] for name in ("data", "destination", "checkpoint", "compression_config", "model_config",
                                            "model_name")} == {
        "data": str(tmp_path / "cells"), "destination": str(tmp_path / "models"), "checkpoint": "file:///a.pth",
        "compression_config": "configs/x.py", "model_name": "cells",
        "model_config": "configs/detectors/retinanet_r18_small_digits.py"}
    monkeypatch.chdir(PROJECT)
    assert compress.chosen_parameters(spec, None, ["data=../cells"])["data"] == "../cells"


def test_weights_that_a_config_names_count_from_where_the_command_is_given(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "latest.pth").touch()
    base = PROJECT / "configs/detectors/retinanet_r18_small_digits.py"
    (tmp_path / "model.py").write_text(f"_base_ = {str(base)!r}\nload_from = 'work/latest.pth'\nmodel = dict(backbone="
                                       "dict(init_cfg=dict(type='Pretrained', checkpoint='work/latest.pth')))\n")
    (tmp_path / "int8.py").write_text("_base_ = 'model.py'\nload_from = 'absent.pth'\n")
    monkeypatch.chdir(tmp_path)
    given = {"model_config": str(tmp_path / "model.py"), "model_options": {"seed": 1}, "data": "",
             "compression_config": str(tmp_path / "int8.py"), "compression_options": {}}
    backbone = {"model.backbone.init_cfg.checkpoint": str(tmp_path / "work/latest.pth")}
    assert compress.with_weights_from_here(given) == {
        **given, "model_options": {"seed": 1, "load_from": str(tmp_path / "work/latest.pth"), **backbone},
        "compression_options": backbone}
    monkeypatch.chdir(PROJECT)
    assert compress.with_weights_from_here(given) == given


def test_weights_that_one_candidate_names_are_not_given_to_the_others(tmp_path, monkeypatch):
    """compression_options are of all candidates: they started from the one's load_from."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "start.pth").write_bytes(b"")
    base = PROJECT / "configs/detectors/retinanet_r18_small_digits.py"
    for name, text in (("model", ""), ("own", "load_from = 'start.pth'"), ("other", "seed = 1")):
        (tmp_path / f"{name}.py").write_text(f"_base_ = {str(base)!r}\n{text}\n")
    model, own, other = (str(tmp_path / f"{name}.py") for name in ("model", "own", "other"))
    given = {"model_config": model, "model_options": {}, "compression_config": "", "compression_options": {}}
    for further in ({"compression_configs": [own, other]}, {"compression_configs": [own], "candidates": ["int8"]}):
        with pytest.raises(UserError, match="own.py, load_from: .*start.pth. The other candidates would get it"):
            compress.with_weights_from_here({**given, **further})
    alone = compress.with_weights_from_here({**given, "compression_configs": [own]})
    assert alone["compression_options"] == {"load_from": str(tmp_path / "start.pth")}
    same = {**given, "compression_config": own, "compression_configs": [other]}
    assert compress.with_weights_from_here(same) == same


@pytest.mark.parametrize(("options", "message"), [
    (["-p", "sed=1"], "Did you mean `seed`"), (["-p", "seed=x"], "It must be a whole number"),
    (["--params", "/absent.yaml"], "parameter file: /absent.yaml"),
    (["--work-dir", "/proc/runs"], "work dir: /proc/runs"),
    (["--compile", "pipeline.json"], "--compile: pipeline.json"), (["--name", "a/b"], "--name: 'a/b'")])
def test_user_error_is_one_paragraph_and_exit_code_2(options, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipelines.local.check_runner", lambda *arguments: None)
    assert compress.main(options) == 2
    error = capsys.readouterr().err
    assert error.startswith("compress: ") and error.count("\n") == 1
    assert message in error


def test_parameters_have_no_place_in_a_compiled_pipeline(capsys):
    with pytest.raises(SystemExit) as ended:
        compress.main(["--compile", "a.yaml", "-p", "seed=1"])
    assert ended.value.code == 2
    assert "--compile takes no parameters" in capsys.readouterr().err


@pytest.fixture(name="no_kfp")
def fixture_no_kfp(monkeypatch, tmp_path):
    monkeypatch.setattr(compress.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(compress, "ROOT", tmp_path)
    monkeypatch.delenv("MMDET_COMPRESS_VENV", raising=False)


def test_python_without_kfp_hands_over_to_the_one_that_has_it(no_kfp, tmp_path, monkeypatch):
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("")
    python.chmod(0o755)
    started = []

    def execv(path, argv):
        started.append((path, argv))
        raise SystemExit(0)

    monkeypatch.setattr(compress.os, "execv", execv)
    monkeypatch.setattr(compress.sys, "argv", ["compress.py", "--list-params"])
    with pytest.raises(SystemExit):
        compress.enter_environment()
    assert started == [(str(python), [str(python), compress.__file__, "--list-params"])]


def test_without_any_kfp_set_up_is_asked_for(no_kfp, capsys):
    compress.enter_environment()
    assert compress.main(["--list-params"]) == 2
    assert "Run 'make setup'" in capsys.readouterr().err


def test_file_name_of_a_compiled_pipeline_must_be_yaml(tmp_path):
    with pytest.raises(UserError, match="A compiled pipeline is a .yaml or .yml file"):
        compress.compile_pipeline(tmp_path / "pipeline.json")
