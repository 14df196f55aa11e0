"""``MODEL_CARD.md``: what the model is, what was measured of it, where that holds, and how to call it."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.base.digest import sha256_file
from core.base.errors import UserError
from core.base.foreign_file import read_foreign
from core.base.text import counted, printable
from core.bundle.inference_service import SERVICE_FILE
from core.bundle.labels import COPY_AGAIN

if TYPE_CHECKING:
    from core.export.spec import ModelSpec
    from core.results.summary import Summary

CARD_FILE = "MODEL_CARD.md"
TEMPLATES = Path(__file__).parent / "templates"
MOST_BYTES = 4 << 20
# Whose digests the card names beside that of the validated model.xml.
NAMED_FILES = ("model.bin", "fp32/model.xml", "fp32/model.bin", "summary.json")
_MOST_CLASSES = 100
_MARKS = re.compile(r"([\\`*_{}\[\]#|~!])")


def write_model_card(folder: Path, model_name: str, spec: "ModelSpec", summary: "Summary", service: Mapping[str, Any]
                     ) -> None:
    """Write the card into a bundle that holds all ``NAMED_FILES``.

    It names neither run nor date, so that two runs with the same results make the same card.

    Args:
        service: The InferenceService manifest of the bundle.
    """
    # Not above: the program inside a bundle, which checks the card, runs without it.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder, digests, configs = Path(folder), summary.provenance.sha256, summary.provenance.configs
    environment = Environment(loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True,
                              keep_trailing_newline=True)
    environment.filters.update(text=_text, counted=counted)
    environment.tests["finite"] = math.isfinite
    card = environment.get_template("model_card.md.jinja").render(
        model_name=model_name, spec=spec, summary=summary, service=service, service_file=SERVICE_FILE,
        most_classes=_MOST_CLASSES, digests={
            "model.xml, as validated": digests.ir_xml, **{name: sha256_file(folder / name) for name in NAMED_FILES},
            "data set": digests.data, "checkpoint": digests.candidate_checkpoint,
            "checkpoint of the baseline": digests.parent_checkpoint, "nncf_config": digests.nncf_config,
            "model config": configs.model_digest, "compression config": configs.compression_digest})
    (folder / CARD_FILE).write_text(card, encoding="utf-8")


def check_model_card(folder: Path, xml_sha256: str) -> None:
    """Raise UserError where a bundle's card is missing, is no text, or lacks the digest of a file that it must name."""
    path = Path(folder) / CARD_FILE
    try:
        text = read_foreign(path, "bundle file", MOST_BYTES, COPY_AGAIN).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError("bundle file", path, "It must be text in UTF-8.", COPY_AGAIN) from error
    digests = {"model.xml": xml_sha256, **{name: sha256_file(Path(folder) / name) for name in NAMED_FILES}}
    other = [name for name, digest in digests.items() if f"`{digest}`" not in text]
    if other:
        raise UserError("bundle file", path, f"It is of another {', '.join(other)}, whose digest is not in it.",
                        COPY_AGAIN)


def _text(value: str) -> str:
    """Return text from outside so that Markdown shows it as it is, in a table cell too."""
    plain = printable(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKS.sub(r"\\\1", plain)
