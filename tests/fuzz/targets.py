"""What is fuzzed: each target takes any bytes, and may only return or raise a UserError.

The first byte of an input chooses the form in which the reader meets the rest, such as the suffix of a config.
"""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.text import bounded_repr
from tests.core.data.reading import read_split
from tests.hostile import annotations, checkpoints

MOST_MESSAGE = 20_000


def checkpoint(content: bytes, folder: Path) -> None:
    """A checkpoint: a pickle in the zip format or in the older one, or a whole file."""
    import numpy as np
    import torch

    from core.checkpoint.checkpoint import load_checkpoint

    writers = (checkpoints.zipped, checkpoints.legacy, checkpoints.raw)
    loaded = load_checkpoint(writers[content[0] % len(writers)](content[1:], folder, folder))
    # What was read can be used: of wrong sizes or types the process would die here.
    for value in _values((loaded.training, loaded.compression and loaded.compression.state)):
        if isinstance(value, np.ndarray):
            value.copy()
    for tensor in loaded.state_dict.values():
        torch.clone(tensor)
    bounded_repr(loaded.training)


def config(content: bytes, folder: Path) -> None:
    """A config as Python, JSON or YAML text, or the options that change one."""
    from core.config.data_only import read_config
    from core.config.fingerprint import config_to_text
    from core.config.options import apply_options, parse_options

    suffixes = (".py", ".json", ".yaml")
    form = content[0] % (len(suffixes) + 1)
    if form == len(suffixes):
        options = content[1:].decode("utf-8", "replace").split("\n")
        apply_options({"model": {"type": "X", "a": [1, {"b": 2}]}}, parse_options(options), "config")
        return
    path = folder / f"hostile{suffixes[form]}"
    path.write_bytes(content[1:])
    config_to_text(read_config(path, folder))


def coco(content: bytes, folder: Path) -> None:
    """A COCO annotation file beside one image."""
    from core.data import coco as reader

    if not (folder / "train").is_dir():
        annotations.coco("{}", folder, folder)
    (folder / "annotations" / "train.json").write_bytes(content[1:])
    _clean(read_split(reader, folder, "train"))


def voc(content: bytes, folder: Path) -> None:
    """A Pascal VOC annotation, or the list of a split, beside one image."""
    from core.data import voc as reader

    if not (folder / "JPEGImages").is_dir():
        annotations.voc(annotations.SOUND, "a\n", folder, folder)
    names = content[0] % 2
    (folder / "Annotations" / "a.xml").write_bytes(annotations.SOUND.encode() if names else content[1:])
    (folder / "ImageSets" / "Main" / "train.txt").write_bytes(content[1:] if names else b"a\n")
    _clean(read_split(reader, folder, "train"))


def listing(content: bytes, folder: Path) -> None:
    """The body of an S3 service's answer to ListObjectsV2, as botocore and then our reader take it apart."""
    from core.storage.s3_listing import listed_objects

    parser, shape = _s3_parser()

    def pages() -> Any:
        yield parser.parse({"body": content[1:], "headers": {}, "status_code": 200}, shape)

    for info in listed_objects(pages(), "data/", "s3://bucket/data"):
        assert info.size >= 0 and info.etag and info.modified.tzinfo


TARGETS: dict[str, Callable[[bytes, Path], None]] = {
    "checkpoint": checkpoint, "config": config, "coco": coco, "voc": voc, "listing": listing}


def run(target: str, content: bytes, folder: Path) -> str:
    """Give an input to a target and return what it was refused with; empty where it was read."""
    try:
        TARGETS[target](content or b"\0", folder)
    except UserError as refused:
        said = str(refused)
        assert len(said) < MOST_MESSAGE and all(letter.isprintable() or letter == "\n" for letter in said)
        return said
    return ""


def _clean(split: Any) -> None:
    from core.data.annotations import clean_split

    clean_split(split, split.classes)


def _values(root: Any) -> Any:
    pending = [root]
    while pending:
        value = pending.pop()
        yield value
        if isinstance(value, (dict, list, tuple)):
            pending.extend(value.values() if isinstance(value, dict) else value)


@functools.cache
def _s3_parser() -> tuple[Any, Any]:
    import botocore.session
    from botocore.parsers import create_parser

    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    model = botocore.session.get_session().get_service_model("s3")
    return create_parser("rest-xml"), model.operation_model("ListObjectsV2").output_shape
