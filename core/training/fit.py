"""Train a detector, plain or compressed, through MMDetection's data sets and mmcv's runner."""

import copy
import logging
import os
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple

from core.checkpoint.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from core.errors import UserError
from core.training.device import data_parallel, device
from core.training.model import build_detector, load_plain_weights

if TYPE_CHECKING:
    from core.compression.wrap import CompressedDetector
    from core.data.dataset import Dataset

_LOG_NAME = "training"


@dataclass(frozen=True)
class FitResult:
    """What a training run did.

    Attributes:
        epochs: Epochs trained in this call; 0 for an adopted checkpoint.
        seconds: Wall-clock time.
        metrics: The last validation's ``map`` and ``map50``, and the last ``loss``.
        algorithms: NNCF's algorithms in the resulting checkpoint, empty for a plain one.
    """

    epochs: int
    seconds: float
    metrics: Dict[str, float] = field(default_factory=dict)
    algorithms: Tuple[str, ...] = ()


def fit(config: Any, dataset: "Dataset", output_checkpoint: Path, log_file: Path, work_dir: Path,
        parent: Optional[Path] = None, seed: int = 0) -> FitResult:
    """Train the config's detector, with compression where the config has an ``nncf_config``.

    A plain ``parent`` (or ``load_from``) is loaded before NNCF wraps the model and compression is initialised from
    the training data; from a compressed one compression is restored. ``resume_from`` also restores the optimizer and
    the epoch.

    Args:
        config: A resolved mmcv Config whose ``data`` points at ``dataset``.
        dataset: The prepared data set.
        output_checkpoint: Where the final checkpoint goes.
        log_file: Where the training log (JSON lines) goes.
        work_dir: Scratch space for mmcv; ``latest.pth`` is written there after every epoch.
        parent: Checkpoint to start from; overrides ``load_from``.
        seed: Seed of all random generators and of the data loader.
    """
    from mmdet.apis import set_random_seed

    started = time.time()
    config.work_dir, config.seed = str(work_dir), seed
    Path(work_dir).mkdir(parents=True, exist_ok=True)
    _log_to_stdout()
    set_random_seed(seed)
    source = _source(config, parent)
    given = load_checkpoint(source) if source else None
    resumed = given if config.get("resume_from") and parent is None else None
    loader = _train_loader(config, dataset, seed)
    network, compression = _build_network(config, dataset, given, source, seed)
    runner = _build_runner(config, dataset, network, compression, loader, seed)
    if resumed is not None:
        _resume(runner, resumed, source)
    runner.run([loader], [("train", 1)])
    save_checkpoint(snapshot(config, dataset, network, compression, runner), output_checkpoint)
    _copy(_json_log(work_dir), log_file)
    return FitResult(epochs=runner.epoch, seconds=time.time() - started, metrics=dict(runner.last_metrics),
                     algorithms=algorithms_of(config) if compression else ())


def adopt(parent: Path, config: Any, dataset: "Dataset", output_checkpoint: Path, log_file: Path) -> FitResult:
    """Take a given FP32 checkpoint in place of training: check that it fits and store it with our metadata.

    Raises:
        UserError: The checkpoint is compressed, or does not fit the config or the classes.
    """
    started = time.time()
    given = load_checkpoint(parent)
    if given.compression is not None:
        raise UserError("checkpoint", parent, "It holds a compressed model, but the FP32 parent is asked for here.",
                        "Give the uncompressed checkpoint; to compress further, name this one as the compression "
                        "config's load_from.")
    if given.classes and tuple(given.classes) != tuple(dataset.classes):
        raise UserError("checkpoint classes", ", ".join(given.classes),
                        f"The data set has {', '.join(dataset.classes)}, and both must be equal in names and order.",
                        "Name the classes in the checkpoint's order (parameter classes).")
    detector = build_detector(config)
    load_plain_weights(detector, given, parent)
    save_checkpoint(snapshot(config, dataset, detector, None, None), output_checkpoint)
    _write_log_head(log_file, _log_meta(config, 0, 0, 0))
    return FitResult(epochs=0, seconds=time.time() - started)


