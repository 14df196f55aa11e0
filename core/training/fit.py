"""Train a detector, plain or compressed, through MMDetection's data sets and mmcv's runner."""

import copy
import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from core.base.errors import StateSaved, Terminated, UserError
from core.checkpoint.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from core.checkpoint.versions import versions
from core.compression.config_check import epochs_of, require_valid
from core.compression.differences import require_same
from core.compression.nncf_import import SUPPORTED_VERSION
from core.config.adapt import algorithms_of
from core.config.keys import WEIGHTS_KEY
from core.detectors.building import build_dataset, build_detector, build_optimizer, building
from core.detectors.initialising import initialise
from core.detectors.pretrained import weights_file, weights_location
from core.training.device import data_parallel, device
from core.training.distributed import distributed_model, first_rank, ranks, scale_learning_rate
from core.training.initial import InitialScore, initial_split, min_initial_map_ratio, require_good_start, score
from core.training.model import load_all_weights, load_plain_weights
from core.training.progress import ModuleMemory, Position, progress_of, restore_progress
from core.training.samples import build_loader
from core.training.signals import Interruptions
from core.training.states import StateSettings, TrainingStates, training_identity

if TYPE_CHECKING:
    from core.compression.wrap import CompressedDetector
    from core.data.dataset import Dataset
    from core.training.hooks import StateHook

_LOG_NAME = "training"


@dataclass(frozen=True)
class FitResult:
    """What a training run did.

    Attributes:
        epochs: Epochs the checkpoint was trained, earlier runs of a resumed training included; 0 for an adopted one.
        seconds: Wall-clock time.
        metrics: The last validation's ``map`` and ``map50``, and the last ``loss``.
        best: ``map`` and ``epoch`` of the best validation, empty where there was none.
        algorithms: NNCF's algorithms in the resulting checkpoint, empty for a plain one.
    """

    epochs: int
    seconds: float
    metrics: dict[str, float] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)
    algorithms: tuple[str, ...] = ()

    def reported(self) -> dict[str, float]:
        """Return the metrics, those of the best validation as ``best_map`` and ``best_epoch``."""
        return {**self.metrics, **{f"best_{name}": value for name, value in self.best.items()}}


@dataclass
class Training:
    """All that stands ready before the first training step.

    Attributes:
        config: The resolved config, with this run's folder and seed.
        dataset: The data set.
        network: The detector, or the NNCFNetwork around it.
        compression: The CompressedDetector, None for plain training.
        runner: mmcv's runner with every hook.
        loader: The training data.
        parent_map: mAP before compression on the images of the initial evaluation, where it was asked for.
        resumed: Whether an interrupted training goes on.
        states: Where the training state is stored, if anywhere.
        interruptions: Holds SIGTERM back.
        state: Saves the training state.
    """

    config: Any
    dataset: "Dataset"
    network: Any
    compression: Optional["CompressedDetector"]
    runner: Any
    loader: Any
    parent_map: float | None
    resumed: bool
    states: TrainingStates | None
    interruptions: Interruptions
    state: Optional["StateHook"] = None

    def snapshot(self) -> Checkpoint:
        """Return the present state as a checkpoint."""
        return snapshot(self.config, self.dataset, self.network, self.compression, self.runner)


