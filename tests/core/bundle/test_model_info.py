import pytest

from core.base.errors import UserError
from core.bundle.model_info import add_model_info, take_model_info

XML = (b'<net>\n\t<rt_info>\n\t\t<model_info>\n\t\t\t<labels value="red" />\n\t\t</model_info>\n\t</rt_info>\n</net>\n')


@pytest.mark.parametrize("run", ["digits-1", 'he said "<b>" & left', "'quoted' \"twice\"", "größe 青", ""])
def test_entries_are_read_back_and_taken_out_to_the_byte(run):
    from xml.etree import ElementTree

    added = add_model_info(XML, {"measured_map": "0.41", "source_run": run})
    info = ElementTree.fromstring(added).find("rt_info/model_info")
    assert [(entry.tag, entry.get("value")) for entry in info] == [
        ("source_run", run), ("measured_map", "0.41"), ("labels", "red")]
    assert take_model_info(added) == XML


def test_nothing_to_take_out_changes_nothing():
    assert take_model_info(XML) == XML
    assert take_model_info(b"<net></net>") == b"<net></net>"


@pytest.mark.parametrize("xml", [b"<net></net>", add_model_info(XML, {"source_run": "earlier"}), XML + XML])
def test_model_that_is_not_as_converted_is_refused(xml):
    with pytest.raises(UserError, match="as the convert stage wrote it"):
        add_model_info(xml, {"source_run": "later"})


@pytest.mark.parametrize("entries", [{"labels": "blue"}, {"source_run": "two\nlines"}])
def test_only_known_single_lines_are_added(entries):
    with pytest.raises(ValueError):
        add_model_info(XML, entries)
