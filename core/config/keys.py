"""The top-level keys of an MMDetection 2.x config."""

from collections.abc import Mapping

from core.base.errors import UserError
from core.base.suggest import nearest

NNCF_KEYS = ("nncf_config", "nncf_compress_postprocessing", "nncf_strict", "min_initial_map_ratio")
WEIGHTS_KEY = "pretrained_weights"
"""Folder or s3://bucket/prefix with the files of weights that a config names by URL or by a model zoo's name."""
# What mmdet 2.28's tools and apis, and mmcv 1.7's runner, read from a config.
KNOWN_KEYS = NNCF_KEYS + (
    WEIGHTS_KEY, "model", "model_wrapper", "train_cfg", "test_cfg", "data", "optimizer", "optimizer_config",
    "lr_config", "momentum_config", "runner", "total_epochs", "checkpoint_config", "log_config", "custom_hooks",
    "custom_imports", "evaluation", "workflow", "load_from", "resume_from", "auto_resume", "auto_scale_lr", "work_dir",
    "log_level", "dist_params", "cudnn_benchmark", "fp16", "find_unused_parameters", "seed", "deterministic", "gpu_ids",
    "device", "opencv_num_threads", "mp_start_method")
TYPO_RATIO = 0.8
# mmdet's own ConvNeXt configs call a variable so; it is no misspelt checkpoint_config.
_STOCK_VARIABLES = ("checkpoint_file",)
_RESERVED_KEYS = ("filename", "text", "pretty_text")


def check_top_level(config: Mapping[str, object], thing: str) -> None:
    """Refuse top-level keys that are a misspelt key of mmdet or reserved by mmcv; variables of the file may stay.

    Raises:
        UserError: Names the key and the nearest known one.
    """
    for key in config:
        if key in _RESERVED_KEYS:
            raise UserError(thing, f"the key `{key}`", "mmcv keeps this name for the config file itself.",
                            "Rename the key.")
        meant = None if key in KNOWN_KEYS + _STOCK_VARIABLES else nearest(key, KNOWN_KEYS, TYPO_RATIO)
        if meant:
            raise UserError(thing, f"unknown key `{key}`", "A name this close to a key of mmdet would be ignored.",
                            f"Did you mean `{meant}`? Rename it where it is a variable of the file.")
