import json

import pytest

from components.validate.stage import EXIT_IMAGES_LEFT_OUT, STAGE


@pytest.fixture
def options(tmp_path, monkeypatch, scenes, toy_ir, int8_ir):
    """Return the stage's options for the scenes as a resolved COCO folder."""
    from core.data.dataset import resolve_data

    monkeypatch.setenv("MMDET_COMPRESS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "coco" / "annotations").mkdir(parents=True)
    scenes.test.image_root.rename(tmp_path / "coco" / "test")
    (tmp_path / "coco" / "train").symlink_to("test")
    for split in ("train", "test"):
        (tmp_path / "coco" / "annotations" / f"{split}.json").write_text(scenes.test.annotation_file.read_text())
    data = resolve_data(str(tmp_path / "coco")).to_json()
    return ["--data", json.dumps(data), "--ir-fp32", str(toy_ir), "--ir-candidates", str(int8_ir),
            "--validation", str(tmp_path / "out")]


@pytest.fixture
def unreadable(monkeypatch):
    """Let one image fail to decode, as a disk error or a decoder's bug would: resolve has refused corrupt files."""
    from core.openvino import detector
    from core.openvino.image import CorruptImageError, read_image

    def read(path):
        if path.name == "scene 2.png":
            raise CorruptImageError(path, "unreadable sector")
        return read_image(path)

    monkeypatch.setattr(detector, "read_image", read)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    from core.openvino import validation

    measure = validation.validate
    monkeypatch.setattr(validation, "validate",
                        lambda *given, **options: measure(*given, **options, samples=0, repeats=1, seconds=0.02))


def test_a_whole_split_ends_with_0(options, tmp_path):
    assert STAGE.main(options) == 0
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert found["corrupt_images"] == [] and found["candidates"][0]["ir"]["metrics"]["images"] == 6


def test_a_candidate_that_failed_in_evaluate_alone_is_left_out(options, tmp_path, capsys):
    from core.results.outcome import Outcome

    Outcome(version=1, kind="failed candidate", candidate="compressed", stage="evaluate", reason="boxes are NaN").put(
        tmp_path / "detections", folder=False)
    assert STAGE.main([*options, "--detections-candidates", str(tmp_path / "detections")]) == 2
    assert "There is nothing to measure. boxes are NaN" in capsys.readouterr().err


def test_images_left_out_are_listed_and_the_exit_code_tells(options, tmp_path, capsys, unreadable):
    assert STAGE.main(options) == EXIT_IMAGES_LEFT_OUT == 4
    assert "validate: left out scene 2.png: unreadable sector" in capsys.readouterr().err
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert found["corrupt_images"] == [{"image": "scene 2.png", "reason": "unreadable sector"}]
    assert found["candidates"][0]["ir"]["metrics"]["images"] == 5


def test_in_the_pipeline_the_report_is_kept_and_the_gate_fails(options, tmp_path, unreadable):
    ir = options[options.index("--ir-candidates") + 1]
    executor_input = {
        "inputs": {"artifacts": {
            name: {"artifacts": [{"uri": ir, "metadata": {"candidate": "int8"}}] if name.startswith("ir") else []}
            for name in ("ir_candidates", "detections_candidates", "onnx_candidates")}},
        "outputs": {"outputFile": str(tmp_path / "executor_output.json")}}
    assert STAGE.main([*options, "--executor-input", json.dumps(executor_input)]) == 0
    assert (tmp_path / "executor_output.json").is_file()
