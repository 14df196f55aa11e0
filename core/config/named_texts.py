"""The texts of a config that may name files of their own: weights, a teacher's config, tables of a model's parts."""

from collections.abc import Iterator, Mapping
from typing import Any

# A data set is found and digested by itself, and what a run writes does not shape it.
_LEFT_OUT = ("ann_file", "img_prefix", "data_root", "seg_prefix", "proposal_file", "classes", "work_dir", "log_dir",
             "out_dir", "pretrained_weights", "custom_imports")
_LONGEST_PATH = 4096
WEIGHTS = ("checkpoint", "pretrained", "teacher_ckpt", "load_from", "resume_from")
"""Keys whose text names weights: of mmcv's initialisers, of MMDetection's models and hooks, and of a run."""


def named_texts(node: Any) -> Iterator[tuple[str, str]]:
    """Yield every text of a config that may name a file, with its key; data sets and places to write are left out."""
    return ((key, text) for _, key, text in _texts(node))


def named_weights(node: Any) -> Iterator[tuple[str, str]]:
    """Yield the text of every key of a config that names weights, with its dotted place; data sets are left out."""
    return ((place, text) for place, key, text in _texts(node) if key in WEIGHTS and f".{place}".endswith(f".{key}"))


def _texts(node: Any, place: str = "", key: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield dotted place, key and text; what stands in a list has the list's key."""
    if isinstance(node, (Mapping, list, tuple)):
        keyed = isinstance(node, Mapping)
        for name, value in node.items() if keyed else enumerate(node):
            if name not in _LEFT_OUT:
                yield from _texts(value, f"{place}.{name}" if place else str(name), str(name) if keyed else key)
    elif isinstance(node, str) and 0 < len(node) <= _LONGEST_PATH and "\0" not in node:
        yield place, key, node
