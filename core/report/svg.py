"""From a matplotlib figure to SVG that belongs into an HTML page."""

import io
import re
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HREF = "{http://www.w3.org/1999/xlink}href"
_FRACTION = re.compile(r"-?\d+\.\d+")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


def inline_svg(figure: "Figure", prefix: str, description: str, colours: Mapping[str, str]) -> str:
    """Return the figure as one ``<svg>`` element without width and height, so that the page sets its size.

    Text stays text, drawn with the reader's fonts: any script shows that the reader has. Colours become the page's
    variables, so that the plot follows a light or dark page.

    Args:
        prefix: Put before every id, since ids are shared by all of a page's plots.
        description: Read out instead of the picture.
        colours: From matplotlib's colours (``#rrggbb``) to what CSS calls them.
    """
    root = _drawn(figure)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    for child in [child for child in root if child.tag in ("metadata", "defs") and child.find("clipPath") is None]:
        root.remove(child)
    root.set("role", "img")
    root.set("aria-label", description)
    referenced = {element.get("href", "")[1:] for element in root.iter()}.union(
        *(_REFERENCE.findall(element.get("clip-path", "")) for element in root.iter()))
    for element in root.iter():
        _tidy(element, prefix, referenced, colours)
    return ElementTree.tostring(root, encoding="unicode")


def _drawn(figure: "Figure") -> ElementTree.Element:
    """Return the figure as SVG without namespaces."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    # the fixed salt makes the same figure the same text
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "report"}), warnings.catch_warnings():
        # matplotlib misses glyphs that it never draws: the browser does
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    root = ElementTree.fromstring(buffer.getvalue())
    for element in root.iter():
        element.tag = element.tag.split("}")[-1]
        if _HREF in element.attrib:
            element.set("href", element.attrib.pop(_HREF))
    return root


def _tidy(element: ElementTree.Element, prefix: str, referenced: set[str], colours: Mapping[str, str]) -> None:
    name = element.attrib.pop("id", None)
    if name in referenced:
        element.set("id", prefix + name)
    if "href" in element.attrib:
        element.set("href", "#" + prefix + element.get("href")[1:])
    if "clip-path" in element.attrib:
        element.set("clip-path", _REFERENCE.sub(rf"url(#{prefix}\1)", element.get("clip-path")))
    if element.get("transform", "").startswith("rotate(-0 "):
        del element.attrib["transform"]
    for attribute in ("d", "x", "y", "transform"):
        if attribute in element.attrib:
            numbers = " ".join(element.get(attribute).split())
            element.set(attribute, _FRACTION.sub(lambda found: f"{float(found.group()):.2f}", numbers))
    if "style" in element.attrib:
        # Of `font: 700 9px 'DejaVu Sans', ...` weight and size are kept; the fonts took a third of a plot.
        style = re.sub(r"font: (?:(\w+) )?([\d.]+px) [^;]*", _size_and_weight, element.get("style"))
        style = re.sub(r"font-family: [^;]*(; )?", "", style)
        for drawn, named in colours.items():
            style = style.replace(drawn, named)
        element.set("style", style)
    if element.tag != "text":
        element.text = None
    element.tail = None


def _size_and_weight(font: re.Match[str]) -> str:
    weight, size = font.groups()
    return f"font-size: {size}" + (f"; font-weight: {weight}" if weight else "")
