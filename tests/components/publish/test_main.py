import json

import pytest

from components.publish.stage import STAGE
from tests.core.bundle.conftest import sources  # noqa: F401 - a fixture, as are the next
from tests.core.conftest import int8_ir, int8_spec, openvino, toy_ir, toy_spec  # noqa: F401


@pytest.fixture(name="options")
def fixture_options(sources, tmp_path):  # noqa: F811
    return ["--ir-candidates", f"compressed={sources.compressed}", "--ir-fp32", str(sources.fp32),
            "--validation", str(sources.golden.parent), "--summary", str(sources.summary), "--html", str(sources.html),
            "--location", str(tmp_path / "out" / "location")]


def test_without_destination_nothing_is_published(options, tmp_path, capsys):
    assert STAGE.main(options) == 0
    assert capsys.readouterr().out == "nothing published: no destination is given\n"
    assert (tmp_path / "out" / "location").read_text() == ""


def test_location_of_the_version_is_written(options, tmp_path, capsys):
    published = tmp_path / "models" / "cells" / "1"
    for run, said in (("first", "published version 1"), ("second", "already published as version 1")):
        assert STAGE.main([*options, "--destination", str(tmp_path / "models"), "--model-name", "cells", "--run", run,
                           "--run-id", f"id of {run}"]) == 0
        assert capsys.readouterr().out == f"{said}: {published}\n"
        assert (tmp_path / "out" / "location").read_text() == str(published)
    manifest = json.loads((published / "bundle.json").read_text())
    assert manifest["model_name"] == "cells"
    assert (manifest["model_info"]["source_run"], manifest["model_info"]["source_run_id"]) == ("first", "id of first")


def test_model_of_another_summary_is_not_published(options, tmp_path, capsys, sources):  # noqa: F811
    options[options.index("--ir-candidates") + 1] = f"compressed={sources.fp32}"
    assert STAGE.main([*options, "--destination", str(tmp_path / "models")]) == 2
    assert "measured another model" in capsys.readouterr().err
    assert not (tmp_path / "models").exists()