def algorithms_of(config: Any) -> Tuple[str, ...]:
    """Return the names of the NNCF algorithms of a config, in order."""
    nncf_config = config.get("nncf_config") or {}
    compression = nncf_config.get("compression") or []
    return tuple(item["algorithm"] for item in (compression if isinstance(compression, list) else [compression]))


def snapshot(config: Any, dataset: "Dataset", network: Any, compression: Optional["CompressedDetector"],
             runner: Optional[Any]) -> Checkpoint:
    """Return the present state of training as a checkpoint."""
    from core.config.fingerprint import config_to_text

    training = None
    if runner is not None:
        training = {"optimizer": runner.optimizer.state_dict(), "epoch": runner.epoch, "iter": runner.iter}
    return Checkpoint(state_dict=network.state_dict(), classes=tuple(dataset.classes),
                      config_text=config_to_text(_portable(config)),
                      compression=compression.record() if compression else None, versions=versions(), training=training)


def versions() -> Dict[str, str]:
    """Return the versions of the libraries that shape a checkpoint."""
    import mmcv
    import mmdet
    import torch

    found = {"torch": torch.__version__, "mmcv": mmcv.__version__, "mmdet": mmdet.__version__}
    nncf_version = sys.modules.get("nncf.version")
    if nncf_version is not None:
        found["nncf"] = nncf_version.__version__
    return found


def _source(config: Any, parent: Optional[Path]) -> Optional[Path]:
    path = parent or config.get("resume_from") or config.get("load_from")
    return Path(path) if path else None


def _train_loader(config: Any, dataset: "Dataset", seed: int) -> Any:
    from mmdet.datasets import build_dataloader, build_dataset

    images = build_dataset(config.data.train)
    # MMDetection leaves out images without boxes and those below 32 pixels, and says nothing.
    logging.getLogger(__name__).info("training on %d samples made of the %d images of split %s", len(images),
                                     dataset.train.images, dataset.train.name)
    return build_dataloader(images, samples_per_gpu=config.data.get("samples_per_gpu", 2),
                            workers_per_gpu=config.data.get("workers_per_gpu", 1), num_gpus=1, dist=False, seed=seed)


def _build_network(config: Any, dataset: "Dataset", given: Optional[Checkpoint], source: Optional[Path],
                   seed: int) -> Tuple[Any, Optional["CompressedDetector"]]:
    from core.config.adapt import nncf_config_of

    detector = build_detector(config)
    detector.CLASSES = dataset.classes
    nncf_config = nncf_config_of(config)
    if given is not None and given.compression is not None and nncf_config is None:
        raise UserError("checkpoint", source, "It holds a compressed model, but the config has no nncf_config.",
                        "Use the nncf_config it was compressed with, or a plain checkpoint.")
    if given is None:
        detector.init_weights()
    elif given.compression is None:
        if config.get("resume_from") and nncf_config is not None and str(source) == str(config.resume_from):
            raise UserError("resume_from", source, "It is a plain checkpoint, so there is no compression to resume.",
                            "Name it as load_from to start compressing it.")
        load_plain_weights(detector, given, source)
    if nncf_config is None:
        return detector.to(device()), None
    compression = _compress(detector.to(device()), nncf_config, config, dataset, given, seed)
    return compression.network, compression


def _compress(detector: Any, nncf_config: Dict[str, Any], config: Any, dataset: "Dataset",
              given: Optional[Checkpoint], seed: int) -> "CompressedDetector":
    from core.compression.wrap import compress_detector, load_compressed_weights

    logger = logging.getLogger(__name__)
    postprocessing = bool(config.get("nncf_compress_postprocessing", True))
    if given is not None and given.compression is not None:
        logger.info("restoring compression (%s)", ", ".join(algorithms_of(config)))
        compression = compress_detector(detector, nncf_config, restore=given.compression,
                                        postprocessing=given.compression.postprocessing)
        load_compressed_weights(compression, dict(given.state_dict))
        return compression
    logger.info("initialising compression (%s) on the training data", ", ".join(algorithms_of(config)))
    started = time.time()
    compression = compress_detector(detector, nncf_config, data_loader=_train_loader(config, dataset, seed),
                                    postprocessing=postprocessing)
    logger.info("compression initialised in %.0f s", time.time() - started)
    return compression