def fit(config: Any, dataset: "Dataset", output_checkpoint: Path, log_file: Path, work_dir: Path,
        parent: Path | None = None, seed: int = 0, state: StateSettings | None = None) -> FitResult:
    """Train the config's detector, with compression where the config has an ``nncf_config``.

    A plain ``parent`` (or ``load_from``) is loaded before NNCF wraps the model and compression is initialised from
    the training data; from a compressed one compression is restored. ``resume_from`` also restores the optimizer and
    the epoch. A compressed model is saved (``initial.pth``) and scored before its first step; with
    ``min_initial_map_ratio`` it must have kept that share of the plain model's mAP.

    Args:
        config: A resolved mmcv Config whose ``data`` points at ``dataset``.
        dataset: The prepared data set.
        output_checkpoint: Where the final checkpoint goes.
        log_file: Where the training log (JSON lines) goes, also when training fails.
        work_dir: Scratch space for mmcv; ``initial.pth`` and, after every epoch, ``latest.pth`` are written there.
        parent: Checkpoint to start from; overrides ``load_from``.
        seed: Seed of all random generators and of the data loader.
        state: Where the training state is stored; a state of the same training that is found there is gone on with,
            to the same bits as without the interruption.

    Raises:
        UserError: Whatever a user can mend.
        StateSaved: SIGTERM arrived, and the state is stored.
    """
    started = time.time()
    training = prepare(config, dataset, work_dir, parent, seed, state)
    runner = training.runner
    try:
        if training.compression is not None and not training.resumed:
            _look_at_the_start(training, Path(work_dir))
        with training.interruptions:
            _run(training)
        if first_rank():
            save_checkpoint(training.snapshot(), output_checkpoint)
    finally:
        if first_rank():
            _copy(_json_log(work_dir), log_file)
    return FitResult(epochs=runner.epoch, seconds=time.time() - started, metrics=dict(runner.last_metrics),
                     best=dict(runner.best), algorithms=algorithms_of(config) if training.compression else ())


def _run(training: Training) -> None:
    """Train to the end, or to SIGTERM, and see the last state stored."""
    states, state = training.states, training.state
    try:
        training.runner.run([training.loader], [("train", 1)])
    except Terminated:
        if states is None or state.position is None:
            raise
        state.save()
        if not states.wait():
            raise
        raise StateSaved(states.place, str(state.position)) from None
    finally:
        if states is not None:
            states.wait()
    if states is not None:
        states.finish()


def prepare(config: Any, dataset: "Dataset", work_dir: Path, parent: Path | None = None, seed: int = 0,
            state: StateSettings | None = None) -> Training:
    """Build all that ``fit`` runs; arguments as there. Compression is initialised or restored here.

    Raises:
        UserError: The nncf_config is not valid, or the checkpoint does not fit it.
    """
    from mmdet.apis import set_random_seed

    from core.config.adapt import nncf_config_of

    _log_to_stdout()
    nncf_config, ratio = nncf_config_of(config), min_initial_map_ratio(config)
    _require_epochs(config)
    if nncf_config is not None:
        require_valid(nncf_config, epochs_of(config))
    config.work_dir, config.seed = str(work_dir), seed
    Path(work_dir).mkdir(parents=True, exist_ok=True)
    set_random_seed(seed)
    source = _source(config, parent)
    given = load_checkpoint(source) if source else None
    _check_parent(nncf_config, given, source, resumes=parent is None and bool(config.get("resume_from")))
    states, saved = _stored(config, dataset, given, seed, state)
    resumed = saved or (given if config.get("resume_from") and parent is None else None)
    loader = train_loader(config, dataset, seed)
    # Where a state is resumed the parent is loaded all the same: knowledge distillation keeps it as the teacher.
    detector = _build_plain(config, dataset, given, source)
    origin = f"the training state in {states.place}" if states is not None and saved is not None else source
    network, compression, parent_map = detector, None, None
    if nncf_config is not None:
        if ratio > 0 and resumed is None:
            parent_map = _parent_map(detector, config, dataset, given)
        compression = _compress(detector, nncf_config, config, dataset, saved or given, origin, seed)
        network = compression.network
    elif saved is not None:
        load_all_weights(network, saved, origin)
    interruptions = Interruptions(saving=states is not None)
    runner = _build_runner(config, dataset, network, compression, interruptions)
    _write_log_head(_json_log(Path(work_dir)), _log_meta(config, config.runner.max_epochs, len(loader), seed))
    memory = ModuleMemory(network)
    if resumed is not None:
        _resume(runner, resumed, source, memory, _json_log(Path(work_dir)))
    training = Training(config, dataset, network, compression, runner, loader, parent_map, resumed is not None, states,
                        interruptions)
    _save_states_of(training, memory, resumed)
    return training


