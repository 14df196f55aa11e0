import pytest

from components.publish.__main__ import main


@pytest.fixture(name="options")
def fixture_options(tmp_path):
    for folder in ("compressed", "fp32"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.xml").write_text(folder)
    for name in ("summary", "html"):
        (tmp_path / name).write_text(name)
    return ["--ir-compressed", str(tmp_path / "compressed"), "--ir-fp32", str(tmp_path / "fp32"),
            "--summary", str(tmp_path / "summary"), "--html", str(tmp_path / "html"),
            "--location", str(tmp_path / "out" / "location")]


def test_without_destination_nothing_is_published(options, tmp_path, capsys):
    assert main(options) == 0
    assert capsys.readouterr().out == "nothing published: no destination is given\n"
    assert (tmp_path / "out" / "location").read_text() == ""


def test_location_of_the_version_is_written(options, tmp_path, capsys):
    published = tmp_path / "models" / "cells" / "1"
    for said in ("published version 1", "already published as version 1"):
        assert main([*options, "--destination", str(tmp_path / "models"), "--model-name", "cells"]) == 0
        assert capsys.readouterr().out == f"{said}: {published}\n"
        assert (tmp_path / "out" / "location").read_text() == str(published)
    assert (published / "model.xml").read_text() == "compressed"
