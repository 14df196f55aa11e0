"""The command line: verdict, findings, migration as a diff and to paste, layers where they can be traced."""

import importlib.util
import json
import subprocess
import sys

import pytest

from core.compression.check import main
from core.compression.config_check import check_nncf_config
from core.config.loading import REPOSITORY

SMALL = "configs/nncf_compression/retinanet_r18_small/int8.py"
SPECIFICATION = REPOSITORY / "docs" / "ssd300_of_the_specification.py"


@pytest.fixture()
def specification(tmp_path):
    path = tmp_path / "specification.py"
    path.write_text(SPECIFICATION.read_text())
    return path


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def pasted(text):
    names = {}
    exec(text, {}, names)
    return names["nncf_config"]


def test_a_valid_config(capsys):
    code, out, err = run(capsys, SMALL, "--no-trace")
    assert code == 0
    assert f"{SMALL}: nncf_config is valid for NNCF 2.0.0\n" in out
    assert "Not checked: scopes, frozen layers and pruned filters (--no-trace)." in out
    assert err == ""


def test_a_config_without_compression_is_plain_training(capsys):
    code, out, _ = run(capsys, "configs/detectors/retinanet_r18_small.py")
    assert code == 0 and "has no nncf_config" in out
    code, out, _ = run(capsys, SMALL, "--cfg-options", 'nncf_config={"_delete_": true}')
    assert code == 0 and "has no nncf_config" in out


def test_findings_name_place_rule_and_way_out(capsys):
    code, out, _ = run(capsys, SMALL, "--cfg-options", "nncf_config.compression.initializer.range.num_init_samples=-1",
                       "nncf_config.target_device=NPU")
    assert code == 2
    assert "nncf_config is NOT valid for NNCF 2.0.0 (2 errors)" in out
    assert ("  error: compression.initializer.range.num_init_samples = -1\n"
            "    A count of samples is a whole number of at least 0.\n"
            "    Write a number such as 256.\n") in out
    assert "(the nncf_config has errors)" in out


def test_epochs_come_from_the_config(capsys):
    pruning = ('nncf_config.compression={"_delete_": true, "algorithm": "filter_pruning", "params": '
               '{"pruning_target": 0.4, "schedule": "exponential", "pruning_steps": 4}}')
    code, out, _ = run(capsys, SMALL, "--no-trace", "--cfg-options", pruning)
    assert code == 2 and "(0 + 4) are below the 4 epochs" in out
    code, _, _ = run(capsys, SMALL, "--no-trace", "--cfg-options", pruning, "runner.max_epochs=5")
    assert code == 0


def test_warnings_leave_a_config_valid(capsys):
    code, out, _ = run(capsys, SMALL, "--no-trace", "--cfg-options", "nncf_config.input_info.sample_size=[1,3,256,192]")
    assert code == 0
    assert "is valid for NNCF 2.0.0 (1 warning)" in out
    assert "Write [1, 3, 192, 256]." in out


def test_the_specifications_example_is_explained(capsys, specification):
    code, out, _ = run(capsys, specification)
    assert code == 2
    assert "(2 errors)" in out
    assert "-                num_init_steps=10,\n" in out
    assert "+                num_init_samples=20,\n" in out
    assert "30 steps x batch size 2" in out
    assert "replaced as above by --migrate" in out
    assert "the file does not say how many" in out and "(the nncf_config has errors)" in out


def test_the_specifications_example_is_migrated_to_a_valid_one(capsys, specification, tmp_path):
    code, out, err = run(capsys, specification, "--migrate", "--batch-size", 8)
    assert code == 0
    migrated = pasted(out)
    assert migrated == {
        "input_info": {"sample_size": [1, 3, 1000, 600]},
        "compression": {"algorithm": "quantization",
                        "initializer": {"range": {"num_init_samples": 80},
                                        "batchnorm_adaptation": {"num_bn_adaptation_samples": 240}}},
        "log_dir": "work_dirs/ssd300"}
    assert check_nncf_config(migrated) == []
    assert "nncf_config is valid" in err and "10 steps x batch size 8" in err
    (tmp_path / "pasted.py").write_text(out)
    assert run(capsys, tmp_path / "pasted.py")[0] == 0


@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_the_migrated_dict_is_in_the_language_of_the_file(capsys, tmp_path, suffix):
    import yaml

    path = tmp_path / f"bare{suffix}"
    path.write_text(json.dumps({"input_info": {"sample_size": [1, 3, 8, 8]},
                                "compression": {"algorithm": "quantization", "preset": "mixed"}}))
    code, out, _ = run(capsys, path, "--migrate")
    assert code == 0
    assert (json.loads if suffix == ".json" else yaml.safe_load)(out) == {
        "input_info": {"sample_size": [1, 3, 8, 8]},
        "compression": {"algorithm": "quantization", "weights": {"mode": "symmetric"},
                        "activations": {"mode": "asymmetric"}}}


