"""Pieces of HTML that every part of the page is made of."""

import html
from collections.abc import Iterable, Sequence
from typing import Any

from core.report.text import displayable

MOST_LETTERS = 4000


def escape(text: Any) -> str:
    """Return text from outside such that it is shown and never read as markup."""
    return html.escape(displayable(str(text), MOST_LETTERS), quote=True)


def card(heading: str, lead: str, inner: str) -> str:
    """Return a section of the page; ``inner`` is HTML, heading and lead are text."""
    opening = f"<p class=\"lead\">{escape(lead)}</p>" if lead else ""
    return f"<section class=\"card\"><h2>{escape(heading)}</h2>{opening}{inner}</section>"


def plot(svg: str, kind: str = "") -> str:
    """Return a plot that scrolls where the screen is narrow."""
    return f"<div class=\"{f'plot {kind}'.strip()}\">{svg}</div>"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "", tall: bool = False) -> str:
    """Return a table that scrolls; the first cell of a row is its heading, all cells are text."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(f"<tr><th scope=\"row\">{escape(row[0])}</th>"
                   + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:]) + "</tr>" for row in rows)
    below = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (f"<div class=\"scroll{' tall' if tall else ''}\"><table><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody>{below}</table></div>")