def _stored(config: Any, dataset: "Dataset", given: Checkpoint | None, seed: int,
            state: StateSettings | None) -> tuple[TrainingStates | None, Checkpoint | None]:
    """Return where this training's states are stored, and the newest of them."""
    if state is None:
        return None, None
    states = TrainingStates(state, training_identity(_portable(config), dataset, given, seed))
    return states, states.newest(Path(config.work_dir))


def _save_states_of(training: Training, memory: ModuleMemory, resumed: Checkpoint | None) -> None:
    from core.training.hooks import StateHook

    work_dir = Path(training.config.work_dir)

    def take_snapshot(position: Position) -> Checkpoint:
        progress = progress_of(position, training.runner, memory, _json_log(work_dir))
        return snapshot(training.config, training.dataset, training.network, training.compression, training.runner,
                        progress)

    progress = resumed.training.get("progress") if resumed else None
    training.state = StateHook(take_snapshot, work_dir / "latest.pth", training.states, training.interruptions,
                               progress)
    training.runner.register_hook(training.state, priority="LOWEST")


def _parent_map(detector: Any, config: Any, dataset: "Dataset", given: Checkpoint | None) -> float | None:
    logger = logging.getLogger(__name__)
    if given is not None and given.compression is not None:
        logger.warning("min_initial_map_ratio is not checked: the checkpoint is compressed already, so there is no "
                       "plain model to compare with")
        return None
    split = initial_split(dataset, Path(config.work_dir))
    parent_map = score(detector, config, split, dataset.classes).map
    logger.info("mAP before compression: %.4f", parent_map)
    return parent_map


def _look_at_the_start(training: Training, work_dir: Path) -> None:
    """Save and score a compressed model before its first training step."""
    saved = work_dir / "initial.pth"
    if first_rank():
        save_checkpoint(training.snapshot(), saved)
    split = initial_split(training.dataset, work_dir)
    initial = InitialScore(split.name, score(training.network, training.config, split, training.dataset.classes),
                           training.parent_map)
    with open(_json_log(work_dir), "a") as log:
        log.write(json.dumps(initial.to_log()) + "\n")
    logging.getLogger(__name__).info("before the first training step: mAP %.4f, mAP50 %.4f (%d images of split %s)",
                                     initial.metrics.map, initial.metrics.map50, split.images, split.name)
    require_good_start(initial, min_initial_map_ratio(training.config), saved)


def adopt(parent: Path, config: Any, dataset: "Dataset", output_checkpoint: Path, log_file: Path) -> FitResult:
    """Take a given FP32 checkpoint in place of training: check that it fits and store it with our metadata.

    Raises:
        UserError: The checkpoint is compressed, or does not fit the config or the classes.
    """
    started = time.time()
    detector = fitting_detector(parent, config, dataset.classes)
    if first_rank():
        save_checkpoint(snapshot(config, dataset, detector, None, None), output_checkpoint)
        _write_log_head(log_file, _log_meta(config, 0, 0, 0))
    return FitResult(epochs=0, seconds=time.time() - started)


def fitting_detector(parent: Path, config: Any, classes: Sequence[str]) -> Any:
    """Return the detector of ``config`` with the weights of a given FP32 checkpoint.

    Raises:
        UserError: The checkpoint is compressed, or does not fit the config or the classes.
    """
    given = load_checkpoint(parent)
    if given.compression is not None:
        raise UserError("checkpoint", parent, "It holds a compressed model, but the FP32 parent is asked for here.",
                        "Give the uncompressed checkpoint; to compress further, name this one as the compression "
                        "config's load_from.")
    if given.classes and tuple(given.classes) != tuple(classes):
        raise UserError("checkpoint classes", ", ".join(given.classes),
                        f"The data set has {', '.join(classes)}, and both must be equal in names and order.",
                        "Name the classes in the checkpoint's order (parameter classes).")
    detector = build_detector(config)
    load_plain_weights(detector, given, parent)
    return detector


