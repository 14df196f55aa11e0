"""What a published model.xml says of its origin, added to it as text so that it can be taken out again, to the byte.

The digest of model.xml that a report names is that of the measured file. Saving the model anew with OpenVINO would
give other bytes and no way to tell that nothing else was changed.
"""

import re
from collections.abc import Mapping
from xml.sax.saxutils import quoteattr

from core.base.errors import UserError

# Only these are ever added; each is one line.
KEYS = ("source_run", "source_run_id", "measured_map", "measured_map50", "measured_map_fp32", "data_sha256",
        "summary_sha256")

_START = b"<model_info>\n"
_ENTRY = re.compile(rb"[\t ]*<(?:" + "|".join(KEYS).encode() + rb") value=(?:\"[^\"\n]*\"|'[^'\n]*') />\n")


def add_model_info(xml: bytes, entries: Mapping[str, str]) -> bytes:
    """Return the text of a model.xml with ``entries`` at the head of its ``model_info``.

    Raises:
        UserError: The file has no model_info, or has been published before.
        ValueError: A key is none of ``KEYS``, or a value has more than one line.
    """
    if not set(entries) <= set(KEYS) or any(not value.isprintable() for value in entries.values()):
        raise ValueError(f"entries must be single lines with keys of {KEYS}: {dict(entries)}")
    if xml.count(_START) != 1 or take_model_info(xml) != xml:
        raise UserError("model.xml", "no model_info of its own", "It must be as the convert stage wrote it.",
                        "Publish the folder that convert wrote, not one that was published or saved anew.")
    lines = "".join(f"\t\t\t<{key} value={quoteattr(entries[key])} />\n" for key in KEYS if key in entries)
    return xml.replace(_START, _START + lines.encode("utf-8"))


def take_model_info(xml: bytes) -> bytes:
    """Return the text of a model.xml as it was before ``add_model_info``."""
    head, start, rest = xml.partition(_START)
    while start:
        entry = _ENTRY.match(rest)
        if entry is None:
            break
        rest = rest[entry.end():]
    return head + start + rest
