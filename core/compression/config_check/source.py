"""The nncf_config of a file, and what the rest of the file says about the training it is for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.compression.config_check.finding import Finding
from core.compression.config_check.rules import epochs_of, read_entries
from core.config.data_only import read_config
from core.config.loading import load_data, locate_config
from core.config.options import apply_options
from core.config.python_text import NotData
from core.config.test_pipeline import preprocessing_of

KEY = "nncf_config"
# mmdet's own default of data.samples_per_gpu.
DEFAULT_BATCH_SIZE = 2


@dataclass(frozen=True)
class Source:
    """What a file says about compression.

    Attributes:
        nncf_config: The value of ``nncf_config``; None where an MMDetection config has none.
        config: The resolved MMDetection config; None for a file that holds an nncf_config alone.
        epochs: Epochs of the training, None where the file does not say.
        batch_size: Images of a training batch.
    """

    path: Path
    nncf_config: Any
    config: dict[str, Any] | None
    epochs: int | None
    batch_size: int


def read_source(path: str, options: Mapping[str, Any] | None = None, trust: bool = False,
                batch_size: int | None = None) -> Source:
    """Read an MMDetection config, or a .json, .yaml or .py file that holds just an nncf_config.

    Args:
        path: The file, looked up as ``core.config.loading.locate_config`` does.
        options: mmdet's ``--cfg-options``; the keys of an nncf_config begin with ``nncf_config.``.
        trust: Run the config as Python where it cannot be read as data.
        batch_size: Overrides ``data.samples_per_gpu``.

    Raises:
        UserError: As ``core.config.loading.load_config``.
    """
    file, root = locate_config(path)
    try:
        values = read_config(file, root)
    except NotData:
        if not trust:
            raise
        values = None
    if values is None or "model" in values:
        config = load_data(path, options, trust)
        found = config["data"].get("samples_per_gpu", DEFAULT_BATCH_SIZE)
        return Source(file, config.get(KEY), config, epochs_of(config), batch_size or found)
    bare = {KEY: values.get(KEY, values)}
    if options:
        bare = apply_options(bare, options, f"config {path}")
    return Source(file, bare[KEY], None, None, batch_size or DEFAULT_BATCH_SIZE)


def swapped_size(source: Source, nncf_config: Any) -> list[Finding]:
    """Return a warning where ``sample_size`` has the test pipeline's width for height and height for width."""
    if source.config is None:
        return []
    try:
        pixels = preprocessing_of(source.config)
    except UserError:
        return []  # the export stage says what is wrong with a pipeline
    root, _ = read_entries(nncf_config, [])
    return [entry.warning("sample_size", f"It is [batch, 3, height, width], and the test pipeline makes images "
                          f"{pixels.input_width} wide and {pixels.input_height} high.",
                          f"Write {[entry.get('sample_size')[0], 3, pixels.input_height, pixels.input_width]}.")
            for entry in root.sections("input_info") if pixels.input_width != pixels.input_height
            and (entry.get("sample_size") or [])[2:] == [pixels.input_width, pixels.input_height]]