def snapshot(config: Any, dataset: "Dataset", network: Any, compression: Optional["CompressedDetector"],
             runner: Any | None, progress: dict[str, Any] | None = None) -> Checkpoint:
    """Return the present state of training as a checkpoint; with ``progress`` it can be resumed to the bit."""
    from core.config.fingerprint import config_to_text

    training = None
    if runner is not None:
        training = {"optimizer": runner.optimizer.state_dict(), "epoch": runner.epoch, "iter": runner.iter}
        if progress is not None:
            position = progress["position"]
            training.update(epoch=position["epoch"], iter=position["iteration"], progress=progress)
    return Checkpoint(state_dict=network.state_dict(), classes=tuple(dataset.classes),
                      config_text=config_to_text(_portable(config)),
                      compression=compression.record() if compression else None, versions=versions(), training=training)


def _source(config: Any, parent: Path | None) -> Path | None:
    if parent is not None:
        return Path(parent)
    key = "resume_from" if config.get("resume_from") else "load_from"
    return weights_file(config[key], weights_location(config), key) if config.get(key) else None


def train_loader(config: Any, dataset: "Dataset", seed: int, shared: bool = True) -> Any:
    """Return the loader of the config's training data, shuffled and augmented by ``seed``.

    Where training is ``shared`` by ranks it gives this rank's share, else everything.
    """
    images = build_dataset(config.data.train, dataset.train)
    # MMDetection leaves out images without boxes and those below 32 pixels, and says nothing.
    logging.getLogger(__name__).info("training on %d samples made of the %d images of split %s", len(images),
                                     dataset.train.images, dataset.train.name)
    return build_loader(images, config.data.get("samples_per_gpu", 2), config.data.get("workers_per_gpu", 1), seed,
                        shared)


def _check_parent(nncf_config: dict[str, Any] | None, given: Checkpoint | None, source: Path | None,
                  resumes: bool) -> None:
    """Refuse a checkpoint that cannot be what the config wants to start from."""
    if given is None:
        return
    if given.compression is None:
        if nncf_config is not None and resumes:
            raise UserError("resume_from", source, "It is a plain checkpoint, so there is no compression to resume.",
                            "Name it as load_from to start compressing it.")
        return
    if nncf_config is None:
        raise UserError("checkpoint", source, "It holds a compressed model, but the config has no nncf_config.",
                        "Use the nncf_config it was compressed with, or a plain checkpoint.")
    require_same(given.compression.config, nncf_config)
    written_by, installed = given.versions.get("nncf"), SUPPORTED_VERSION
    if written_by is not None and written_by != installed:
        logging.getLogger(__name__).warning("%s was written with NNCF %s, here is %s: it may not restore the same "
                                            "model; compare its mAP", source, written_by, installed)


def _build_plain(config: Any, dataset: "Dataset", given: Checkpoint | None, source: Path | None) -> Any:
    detector = build_detector(config)
    detector.CLASSES = dataset.classes
    if given is None:
        initialise(detector, config)
    elif given.compression is None:
        load_plain_weights(detector, given, source)
    return detector.to(device())


def _compress(detector: Any, nncf_config: dict[str, Any], config: Any, dataset: "Dataset",
              given: Checkpoint | None, source: object, seed: int) -> "CompressedDetector":
    from core.compression.restoring import restore_compression
    from core.compression.wrap import compress_detector

    logger = logging.getLogger(__name__)
    postprocessing = bool(config.get("nncf_compress_postprocessing", True))
    if given is not None and given.compression is not None:
        logger.info("restoring compression (%s)", ", ".join(algorithms_of(config)))
        return restore_compression(detector, nncf_config, given, source)
    logger.info("initialising compression (%s) on the training data", ", ".join(algorithms_of(config)))
    started = time.time()
    compression = compress_detector(detector, nncf_config,
                                    # NNCF wants to be initialised on the same data in every rank.
                                    data_loader=train_loader(config, dataset, seed, shared=False),
                                    postprocessing=postprocessing, strict=bool(config.get("nncf_strict", False)))
    logger.info("compression initialised in %.0f s", time.time() - started)
    return compression


