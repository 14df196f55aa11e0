import json

import pytest

from core.base.errors import UserError
from core.report.build import build_report
from core.report.summary import read_summary

pytest.importorskip("matplotlib")
pytest.importorskip("cv2")


@pytest.fixture()
def build(tmp_path):
    def run(inputs):
        files = [tmp_path / "out" / name for name in ("summary.json", "report.html", "report.md")]
        return build_report(inputs, *files).summary, files

    return run


@pytest.mark.parametrize("maps, verdict", [((0.4, 0.4, 0.4, 0.4), "pass"), ((0.4, 0.4, 0.4, 0.2), "fail")])
def test_all_three_files_exist_whatever_the_verdict(measured, inputs_of, build, maps, verdict):
    summary, files = build(inputs_of(measured(maps=maps)))
    assert summary.verdict == verdict
    assert read_summary(files[0]) == summary
    assert verdict.title() in files[1].read_text(encoding="utf-8")
    assert files[2].read_text(encoding="utf-8").startswith(f"# Compression report: {verdict}")


@pytest.mark.parametrize("field", ["evaluation_fp32_file", "evaluation_compressed_file", "training_log_file",
                                   "compression_log_file"])
def test_a_missing_input_is_named_and_nothing_is_written(measured, inputs_of, build, tmp_path, field):
    inputs = inputs_of(measured())
    getattr(inputs, field).unlink()
    with pytest.raises(UserError, match=f"{getattr(inputs, field).name} does not exist"):
        build(inputs)
    assert not (tmp_path / "out").exists()


def test_a_missing_validation_is_named(measured, inputs_of, build):
    inputs = inputs_of(measured())
    (inputs.validation_folder / "metrics.json").unlink()
    with pytest.raises(UserError, match="metrics.json does not exist"):
        build(inputs)


def test_non_ascii_names_reach_every_file(measured, inputs_of, build):
    _, files = build(inputs_of(measured(classes=("\u7ea2\u7ec6\u80de", "Pl\u00e4ttchen"))))
    assert "\u7ea2\u7ec6\u80de" in files[1].read_text(encoding="utf-8")
    assert "Pl\u00e4ttchen" in files[2].read_text(encoding="utf-8")


def test_names_that_utf8_cannot_hold_do_not_stop_the_report(measured, inputs_of, build):
    run = measured()
    run.validation["corrupt_images"] = ["bad\udcff.jpg"]
    _, files = build(inputs_of(run))
    assert "bad\ufffd.jpg" in files[1].read_text(encoding="utf-8")


def test_the_summary_is_strict_json(measured, inputs_of, build):
    run = measured()
    run.validation["compressed"]["metrics"]["map"] = None
    summary, files = build(inputs_of(run))
    assert summary.verdict == "fail"
    assert json.loads(files[0].read_text(), parse_constant=pytest.fail)["map_ir"] is None
