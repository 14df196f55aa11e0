"""The top-level keys of an MMDetection 2.x config."""

from collections.abc import Mapping

from core.base.errors import UserError
from core.base.suggest import nearest
from core.config.decisions import KEYS

NNCF_KEYS = ("nncf_config", "nncf_compress_postprocessing", "nncf_strict", "min_initial_map_ratio",
             "fine_tuning")
WEIGHTS_KEY = "pretrained_weights"
"""Folder or s3://bucket/prefix with the files of weights that a config names by URL or by a model zoo's name."""
KNOWN_KEYS = tuple(key.path for key in KEYS if "." not in key.path)
TYPO_RATIO = 0.8
# mmdet's own ConvNeXt configs call a variable so; it is no misspelt checkpoint_config.
_STOCK_VARIABLES = ("checkpoint_file",)
_RESERVED_KEYS = ("filename", "text", "pretty_text")


def check_top_level(config: Mapping[str, object], thing: str) -> None:
    """Refuse top-level keys that are a misspelt key of mmdet or reserved by mmcv; variables of the file may stay."""
    for key in config:
        if key in _RESERVED_KEYS:
            raise UserError(thing, f"the key `{key}`", "mmcv keeps this name for the config file itself.",
                            "Rename the key.")
        meant = None if key in KNOWN_KEYS + _STOCK_VARIABLES else nearest(key, KNOWN_KEYS, TYPO_RATIO)
        if meant:
            raise UserError(thing, f"unknown key `{key}`", "A name this close to a key of mmdet would be ignored.",
                            f"Did you mean `{meant}`? Rename it where it is a variable of the file.")
