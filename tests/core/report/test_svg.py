from xml.etree import ElementTree

import pytest

from core.report.svg import inline_svg


def drawn(label="a", prefix="p-", colour="#123456"):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 2), dpi=72)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=colour, marker="o")
    axes.set_yticks([0], labels=[label], parse_math=False)
    return inline_svg(figure, prefix, "A \"line\" <b>", {"#123456": "var(--line)"})


def test_the_svg_is_one_element_that_the_page_sizes():
    root = ElementTree.fromstring(drawn())
    assert root.tag == "svg" and root.get("viewBox") == "0 0 288 144"
    assert root.get("width") is None and root.get("height") is None
    assert root.get("role") == "img" and root.get("aria-label") == "A \"line\" <b>"
    assert not [element for element in root.iter() if element.tag in ("style", "metadata", "image", "script")]


def test_ids_carry_the_prefix_and_every_reference_is_met():
    root = ElementTree.fromstring(drawn(prefix="speed-"))
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert ids and len(ids) == len(set(ids)) and all(name.startswith("speed-") for name in ids)
    references = {element.get("href")[1:] for element in root.iter() if element.get("href")}
    references |= {element.get("clip-path")[5:-1] for element in root.iter() if element.get("clip-path")}
    assert references == set(ids)


def test_fonts_are_the_reader_s_in_the_plot_s_sizes():
    """matplotlib's list of fonts at every text made a third of a page of many candidates."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 2), dpi=72)
    figure.text(0, 0, "plain", fontsize=9)
    figure.text(0, 0.5, "bold", fontsize=9.5, fontweight="bold")
    texts = {text.text: text.get("style") for text in ElementTree.fromstring(
        inline_svg(figure, "p-", "texts", {})).iter("text")}
    assert "font-size: 9px" in texts["plain"] and "font-weight" not in texts["plain"]
    assert "font-size: 9.5px; font-weight: 700" in texts["bold"]
    assert not any("DejaVu" in style or "sans" in style for style in texts.values())


def test_colours_follow_the_page():
    text = drawn()
    assert "var(--line)" in text and "#123456" not in text


@pytest.mark.parametrize("label", ["<script>alert(1)</script>", "\u7ea2\u7ec6\u80de", "$x_1$", "a & b",
                                   'id="x" url(#x)', "\u0645\u06cc", "]]>", "-->"])
def test_text_stays_text(label, recwarn):
    root = ElementTree.fromstring(drawn(label))
    assert label in [element.text for element in root.iter("text")]
    assert not recwarn.list


def test_the_same_figure_is_the_same_text():
    assert drawn() == drawn()
