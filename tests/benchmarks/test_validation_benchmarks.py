"""The benchmarks of validation run in miniature and say what they measured."""

import json

import pytest

from benchmarks import bound, compressed_speed, mmdet_loop, random_model, speed_tries, validation
from benchmarks.compressed_speed import HEADER, row

FOUND = {"detector": "ssd300", "variant": "int8", "fps_fp32": 5.0, "fps": 11.0, "speedup": 2.2, "speedup_low": 2.1,
         "speedup_high": 2.3, "latency_ms_fp32": 200.0, "latency_ms": 90.0, "latency_ratio": 2.22, "size_mb_fp32": 96.0,
         "size_mb": 24.0, "gflops_fp32": 62.0, "gflops": 62.0, "int8_share": 1.0, "bound": 2.4, "share_of_bound": 0.92,
         "goal": 0.9, "other_cores": 0.1, "source": "wall"}


def test_compressed_irs_take_turns_with_fp32(toy_ir, int8_ir, tmp_path, capsys):
    code = compressed_speed.main(["--irs", "toy", "int8", str(toy_ir), str(int8_ir), "--repeats", "2", "--seconds",
                                  "0.03", "--profile", "--output", str(tmp_path / "out.json")])
    assert code == 0
    document = json.loads((tmp_path / "out.json").read_text())
    (found,) = document["results"]
    assert (found["detector"], found["variant"], found["int8_share"], found["goal"]) == ("toy", "int8", 1, None)
    assert found["speedup_low"] <= found["speedup"] <= found["speedup_high"]
    assert found["gflops"] == found["gflops_fp32"] > 0
    assert any(operation["type"] == "Convolution" for operation in found["profile"])
    assert sum(found["time_by_type"].values()) == pytest.approx(1) and "Convolution" in found["time_by_type"]
    assert document["machine"]["versions"]["openvino"].startswith("2024.6")
    assert "toy int8:" in capsys.readouterr().out


def test_a_row_fits_the_header():
    unknown = dict.fromkeys(("goal", "bound", "share_of_bound", "other_cores"))
    assert len(row(FOUND)) == len(row({**FOUND, **unknown})) == len(HEADER)
    assert row(FOUND)[-4:] == ["0.92", ">= 0.9", "0.10", "wall time"]


def test_the_bound_is_measured_again(toy_ir, int8_ir, tmp_path, capsys):
    code = bound.main(["--irs", "toy", str(toy_ir), str(int8_ir), "--times", "2", "--seconds", "0.01",
                       "--output", str(tmp_path / "out.json")])
    assert code == 0
    (found,) = json.loads((tmp_path / "out.json").read_text())["results"]
    assert found["layers"] == 1 and len(found["bounds"]) == len(found["int8"]) == 2 and min(found["bounds"]) > 0
    assert "goal: spread <= 1.05" in capsys.readouterr().out


def test_validation_and_benchmark_app_take_turns(toy_ir, scenes, tmp_path, capsys):
    code = validation.main(["--ir", "toy", str(toy_ir), "--images", str(scenes.test.image_root), "--count", "30",
                            "--repeats", "1", "--seconds", "1", "--output", str(tmp_path / "out.json")])
    assert code == 0
    (found,) = json.loads((tmp_path / "out.json").read_text())["results"]
    assert found["validate"] > 0 and found["benchmark_app"] > 0
    assert found["ratio"] == pytest.approx(found["validate"] / found["benchmark_app"])
    assert found["bound"] == pytest.approx(found["decode"] / (found["decode"] + found["benchmark_app"]))
    assert "goal: ratio >= 0.95" in capsys.readouterr().out


def test_growth_compares_passes_of_their_own(toy_ir, scenes, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(validation, "GROWTH_IMAGES", (6, 60))
    code = validation.main(["--ir", "toy", str(toy_ir), "--images", str(scenes.test.image_root), "--growth",
                            "--repeats", "1", "--output", str(tmp_path / "out.json")])
    assert code == 0
    (found,) = json.loads((tmp_path / "out.json").read_text())["results"]
    assert found["over_linear"] > 0 and min(found["peak_mb"].values()) > 0
    assert "over linear <= 1.05" in capsys.readouterr().out


def test_images_are_repeated_until_there_are_enough(scenes):
    files = validation.image_files(scenes.test.image_root, 8)
    assert len(files) == 8 and files[6:] == files[:2]


def test_mmdetections_loop_and_validate_take_turns(toy_ir, scenes, monkeypatch):
    """MMDetection's side runs in the other environment; what it takes is given here."""
    speeds = iter([10.0, 20.0])
    monkeypatch.setattr(mmdet_loop, "_mmdet_apart", lambda *given: {"images_per_second": next(speeds)})
    monkeypatch.setattr(mmdet_loop, "openvino_pass", lambda *given: {"images_per_second": 100.0})
    found = mmdet_loop.compare("toy", "x.pth", toy_ir, {}, 2)
    assert (found["ratio_min"], found["ratio"], found["ratio_max"], found["mmdet"]) == (5, 7.5, 10, 15)


@pytest.mark.parametrize("variant, algorithms", [("int8", ["quantization"]), ("pruning", ["filter_pruning"]),
                                                 ("int8_pruning", ["filter_pruning", "quantization"])])
def test_a_random_model_is_compressed_as_its_config_says(variant, algorithms):
    config = random_model.variant_config("ssd300", variant, (300, 300))
    compression = config.nncf_config["compression"]
    parts = compression if isinstance(compression, list) else [compression]
    assert [part["algorithm"] for part in parts] == algorithms
    assert config.nncf_config["input_info"]["sample_size"] == [1, 3, 300, 300]
    pruning = [part for part in parts if part["algorithm"] == "filter_pruning"]
    assert all(part["pruning_init"] == part["params"]["pruning_target"] == 0.4 for part in pruning)


def test_changes_reach_the_config_of_a_random_model():
    for _, changes, _ in speed_tries.SETUPS:
        config = random_model.variant_config("retinanet_r18_small", "int8", (192, 256), changes)
        assert config.nncf_config["compression"]["algorithm"] == "quantization"
    per_tensor = dict((name, changes) for name, changes, _ in speed_tries.SETUPS)["weights per tensor"]
    config = random_model.variant_config("retinanet_r18_small", "int8", (192, 256), per_tensor)
    assert config.nncf_config["compression"]["weights"] == {"per_channel": False}


def test_settings_of_the_runtime_are_tried_on_both_irs(toy_ir, int8_ir, tmp_path, capsys):
    code = speed_tries.main(["--irs", "toy", str(toy_ir), str(int8_ir), "--repeats", "2", "--seconds", "0.03",
                             "--output", str(tmp_path / "out.json")])
    assert code == 0
    results = json.loads((tmp_path / "out.json").read_text())["results"]
    assert [found["try"] for found in results] == [f"toy, {setting}" for setting in speed_tries.RUNTIME]
    assert all(found["speedup_low"] <= found["speedup"] <= found["speedup_high"] for found in results)
    assert "toy, one thread" in capsys.readouterr().out


def test_noise_disturbs_the_first_convolution_alone_and_goes_again():
    import torch

    from benchmarks.rounding import disturb

    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 1, 3))
    image = torch.rand(1, 1, 8, 8)
    before = network(image)
    hook = disturb(network, 1e-3, seed=1)
    disturbed = network(image)
    hook.remove()
    assert 0 < (disturbed - before).abs().max() < 0.05
    assert torch.equal(network(image), before)
