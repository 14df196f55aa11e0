"""What a sensitivity looks like: on the report's page, as a picture and in a terminal."""

import json
from xml.etree import ElementTree

import pytest

from core.report.pages import render_html
from core.report.plots import sensitivity_bars
from core.report.sensitivity import lines
from core.results.sensitivity import Sensitivity
from tests.core.openvino.test_sensitivity import write_chain


@pytest.fixture
def sensitivity():
    groups = [{"kind": kind, "name": f"backbone/<{kind}>/{place}", "layers": ["a"], "scopes": [f"{kind}{place}"],
               "error": 0.5 / (1 + place), "map_drop": 0.0123 if place < 2 else None}
              for kind in ("quantization", "pruning") for place in range(40)]
    return {"schema": 1, "kind": "sensitivity", "onnx_sha256": "0" * 64, "images": 16, "map_images": 50, "map": 0.41,
            "map_quantized": 0.4, "pruning_level": 0.4, "groups": groups, "ignored_scopes": ["{re}\\[backbone\\]/"]}


def test_the_page_shows_the_worst_parts_and_what_to_paste(measured, content_of, sensitivity):
    run = measured()
    assert "Sensitivity of" not in render_html(content_of(run))
    run.candidate["sensitivity"] = sensitivity
    page = render_html(content_of(run))
    for fact in ("Sensitivity of compressed", "16 images", "0.4100", "ignored_scopes=", "backbone/&lt;pruning&gt;/29",
                 "-0.0123 mAP"):
        assert fact in page
    assert "backbone/&lt;pruning&gt;/30" not in page


def test_a_picture_of_quantizers_alone(sensitivity):
    sensitivity["groups"] = sensitivity["groups"][:1]
    ElementTree.fromstring(sensitivity_bars(Sensitivity.from_json(sensitivity)))


def test_a_terminal_lists_all(sensitivity):
    text = lines(Sensitivity.from_json(sensitivity))
    assert len(text) == 82 and text[1].split() == ["quantization", "0.5000", "-0.0123", "backbone/<quantization>/0"]
    assert "n/a" in text[-2] and text[-1] == "ignored_scopes=['{re}\\\\[backbone\\\\]/']"


def test_the_error_of_outputs_that_are_nan_takes_no_more_room(sensitivity):
    sensitivity["groups"][0]["error"] = 1e100
    found = Sensitivity.from_json(sensitivity)
    assert lines(found)[1].split()[1] == "1e+100"
    ElementTree.fromstring(sensitivity_bars(found))


def test_the_command_writes_record_and_picture(tmp_path, monkeypatch, capsys, openvino, scenes, int8_spec, write_onnx):
    from core.report import sensitivity as command

    chain = write_chain(tmp_path / "chain", int8_spec, write_onnx)
    (tmp_path / "data.json").write_text(json.dumps({}))
    monkeypatch.setattr("core.data.dataset.open_dataset", lambda reference: scenes)
    monkeypatch.setattr("core.data.reference.DataRef.from_json", lambda values: values)
    code = command.main([str(chain), "--data", str(tmp_path / "data.json"), "--output", str(tmp_path / "out"),
                         "--images", "1", "--map-images", "1", "--worst", "1"])
    assert code == 0
    found = Sensitivity.read(tmp_path / "out" / "sensitivity.json")
    assert found.of("quantization")[0].name == "backbone/conv3"
    ElementTree.parse(tmp_path / "out" / "sensitivity.svg")
    assert f"ignored_scopes={list(found.ignored_scopes)}" in capsys.readouterr().out