def test_what_migration_cannot_mend_is_left_off_standard_output(capsys, specification):
    code, out, err = run(capsys, specification, "--migrate", "--cfg-options", "nncf_config.target_device=NPU")
    assert code == 2
    assert out == ""
    assert "target_device = 'NPU'" in err and "num_init_samples=20" in err


def test_a_batch_size_below_1_is_refused(capsys, specification):
    code, out, err = run(capsys, specification, "--batch-size", -2)
    assert code == 2
    assert "batch size: -2." in err


@pytest.mark.parametrize("name, text, said", [
    ("absent.py", None, "no such file"), ("list.json", "[]", "A config is a mapping"),
    ("nothing.json", '{"nncf_config": 3}', "nncf_config = 3"), ("other.json", '{"a": 1}', "ignores this key")])
def test_other_files_end_with_a_message(capsys, tmp_path, name, text, said):
    if text is not None:
        (tmp_path / name).write_text(text)
    code, out, err = run(capsys, tmp_path / name)
    assert code == 2
    assert said in out + err
    assert "Traceback" not in out + err


def test_without_the_modules_the_dict_is_still_checked(capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    code, out, _ = run(capsys, SMALL)
    assert code == 0
    assert "Not asked: NNCF's own schema" in out
    assert "torch, mmcv, mmdet, nncf not installed in this environment" in out


class TestLayers:
    PRUNING = ('nncf_config.compression={"_delete_": true, "algorithm": "filter_pruning", "ignored_scopes": %s, '
               '"params": {"pruning_target": 0.05}}')
    FIRST = "RetinaNet/ResNet[backbone]/NNCFConv2d[conv1]/conv2d_0"

    def test_scopes_and_filters(self, capsys):
        code, out, _ = run(capsys, SMALL, "--scopes", "--cfg-options",
                           self.PRUNING % '["{re}bbox_head/ModuleList.reg_convs.", "{re}.*reg_convs.*"]')
        assert code == 2
        assert "error: compression.ignored_scopes = '{re}bbox_head/ModuleList.reg_convs.'" in out
        assert "compression.ignored_scopes, '{re}.*reg_convs.*': 24 matched\n" in out
        assert "    ... and 19 more\n" in out
        assert f"\n  {self.FIRST}\n" in out
        assert "Frozen layers: none" in out
        assert "Filter pruning at 0.05: " in out
        assert "nothing of 32 filters goes in" in out

    def test_what_the_exported_graph_would_not_do_is_refused(self, capsys):
        code, _, err = run(capsys, SMALL, "--cfg-options", "model.test_cfg.nms.type=soft_nms")
        assert code == 2 and "model.test_cfg.nms.type: 'soft_nms'" in err

    def test_a_head_that_is_refused_by_name_is_not_built(self, capsys, monkeypatch):
        monkeypatch.setattr("core.detectors.registry.build_detector", lambda config: pytest.fail("It was built."))
        code, _, err = run(capsys, SMALL, "--cfg-options", "model.bbox_head.type=CornerHead")
        assert code == 2 and "CornerHead" in err and "CenterNet" in err

    def test_frozen_layers_to_paste(self, capsys):
        code, out, _ = run(capsys, SMALL, "--cfg-options", self.PRUNING % "[]", "model.backbone.frozen_stages=0")
        assert code == 2
        assert f"ignored_scopes=['{self.FIRST}']" in out
        assert "Frozen layers: 1\n" in out and f"  ignored_scopes=[\n      '{self.FIRST}',\n  ]\n" in out

    def test_what_goes_by_flops_is_not_foretold(self, capsys):
        flops = 'nncf_config.compression={"_delete_": true, "algorithm": "filter_pruning", ' \
                '"params": {"pruning_flops_target": 0.3}}'
        code, out, _ = run(capsys, SMALL, "--cfg-options", flops)
        assert code == 0
        assert "decided while training" in out

    def test_standard_output_is_the_dict_alone(self):
        command = [sys.executable, "-m", "core.compression.check", SMALL, "--migrate"]
        result = subprocess.run(command, cwd=str(REPOSITORY), capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        assert pasted(result.stdout)["compression"]["algorithm"] == "quantization"
        assert "Traced: " in result.stderr