def _build_runner(config: Any, dataset: "Dataset", network: Any, compression: Optional["CompressedDetector"],
                  loader: Any, seed: int) -> Any:
    from mmcv.runner import build_runner
    from mmdet.core import build_optimizer

    from core.training.hooks import CheckLossHook, EvaluationHook, SaveHook

    # Built after wrapping: the quantizers' parameters are trained too.
    optimizer = build_optimizer(network, config.optimizer)
    epochs = config.runner.max_epochs
    runner = build_runner(config.runner, default_args=dict(
        model=data_parallel(network), optimizer=optimizer, work_dir=config.work_dir, logger=_runner_logger(),
        meta=_log_meta(config, epochs, len(loader), seed)))
    runner.timestamp, runner.last_metrics = _LOG_NAME, {}
    if _json_log(Path(config.work_dir)).exists():
        _json_log(Path(config.work_dir)).unlink()
    log_config = {"interval": config.get("log_config", {}).get("interval", 50), "hooks": [{"type": "TextLoggerHook"}]}
    runner.register_training_hooks(config.lr_config, config.get("optimizer_config", {}), None, log_config,
                                   config.get("momentum_config"))
    runner.register_hook(CheckLossHook(), priority="ABOVE_NORMAL")
    if compression is not None:
        from core.compression.hooks import CompressionHook

        runner.register_hook(CompressionHook(compression), priority="HIGH")
    if dataset.val is not None:
        interval = config.get("evaluation", {}).get("interval", 1)
        runner.register_hook(EvaluationHook(network, config, dataset.val, dataset.classes, interval), priority="LOW")
    runner.register_hook(SaveHook(lambda: snapshot(config, dataset, network, compression, runner),
                                  Path(config.work_dir) / "latest.pth"), priority="LOWEST")
    return runner


def _resume(runner: Any, resumed: Checkpoint, source: Optional[Path]) -> None:
    if resumed.training is None:
        raise UserError("resume_from", source, "It holds no optimizer state.", "Name it as load_from instead.")
    runner._epoch, runner._iter = resumed.training["epoch"], resumed.training["iter"]
    runner.optimizer.load_state_dict(resumed.training["optimizer"])


def _portable(config: Any) -> Any:
    """Return the config without what belongs to this run's machine: folders, data files and source checkpoints."""
    portable = copy.deepcopy(config)
    for key in ("work_dir", "load_from", "resume_from"):
        portable.pop(key, None)
    for split in ("train", "val", "test"):
        _drop_locations(portable.data.get(split))
    return portable


def _drop_locations(node: Any) -> None:
    if isinstance(node, (list, tuple)):
        for item in node:
            _drop_locations(item)
    elif isinstance(node, dict):
        node.pop("ann_file", None)
        node.pop("img_prefix", None)
        _drop_locations(node.get("dataset"))


def _log_meta(config: Any, epochs: int, iterations: int, seed: int) -> Dict[str, Any]:
    return {"mode": "env", "epochs": epochs, "iters_per_epoch": iterations, "seed": seed, "versions": versions()}


def _json_log(work_dir: Path) -> Path:
    return Path(work_dir) / f"{_LOG_NAME}.log.json"


def _write_log_head(log_file: Path, meta: Dict[str, Any]) -> None:
    import json

    Path(log_file).parent.mkdir(parents=True, exist_ok=True)
    Path(log_file).write_text(json.dumps(meta) + "\n")


def _copy(source: Path, target: Path) -> None:
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    partial = Path(target).with_name(f".{Path(target).name}.partial")
    shutil.copyfile(source, partial)
    os.replace(partial, target)


def _runner_logger() -> logging.Logger:
    """Return the runner's logger without mmcv's listing of every hook at every moment."""
    logger = logging.getLogger("mmdet_compress.training")
    if not logger.filters:
        logger.addFilter(lambda record: not record.getMessage().startswith(("Hooks will be executed", "workflow:")))
    return logger


def _log_to_stdout() -> None:
    """Send our own and the runner's log lines to standard output, once."""
    root = logging.getLogger()
    if not root.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        root.addHandler(handler)
    for name in ("core", "mmdet_compress"):
        logging.getLogger(name).setLevel(logging.INFO)
    # mmcv reports the initialisation of every parameter.
    logging.getLogger("mmcv").setLevel(logging.WARNING)
