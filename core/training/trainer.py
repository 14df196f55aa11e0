"""Train a detector, plain or compressed, through MMDetection's data sets and hooks and mmcv's runner."""

import copy
import dataclasses
import json
import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from mmcv.runner import DistSamplerSeedHook
from mmdet.apis import set_random_seed
from mmdet.utils import setup_multi_processes

from core.base.errors import StateSaved, Terminated, UserError
from core.checkpoint.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from core.compression.config_check import epochs_of, require_valid
from core.compression.differences import require_same
from core.compression.hooks import AveragedMasksHook, CompressionHook
from core.compression.nncf_import import SUPPORTED_VERSION
from core.compression.restoring import restore_compression
from core.compression.wrap import CompressedDetector, compress_detector
from core.config.adapt import algorithms_of, nncf_config_of
from core.detectors.batch import require_two_images
from core.detectors.building import build_detector, build_optimizer, building
from core.detectors.initialising import initialise
from core.detectors.pretrained import weights_file, weights_location
from core.training.device import data_parallel, device
from core.training.distributed import distributed_model, first_rank, ranks, scale_learning_rate
from core.training.hooks import (
    AverageStatisticsHook,
    CheckLossHook,
    EnoughHook,
    EvaluationHook,
    StateHook,
    averages_weights,
    optimizer_hook,
)
from core.training.initial import InitialScore, initial_split, min_initial_map_ratio, require_good_start, score
from core.training.log import log_to_screen, runner_logger, write_head
from core.training.model import load_all_weights, load_plain_weights
from core.training.progress import (
    BEST_RESULT,
    ModuleMemory,
    Position,
    progress_of,
    restore_progress,
    seconds_of,
)
from core.training.refusals import require_obeyed
from core.training.runner import ResumableIterRunner, ResumableRunner
from core.training.samples import evaluation_loader, train_loader, workflow_loaders
from core.training.settings import evaluation_settings, log_settings, training_length, workflow_of
from core.training.signals import Interruptions
from core.training.snapshot import snapshot
from core.training.states import StateSettings, TrainingStates, training_identity
from core.training.sync_bn import replace_sync_bn
from core.training.tuning import DECIDED, KEY, FineTuning, When, how_it_ended, known
from core.training.weights import fine_tune_from, load_what_fits, without_copies

if TYPE_CHECKING:
    from core.data.dataset import Dataset

BEFORE_TRAINING = "before_training.pth"
# After MMDetection's EMA hooks as its configs register them, before mmcv's checkpoint hook (priority 50).
_AFTER_EMA = 49

# Ranks hand their results over in memory.
_RANKS_DO_WITHOUT = ("tmpdir", "gpu_collect", "broadcast_bn_buffer")
_WRITTEN_BY_EVALUATION = ("out_dir", "jsonfile_prefix")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Output:
    """What a training leaves in its folder.

    Attributes:
        name: First part of the logs' names.
        checkpoints: Whether the config's ``checkpoint_config`` is obeyed, as by ``tools/train.py``. Else the folder
            is a stage's scratch space, where one file, ``latest.pth``, holds the newest state.
        validate: Whether the model is scored during training.
    """

    folder: Path
    name: str = "training"
    checkpoints: bool = False
    validate: bool = True

    @property
    def json_log(self) -> Path:
        """The log in JSON lines, which mmcv's TextLoggerHook appends to."""
        return self.folder / f"{self.name}.log.json"


