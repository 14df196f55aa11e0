"""The small RetinaNet on the built-in digits, plain and compressed, as the benchmarks train it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.base.quiet import libraries_quiet

# The same for every variant, whatever their configs train with.
BATCH = 8
INPUT_SIZE = (256, 192)
"""Width and height in pixels."""
CONFIGS: dict[str, str] = {
    "plain": "configs/detectors/retinanet_r18_small_digits.py",
    "int8": "configs/nncf_compression/retinanet_r18_small/digits_int8.py",
    "pruned": "configs/nncf_compression/retinanet_r18_small/pruning.py",
    "both": "configs/nncf_compression/retinanet_r18_small/int8_pruning.py",
}


def digits(train: int, val: int) -> Any:
    """Return the built-in digits with that many training and validation images, as a Dataset."""
    from core.data.dataset import open_dataset, resolve_data

    return open_dataset(resolve_data(f"builtin://digits?train={train}&val={val}&test=1"))


def small_config(variant: str, dataset: Any, input_size: tuple[int, int] = INPUT_SIZE) -> Any:
    """Return the config of a variant on ``dataset``, in batches of ``BATCH`` and without worker processes.

    Args:
        variant: A key of ``CONFIGS``.
        dataset: The data set it trains on.
        input_size: Width and height of the network's input in pixels.
    """
    from core.config.adapt import fit_to_data
    from core.config.loading import load_config

    config = load_config(CONFIGS[variant])
    width, height = input_size
    for step in (*config.data.train.pipeline, *config.data.test.pipeline):
        if "img_scale" in step:
            step["img_scale"] = (width, height)
    if config.get("nncf_config"):
        config.nncf_config.input_info.sample_size = [1, 3, height, width]
    config.data.update(workers_per_gpu=0, samples_per_gpu=BATCH)
    fit_to_data(config, dataset)
    return config


def set_samples(config: Any, samples: int) -> None:
    """Let every initialiser of the config's nncf_config look at ``samples`` images."""
    compression = config.nncf_config.compression
    for algorithm in compression if isinstance(compression, list) else [compression]:
        initializer = algorithm.initializer
        if "range" in initializer:
            initializer.range.num_init_samples = samples
        if "batchnorm_adaptation" in initializer:
            initializer.batchnorm_adaptation.num_bn_adaptation_samples = samples


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield a folder that is gone afterwards, with mmcv and NNCF quiet."""
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    with libraries_quiet(), tempfile.TemporaryDirectory(prefix="mmdet-compress-benchmark-") as folder:
        yield Path(folder)