def _build_runner(config: Any, dataset: "Dataset", network: Any, compression: Optional["CompressedDetector"],
                  interruptions: Interruptions) -> Any:
    from core.training.hooks import AverageStatisticsHook, CheckLossHook, EvaluationHook
    from core.training.runner import ResumableRunner

    # Built after wrapping: the quantizers' parameters are trained too.
    optimizer = build_optimizer(network, config.optimizer)
    scale_learning_rate(optimizer, config)
    # Without meta: it would head the log, which begins before the runner does.
    runner = ResumableRunner(_trained(network, compression, config), optimizer=optimizer, work_dir=config.work_dir,
                             logger=_runner_logger(), max_epochs=config.runner.max_epochs)
    runner.timestamp, runner.last_metrics, runner.best = _LOG_NAME, {}, {}
    log_config = {"interval": config.get("log_config", {}).get("interval", 50), "hooks": [{"type": "TextLoggerHook"}]}
    with building("training hooks", config, writable=[config.work_dir]):
        runner.register_training_hooks(config.lr_config, config.get("optimizer_config", {}), None, log_config,
                                       config.get("momentum_config"))
    runner.register_hook(CheckLossHook(), priority="ABOVE_NORMAL")
    if compression is not None:
        from core.compression.hooks import CompressionHook

        runner.register_hook(CompressionHook(compression), priority="HIGH")
    if ranks() > 1:
        runner.register_hook(AverageStatisticsHook(network), priority="BELOW_NORMAL")
    if dataset.val is not None:
        interval = config.get("evaluation", {}).get("interval", 1)
        runner.register_hook(EvaluationHook(network, config, dataset.val, dataset.classes, interval, interruptions),
                             priority="LOW")
    return runner


def _trained(network: Any, compression: Optional["CompressedDetector"], config: Any) -> Any:
    """Wrap the network as it is trained: by itself, or by ranks together."""
    if ranks() == 1:
        return data_parallel(network)
    model = distributed_model(network, config.get("find_unused_parameters", False))
    if compression is not None:
        # After the wrapping, as NNCF asks (nncf/torch/compression_method_api.py, distributed).
        compression.controller.distributed()
    return model


def _require_epochs(config: Any) -> None:
    kind = config.get("runner", {}).get("type", "EpochBasedRunner")
    if kind != "EpochBasedRunner":
        raise UserError("config, runner.type", kind, "Training is counted in epochs here, as NNCF's schedules are.",
                        "Write runner = dict(type='EpochBasedRunner', max_epochs=...).")


def _resume(runner: Any, resumed: Checkpoint, source: Path | None, memory: ModuleMemory, log_file: Path) -> None:
    if resumed.training is None:
        raise UserError("resume_from", source, "It holds no optimizer state.", "Name it as load_from instead.")
    progress = resumed.training.get("progress")
    if progress is None:
        runner.start_at(resumed.training["epoch"], 0, resumed.training["iter"])
    else:
        position = restore_progress(progress, runner, memory, log_file)
        logging.getLogger(__name__).info("an interrupted training goes on after %s", position)
    try:
        runner.optimizer.load_state_dict(resumed.training["optimizer"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError("optimizer state", f"{type(error).__name__}: {error}", "It must be of this config's optimizer "
                        "and this network's parameters.", "Name the checkpoint as load_from instead, to begin with a "
                        "new optimizer.") from error


def _portable(config: Any) -> Any:
    """Return the config without what belongs to this run's machine: folders, data files and source checkpoints."""
    portable = copy.deepcopy(config)
    for key in ("work_dir", "load_from", "resume_from", WEIGHTS_KEY):
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


def _log_meta(config: Any, epochs: int, iterations: int, seed: int) -> dict[str, Any]:
    return {"mode": "env", "epochs": epochs, "iters_per_epoch": iterations, "seed": seed, "versions": versions()}


def _json_log(work_dir: Path) -> Path:
    return Path(work_dir) / f"{_LOG_NAME}.log.json"


def _write_log_head(log_file: Path, meta: dict[str, Any]) -> None:
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
        logging.getLogger(name).setLevel(logging.INFO if first_rank() else logging.WARNING)
    # mmcv reports the initialisation of every parameter.
    logging.getLogger("mmcv").setLevel(logging.WARNING)