class Trainer:
    """One training: model, optimizer, state and log, made ready by the constructor and trained by :meth:`run`.

    Compression is initialised or restored where the config has an ``nncf_config``; the loop is the same without.

    Args:
        config: A resolved mmcv Config whose ``data`` points at ``dataset``.
        parent: Checkpoint to start from; overrides ``load_from`` and ``resume_from``.
        state: Where the training state is stored; a state of the same training that is found there is resumed.

    Attributes:
        config: The config, with this run's folder and seed.
        dataset: The data set.
        network: The detector, or the NNCFNetwork around it.
        compression: The CompressedDetector, None for plain training.
        runner: mmcv's runner with every hook.
        plan: Whether and how long a compressed model is trained.
        decision: What was decided of that and why, a sentence; empty for plain training.
        initial: The score of a compressed model before its first step, None where there is none.
        best: Where training keeps the best checkpoint (``evaluation.save_best``; a stage that compresses does so by
            itself), its place and metrics; None where the present weights are the result.
        parent_map: mAP before compression on the images of the initial evaluation, where it was asked for.
        resumed: Whether an interrupted training is resumed.
        states: Where the training state is stored, if anywhere.
        state: Saves the training state.

    Raises:
        UserError: The config asks for what cannot be done, the nncf_config is not valid, or the checkpoint does not
            fit it.
    """

    def __init__(self, config: Any, dataset: "Dataset", output: Output, parent: Path | None = None, seed: int = 0,
                 state: StateSettings | None = None) -> None:
        log_to_screen()
        self._began, self._earlier = time.monotonic(), 0.0
        self.config, self.dataset, self.output, self._seed = config, dataset, output, seed
        self._nncf_config = nncf_config_of(config)
        min_initial_map_ratio(config)
        self.plan, self.decision = FineTuning.of(config), ""
        require_obeyed(config)
        if self._nncf_config is not None:
            require_valid(self._nncf_config, epochs_of(config))
        config.work_dir, config.seed = str(output.folder), seed
        output.folder.mkdir(parents=True, exist_ok=True)
        # As MMDetection's tools/train.py does for the whole process.
        setup_multi_processes(config)
        torch.backends.cudnn.benchmark = bool(config.get("cudnn_benchmark", False))
        set_random_seed(seed, deterministic=bool(config.get("deterministic", False)))
        key = "resume_from" if config.get("resume_from") else "load_from"
        source = Path(parent) if parent is not None else None
        if source is None and config.get(key):
            source = weights_file(config[key], weights_location(config), key)
        given = load_checkpoint(source) if source else None
        resumes = parent is None and bool(config.get("resume_from"))
        _check_parent(self._nncf_config, given, source, resumes)
        self.states = TrainingStates(state, training_identity(config, dataset, given, seed)) if state else None
        saved = self.states.newest(output.folder) if self.states else None
        self._interruptions = Interruptions(saving=self.states is not None)
        resumed = saved or (given if resumes else None)
        self.resumed = resumed is not None
        self.loader = train_loader(config, dataset, seed)
        self.initial: InitialScore | None = None
        self.best: dict[str, Any] | None = None
        self._evaluation: EvaluationHook | None = None
        self.parent_map: float | None = None
        self.compression: CompressedDetector | None = None
        self.network = self._build(given, saved, source)
        self._memory = ModuleMemory(self.network)
        self.runner = self._build_runner()
        self._register_hooks()
        if first_rank():
            write_head(output.json_log, training_length(config), len(self.loader), seed)
        if resumed is not None:
            self._resume(resumed, source)
        self.state = self._register_state(resumed)

    def run(self) -> None:
        """Train to the end, or to SIGTERM, and see the last state stored.

        Raises:
            UserError: A loss is not finite, or compression has cost too much before the first step.
            StateSaved: SIGTERM arrived, and the state is stored.
        """
        if self.compression is not None and not self.resumed:
            self.initial = self._score_start()
        trains = True
        if self.compression is not None:
            trains, self.decision = self.plan.at_the_start(self.initial, self._may_be_best())
            logger.info(self.decision)
            self._keep_decision()
        if trains:
            with self._interruptions:
                self._train()
            if not self.output.checkpoints:
                self.best = self.runner.messages.get(BEST_RESULT)
            if self.compression is not None:
                self.decision += how_it_ended(self.runner) + self._which_result()

    def _keep_decision(self) -> None:
        """Keep what was decided and measured before the first step for the processes that resume this training."""
        messages, initial = self.runner.messages, self.initial
        if not self.resumed:
            messages[DECIDED] = {"decision": self.decision, "map_parent": known(self.parent_map),
                                 "map_initial": initial.metrics.map if initial else math.nan}
        elif DECIDED in messages and self.plan.when is When.WHEN_NEEDED:
            self.decision = f"{messages[DECIDED]['decision']} It was interrupted and resumed."

    def _train(self) -> None:
        states, state = self.states, self.state
        workflow = workflow_of(self.config)
        try:
            loaders = workflow_loaders(self.config, self.loader, workflow, self._seed, self.dataset.val)
            self.runner.run(loaders, workflow)
        except ValueError as error:
            require_two_images(error, "Training")
            raise
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

    def _best_file(self) -> Path | None:
        """Return the best checkpoint so far in a stage's scratch space; that of ``tools/train.py`` is the user's."""
        hook = self._evaluation
        return Path(hook.best_ckpt_path) if hook and hook.best_ckpt_path and not self.output.checkpoints else None

    @property
    def seconds(self) -> float:
        """Return the wall time so far, that of the processes before up to the state that was resumed included."""
        return self._earlier + time.monotonic() - self._began

    @property
    def place(self) -> int:
        """Return the epoch whose weights are the result, or the iteration where those are counted."""
        return self._done if self.best is None else self.best["place"]

    @property
    def _done(self) -> int:
        return self.runner.epoch if self.runner.max_epochs is not None else self.runner.iter

    def _which_result(self) -> str:
        """Return which moment of the training is its result, in a sentence."""
        unit, done = "epoch" if self.runner.max_epochs is not None else "iteration", self._done
        if self.best is None:
            return f" The result is {unit} {done} of {done}, the last."
        found = self.best["metrics"]
        scored = f" (mAP {found['map']:.4f})" if "map" in found else ""
        whole = "" if algorithms_of(self.config) == ("quantization",) else " of those at which compression was complete"
        return f" The result is {unit} {self.place} of {done}, the best on the val split{scored}{whole}."

    def best_checkpoint(self) -> Checkpoint | None:
        """Return the checkpoint of :attr:`best`, None where there is none."""
        file = self._best_file() if self.best is not None else None
        return without_copies(load_checkpoint(file)) if file is not None else None

    def snapshot(self) -> Checkpoint:
        """Return the trained model as a checkpoint that others start from: without what EMA hooks keep beside it."""
        return without_copies(snapshot(self.config, self.dataset, self.network, self.compression, self.runner))

    def _build(self, given: Checkpoint | None, saved: Checkpoint | None, source: Path | None) -> Any:
        """Return the network with its weights."""
        # Where a state is resumed the parent is loaded all the same: knowledge distillation keeps it as the teacher.
        detector = self._build_plain(given, source)
        origin = f"the training state in {self.states.place}" if self.states is not None and saved else source
        if self._nncf_config is None:
            if saved is not None:
                load_all_weights(detector, without_copies(saved), origin)
            return detector
        asked = min_initial_map_ratio(self.config) > 0 or self.plan.when is When.WHEN_NEEDED
        if asked and not self.resumed:
            if given is not None and given.compression is not None:
                logger.warning("min_initial_map_ratio is not checked and when_needed trains: the checkpoint is "
                               "compressed already, so there is no plain model to compare with")
            else:
                split = initial_split(self.dataset, self.output.folder)
                self.parent_map = score(detector, self.config, split, self.dataset.classes).map
                logger.info("mAP before compression: %.4f", self.parent_map)
        self.compression = self._compress(detector, saved or given, origin)
        return self.compression.network

    def _build_plain(self, given: Checkpoint | None, source: Path | None) -> Any:
        replace_sync_bn(self.config)
        detector = build_detector(self.config)
        detector.CLASSES = self.dataset.classes
        plain = given is not None and given.compression is None
        if plain and self._nncf_config is not None:
            # A model to be compressed is a whole one.
            load_plain_weights(detector, given, source)
        elif given is None or plain:
            initialise(detector, self.config, given.state_dict if given else None)
            if plain:
                fine_tune_from(detector, given, source)
        return detector.to(device())

    def _compress(self, detector: Any, given: Checkpoint | None, source: object) -> CompressedDetector:
        algorithms = ", ".join(algorithms_of(self.config))
        if given is not None and given.compression is not None:
            logger.info("restoring compression (%s)", algorithms)
            return restore_compression(detector, self._nncf_config, without_copies(given), source)
        logger.info("initialising compression (%s) on the training data", algorithms)
        started = time.time()
        compression = compress_detector(
            detector, self._nncf_config,
            # NNCF must be initialised on the same data in every rank.
            data_loader=train_loader(self.config, self.dataset, self._seed, shared=False),
            postprocessing=bool(self.config.get("nncf_compress_postprocessing", True)),
            strict=bool(self.config.get("nncf_strict", False)))
        logger.info("compression initialised in %.0f s", time.time() - started)
        return compression

    def _build_runner(self) -> Any:
        # Built after wrapping: the quantizers' parameters are trained too.
        optimizer = build_optimizer(self.network, self.config.optimizer)
        scale_learning_rate(optimizer, self.config)
        length = training_length(self.config)
        kind, number = (ResumableRunner, "max_epochs") if length.by_epoch else (ResumableIterRunner, "max_iters")
        if ranks() == 1:
            model = data_parallel(self.network)
        else:
            model = distributed_model(self.network, self.config.get("find_unused_parameters", False))
            if self.compression is not None:
                # After the wrapping, as NNCF asks (nncf/torch/compression_method_api.py, distributed).
                self.compression.controller.distributed()
        # Without meta: it would head the log, which begins before the runner does.
        runner = kind(model, optimizer=optimizer, work_dir=self.config.work_dir,
                      logger=runner_logger(self.config.get("log_level", "INFO")), **{number: length.number})
        runner.timestamp = self.output.name
        runner.prepare(self.loader, self._save, self._read)
        return runner

    def _register_hooks(self) -> None:
        """Register mmcv's and MMDetection's hooks in MMDetection's order, and ours among them."""
        # mmcv takes the settings apart.
        config, runner = copy.deepcopy(self.config), self.runner
        checkpoints = dict(config.get("checkpoint_config") or {}) if self.output.checkpoints else None
        with building("training hooks", config, writable=[config.work_dir]):
            runner.register_training_hooks(
                config.lr_config, optimizer_hook(config), checkpoints or None, log_settings(config),
                config.get("momentum_config"), custom_hooks_config=config.get("custom_hooks"))
        runner.register_hook(CheckLossHook(), priority="ABOVE_NORMAL")
        if self.compression is not None:
            runner.register_hook(CompressionHook(self.compression), priority="HIGH")
            if any(averages_weights(hook) for hook in runner.hooks):
                for priority in (_AFTER_EMA, "BELOW_NORMAL"):
                    runner.register_hook(AveragedMasksHook(self.compression), priority=priority)
        if ranks() > 1:
            runner.register_hook(AverageStatisticsHook(self.network), priority="BELOW_NORMAL")
            if runner.max_epochs is not None:
                runner.register_hook(DistSamplerSeedHook())
        if self.output.validate and self.dataset.val is not None:
            self._register_evaluation(config)

    def _register_evaluation(self, config: Any) -> None:
        settings = {**evaluation_settings(config), "by_epoch": self.runner.max_epochs is not None}
        for key in _RANKS_DO_WITHOUT:
            settings.pop(key, None)
        for key in _WRITTEN_BY_EVALUATION:
            place = settings.get(key)
            if place is not None and not (isinstance(place, str) and Path(place).resolve().is_relative_to(
                    Path(config.work_dir).resolve())):
                raise UserError(f"config, evaluation.{key}", place, "Training writes to its own work folder alone.",
                                "Remove it from the config.")

        if self.compression is not None and not self.output.checkpoints:
            # Accuracy of a compressed model goes up and down; tools/train.py leaves it to the config, as MMDetection.
            settings.setdefault("save_best", "auto")
        loader = evaluation_loader(config, "val", self.dataset.val)
        hook = EvaluationHook(self.network, loader, self._interruptions, self._may_be_best,
                              lambda runner: self.state.begins_to_score(runner), self.compression is not None,
                              **settings)
        self._evaluation = hook
        self.runner.register_hook(hook, priority="LOW")
        if self.compression is not None and self.plan.when is When.WHEN_NEEDED and self.runner.max_epochs is not None:
            self.runner.register_hook(EnoughHook(self.plan, known(self.parent_map), hook.scores, self._may_be_best),
                                      priority="VERY_LOW")

    def _may_be_best(self) -> bool:
        """Return whether the model is what the config asks for: a compressed one is when its schedule has ended."""
        return self.compression is None or self.compression.controller.compression_stage().name == "FULLY_COMPRESSED"

    def _register_state(self, resumed: Checkpoint | None) -> StateHook:
        def take_snapshot(position: Position) -> Checkpoint:
            progress = progress_of(position, self.runner, self._memory, self.output.json_log, self._best_file(),
                                   self.seconds)
            return snapshot(self.config, self.dataset, self.network, self.compression, self.runner, progress)

        exactly = resumed is not None and "progress" in resumed.training
        hook = StateHook(take_snapshot, None if self.output.checkpoints else self.output.folder / "latest.pth",
                         self.states, self._interruptions,
                         every=(self.config.get("optimizer_config") or {}).get("cumulative_iters", 1),
                         weights=resumed.state_dict if exactly else None)
        self.runner.register_hook(hook, priority="LOWEST")
        return hook

    def _resume(self, resumed: Checkpoint, source: Path | None) -> None:
        if resumed.training is None:
            raise UserError("resume_from", source, "It holds no optimizer state.", "Name it as load_from instead.")
        progress = resumed.training.get("progress")
        if progress is None:
            self.runner.start_at(resumed.training["epoch"], resumed.training["iter"])
            self.runner.messages = {name: value for name, value in resumed.training["hook_msgs"].items()
                                    if name not in (BEST_RESULT, DECIDED, KEY)}
            logger.info("resumed epoch %d, iter %d", self.runner.epoch, self.runner.iter)
        else:
            runner = self.runner
            position = restore_progress(progress, runner, self._memory, self.output.json_log)
            self._earlier = seconds_of(progress)
            if self._evaluation is not None:
                # What is scored before the first step was.
                self._evaluation.initial_flag = False
            if runner.max_epochs is not None:
                runner.data_loader, present = runner.loader, runner.epoch
                for hook in runner.hooks:
                    # MMDetection's YOLOXModeSwitchHook and SyncNormHook change training at one epoch, perhaps behind.
                    changes_at = runner.max_epochs - 1 - getattr(hook, "num_last_epochs", runner.max_epochs)
                    if 0 <= changes_at < present:
                        runner._epoch = changes_at
                        hook.before_train_epoch(runner)
                        runner._epoch = present
            logger.info("an interrupted training is resumed after %s", position)
        self._load_optimizer(resumed.training["optimizer"])

    def _load_optimizer(self, state: Any) -> None:
        try:
            self.runner.optimizer.load_state_dict(state)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError("optimizer state", f"{type(error).__name__}: {error}", "It must be of this config's "
                            "optimizer and this network's parameters.", "Name the checkpoint as load_from instead, to "
                            "start with a new optimizer.") from error

    def _save(self, path: Path, with_optimizer: bool) -> None:
        """Write ``epoch_N.pth`` and its like, in which the present epoch counts as done."""
        if not first_rank():
            return
        state = snapshot(self.config, self.dataset, self.network, self.compression, self.runner)
        training = {**state.training, "epoch": state.training["epoch"] + (self.runner.max_epochs is not None)}
        if self.runner.max_epochs is None:
            training["iter"] += 1
        save_checkpoint(dataclasses.replace(state, training=training if with_optimizer else None), path)

    def _read(self, path: str) -> dict[str, Any]:
        """Load what a hook resumes from; see ``ResumableRunner.resume``."""
        checkpoint = load_checkpoint(weights_file(path, weights_location(self.config), "custom_hooks, resume_from"))
        if checkpoint.training is None:
            raise UserError("custom_hooks, resume_from", path, "It holds no optimizer state.", "Leave the key out.")
        load_what_fits(self.network, checkpoint, path, copies=True)
        self._load_optimizer(checkpoint.training["optimizer"])
        return checkpoint.training

    def _score_start(self) -> InitialScore:
        """Save and score a compressed model before its first training step."""
        saved = self.output.folder / BEFORE_TRAINING
        if first_rank():
            save_checkpoint(self.snapshot(), saved)
        split = initial_split(self.dataset, self.output.folder)
        metrics = score(self.network, self.config, split, self.dataset.classes)
        initial = InitialScore(split.name, metrics, self.parent_map)
        if first_rank():
            with open(self.output.json_log, "a") as log:
                log.write(json.dumps(initial.to_log()) + "\n")
        logger.info("before the first training step: mAP %.4f, mAP50 %.4f (%d images of split %s)",
                    metrics.map, metrics.map50, split.images, split.name)
        require_good_start(initial, min_initial_map_ratio(self.config), saved)
        return initial


def _check_parent(nncf_config: dict[str, Any] | None, given: Checkpoint | None, source: Path | None,
                  resumes: bool) -> None:
    """Refuse a checkpoint that the config cannot start from."""
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
        logger.warning("%s was written with NNCF %s, here is %s: it may not restore the same model; compare its mAP",
                       source, written_by, installed)
