"""Every step of a compression tried in minutes, before hours are spent: ``python -m core.compression.preflight``."""

import argparse
import contextlib
import copy
import importlib.util
import itertools
import json
import logging
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from core.base.cli import name_list, run_guarded
from core.base.errors import UserError
from core.base.supervision import end_with_this_process, run_command
from core.compression.trials import Batches, NotRun, bound_gradients, tensors, wake

PROGRAM = "python -m core.compression.preflight"
REPOSITORY = Path(__file__).resolve().parents[2]
IMAGES = 4
EXIT_FAILED = 1
IR_SECONDS = 600
_MODULES = ("torch", "mmcv", "mmdet")
_LONGEST_REASON = 1500

logger = logging.getLogger(__name__)


class Outcome(StrEnum):
    """What came of a stage."""

    OK = "ok"
    FAILED = "FAILED"
    SKIPPED = "skipped"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class StageResult:
    """One stage of a preflight.

    Attributes:
        stage: Its name.
        outcome: What came of it; SKIPPED after a failure, NOT_RUN where it does not apply or cannot be tried here.
        why: The reason in one paragraph, or what was seen where it went well.
        seconds: How long it took.
    """

    stage: str
    outcome: Outcome
    why: str
    seconds: float

    def row(self) -> str:
        """Return the stage as a row of the table; a long reason goes on below in its column."""
        start = f"{self.stage:<11} {self.outcome.value:<8} {self.seconds:>6.1f}  "
        return textwrap.fill(start + self.why, width=118, subsequent_indent=" " * len(start), break_long_words=False,
                             break_on_hyphens=False)


HEADER = f"{'stage':<11} {'outcome':<8} {'s':>6}  why"


@dataclass(frozen=True)
class PreflightReport:
    """All stages of a preflight, in order."""

    stages: tuple[StageResult, ...]

    @property
    def ok(self) -> bool:
        """Whether no stage failed."""
        return all(stage.outcome is not Outcome.FAILED for stage in self.stages)

    @property
    def seconds(self) -> float:
        """The time of all stages."""
        return sum(stage.seconds for stage in self.stages)

    def require_ok(self) -> None:
        """Raise a UserError that names the failed stage and its reason, if there is one."""
        for stage in self.stages:
            if stage.outcome is Outcome.FAILED:
                raise UserError(f"preflight, stage {stage.stage}", stage.why,
                                "Every stage must succeed on random weights before hours are spent on real ones.",
                                f"`{PROGRAM} CONFIG` repeats it with the config alone.")

    def __str__(self) -> str:
        return "\n".join([HEADER, *(stage.row() for stage in self.stages)])


def run_preflight(config: Any, classes: Sequence[str] = (), openvino_python: Path | None = None,
                  on_stage: Callable[[StageResult], None] = lambda result: None,
                  dynamic_shape: bool = False) -> PreflightReport:
    """Try every step from ``nncf_config`` to a loaded IR on random weights and a handful of synthetic images.

    Nothing of the config's checkpoints and data is read, and nothing is left behind. Without ``nncf_config`` the
    plain model goes the same way.

    Args:
        config: A resolved mmcv Config; it is not changed.
        classes: Class names; those of the config, or as many as its head has, where empty.
        openvino_python: Python of an environment with OpenVINO; see ``find_openvino_python``.
        on_stage: Called with each result at once.
        dynamic_shape: Whether the model is to be exported for images of any size.

    Raises:
        UserError: MMDetection is not installed, or the config does not tell the number of classes.
    """
    missing = [name for name in _MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError("environment", sys.executable, f"Preflight needs {', '.join(missing)}, not installed here.",
                        "Install them, or run it with the Python that make setup prepares.")
    config = copy.deepcopy(config)
    names = tuple(classes) or classes_in(config)
    results: list[StageResult] = []
    with tempfile.TemporaryDirectory(prefix="mmdet-compress-preflight-") as folder:
        trial = _Trial(config, names, Path(folder), openvino_python, dynamic_shape)
        for stage, attempt in trial.stages():
            if any(result.outcome is Outcome.FAILED for result in results):
                results.append(StageResult(stage, Outcome.SKIPPED, "", 0.0))
            else:
                with _quiet():
                    results.append(_attempt(stage, attempt))
            on_stage(results[-1])
    return PreflightReport(tuple(results))


def classes_in(config: Any) -> tuple[str, ...]:
    """Return the class names of a config, or made-up ones where it has but their number.

    Raises:
        UserError: The config has neither.
    """
    from core.config.adapt import classes_of

    declared = classes_of(config)
    if declared:
        return declared
    head = config.model.get("bbox_head") or config.model.get("roi_head", {}).get("bbox_head") or {}
    number = (head[0] if isinstance(head, (list, tuple)) else head).get("num_classes")
    if not number:
        raise UserError("classes", "none", "The config names no classes and its box head has no num_classes.",
                        "Give the names (--classes) or their number (--num-classes).")
    return numbered(number)


def numbered(number: int) -> tuple[str, ...]:
    """Return ``number`` made-up class names."""
    return tuple(f"class {index}" for index in range(number))


def find_openvino_python(given: Path | None = None) -> Path | None:
    """Return the Python that can convert models: ``given``, else this one, where it has OpenVINO.

    Raises:
        UserError: ``given`` cannot be run.
    """
    if given is not None:
        if not os.access(given, os.X_OK) or Path(given).is_dir():
            raise UserError("--openvino-python", given, "It must be a Python with openvino-dev.",
                            "Give such a Python, or leave the option out.")
        return Path(given)
    return Path(sys.executable) if importlib.util.find_spec("openvino") else None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep MMDetection and NNCF from talking into the table: of theirs only errors, and those on standard error."""
    mmcv, nncf = logging.getLogger("mmcv"), logging.getLogger("nncf")
    level = mmcv.level
    mmcv.setLevel(logging.WARNING)
    nncf.addFilter(_is_error)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        mmcv.setLevel(level)
        nncf.removeFilter(_is_error)


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def _attempt(stage: str, attempt: Callable[[], str]) -> StageResult:
    started = time.perf_counter()
    try:
        outcome, why = Outcome.OK, attempt()
    except NotRun as reason:
        outcome, why = Outcome.NOT_RUN, str(reason)
    except UserError as error:
        outcome, why = Outcome.FAILED, str(error)
    except Exception as error:  # Whatever a detector does not survive is what preflight is to find.
        logger.debug("stage %s failed", stage, exc_info=True)
        outcome, why = Outcome.FAILED, f"{type(error).__name__}: {error}"
    paragraph = " ".join(why.split())
    if len(paragraph) > _LONGEST_REASON:
        paragraph = paragraph[:_LONGEST_REASON] + " ..."
    return StageResult(stage, outcome, paragraph, time.perf_counter() - started)


class _Trial:
    """One detector on its way; each stage leaves what the next one needs."""

    def __init__(self, config: Any, classes: tuple[str, ...], folder: Path, openvino_python: Path | None,
                 dynamic_shape: bool) -> None:
        from core.config.adapt import nncf_config_of

        self.config, self.classes, self.folder = config, classes, folder
        self.openvino_python, self.dynamic_shape = openvino_python, dynamic_shape
        self.nncf_config = nncf_config_of(config)
        self.postprocessing = bool(config.get("nncf_compress_postprocessing", True))
        self.compression: Any = None
        self.checkpoint, self.onnx = folder / "checkpoint.pth", folder / "onnx"

    def stages(self) -> tuple[tuple[str, Callable[[], str]], ...]:
        return (("config", self.check), ("layers", self.layers), ("build", self.build), ("wrap", self.wrap),
                ("train step", self.train_step), ("compress", self.compress), ("restore", self.restore),
                ("export", self.export), ("IR", self.convert))

    def check(self) -> str:
        from core.compression.config_check import ERROR, check_nncf_config, epochs_of, require_valid
        from core.config.adapt import algorithms_of
        from core.export.dynamic_shape import check_dynamic_shape

        if self.nncf_config is None:
            raise NotRun("the config has no nncf_config: the plain model is tried")
        findings = check_nncf_config(self.nncf_config, epochs_of(self.config))
        if any(finding.severity == ERROR for finding in findings):
            require_valid(self.nncf_config, epochs_of(self.config))
        check_dynamic_shape(self.dynamic_shape, algorithms_of(self.config))
        return "; ".join(["valid for NNCF 2.0.0", *(str(finding) for finding in findings)])

    def layers(self) -> str:
        from core.compression.config_check import ERROR
        from core.compression.layers import inspect_layers
        from core.config.adapt import set_classes
        from core.detectors.building import build_detector

        if self.nncf_config is None:
            raise NotRun("no nncf_config")
        config = copy.deepcopy(self.config)
        set_classes(config, self.classes)
        report = inspect_layers(build_detector(config), self.nncf_config, self.postprocessing)
        errors = [str(finding) for finding in report.findings if finding.severity == ERROR]
        if errors:
            raise UserError("nncf_config", f"{len(errors)} error{'s' if len(errors) > 1 else ''} on this detector",
                            "It must fit the detector's layers: " + " ".join(errors), "Correct the config.")
        seen = f"{len(report.traced.weighted)} layers with weights, {len(report.traced.frozen)} of them frozen"
        return "; ".join([seen, *(str(finding) for finding in report.findings)])

    def build(self) -> str:
        from core.compression.synthetic import write_dataset
        from core.config.adapt import set_classes, set_data
        from core.detectors.building import build_detector
        from core.detectors.initialising import initialise_at_random
        from core.training.device import device
        from core.training.samples import train_loader

        self.dataset = write_dataset(self.folder / "data", self.classes, IMAGES)
        set_classes(self.config, self.classes)
        set_data(self.config, self.dataset)
        size = max(1, min(int(self.config.data.get("samples_per_gpu", 2)), IMAGES // 2))
        self.config.data.update(samples_per_gpu=size, workers_per_gpu=0)
        loader = train_loader(self.config, self.dataset, seed=0)
        self.batches = Batches(itertools.islice(loader, IMAGES // size), size)
        self.detector = build_detector(self.config)
        self.detector.CLASSES = self.classes
        initialise_at_random(self.detector)
        wake(self.detector)
        self.network = self.detector.to(device())
        parameters = sum(parameter.numel() for parameter in self.detector.parameters())
        shape = "x".join(str(side) for side in _image(self.batches[0]).shape)
        return f"{parameters / 1e6:.2f} M parameters; batches of {shape}"

    def wrap(self) -> str:
        from core.compression.hooks import quantizers_of
        from core.compression.wrap import compress_detector

        if self.nncf_config is None:
            raise NotRun("no nncf_config")
        self.compression = compress_detector(self.detector, self.nncf_config, data_loader=self.batches,
                                             postprocessing=self.postprocessing,
                                             strict=bool(self.config.get("nncf_strict", False)))
        self.network = self.compression.network
        inside = "with" if self.compression.postprocessing else "without"
        seen = (f"{len(quantizers_of(self.compression.controller))} quantizers, initialised on {IMAGES} images, "
                f"{inside} post-processing in the graph")
        return f"{seen}: {self.compression.obstacle}" if self.compression.obstacle else seen

    def train_step(self) -> str:
        import torch
        from mmcv.runner import EpochBasedRunner

        from core.compression.hooks import CompressionHook, quantizers_of
        from core.detectors.building import build_optimizer, building
        from core.training.device import data_parallel
        from core.training.hooks import CheckLossHook

        self.network.train()
        trained = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        before = [parameter.detach().clone() for parameter in trained]
        bound_gradients(self.network)
        runner = EpochBasedRunner(data_parallel(self.network), optimizer=build_optimizer(
            self.network, self.config.optimizer), work_dir=str(self.folder), max_epochs=1,
            logger=_quiet_logger())
        runner.last_metrics = {}
        with building("optimizer hook", self.config):
            runner.register_optimizer_hook(copy.deepcopy(self.config.get("optimizer_config", {})))
        runner.register_hook(CheckLossHook(), priority="ABOVE_NORMAL")
        if self.compression is not None:
            # It fails where a quantizer did not take part.
            runner.register_hook(CompressionHook(self.compression), priority="HIGH")
        runner.run([self.batches[:1]], [("train", 1)])
        moved = sum(not torch.equal(old, new) for old, new in zip(before, trained))
        if not moved:
            raise RuntimeError("the optimizer step changed no parameter")
        quantizers = quantizers_of(self.compression.controller) if self.compression is not None else []
        ran = f"; all {len(quantizers)} quantizers ran" if quantizers else ""
        return f"loss {runner.last_metrics['loss']:.4g}; {moved} of {len(trained)} trained tensors moved{ran}"

    def compress(self) -> str:
        from core.compression.config_check import epochs_of
        from core.compression.statistics import measure_compression
        from core.config.adapt import algorithms_of

        if self.compression is None:
            raise NotRun("no nncf_config")
        epochs = epochs_of(self.config) or 1
        # As in the last epoch of the training that the config describes.
        self.compression.controller.scheduler.epoch_step(epochs - 1)
        seen = measure_compression(self.compression.controller)
        if "filter_pruning" in algorithms_of(self.config) and not seen.pruned_filters:
            raise UserError("nncf_config", f"none of {seen.filters} filters is pruned in the last of {epochs} epochs",
                            "The schedule must reach its level before training ends, and what stays is rounded up to a "
                            "multiple of 8 filters.", "Lower pruning_steps, or raise the pruning level.")
        return f"in the last of {epochs} epochs: {seen}"

    def restore(self) -> str:
        import torch

        from core.checkpoint.checkpoint import save_checkpoint
        from core.training.device import device
        from core.training.model import restore_detector
        from core.training.snapshot import snapshot

        image = _image(self.batches[0])[:1].to(device())
        before = _outputs(self.detector, self.network, image)
        save_checkpoint(snapshot(self.config, self.dataset, self.network, self.compression, None), self.checkpoint)
        restored = restore_detector(self.checkpoint, self.classes)
        after = _outputs(restored.detector, restored.network.to(device()), image)
        if len(before) != len(after) or not all(torch.equal(old, new) for old, new in zip(before, after)):
            raise RuntimeError("the model restored from its checkpoint gives other outputs than the saved one")
        return f"{self.checkpoint.stat().st_size / 1e6:.1f} MB; all {len(before)} outputs of the heads identical"

    def export(self) -> str:
        from core.export.onnx import ONNX_FILE, ExportOptions, export_checkpoint

        spec = export_checkpoint(self.checkpoint, self.onnx, ExportOptions(dynamic_shape=self.dynamic_shape))
        size = (self.onnx / ONNX_FILE).stat().st_size / 1e6
        return f"{spec.fake_quantize_nodes} FakeQuantize operators, {size:.1f} MB"

    def convert(self) -> str:
        python = find_openvino_python(self.openvino_python)
        if python is None:
            raise NotRun("no environment with OpenVINO found: set it up (make setup) or give --openvino-python")
        found = _try_ir(python, self.onnx, self.folder / "ir")
        return (f"{found['fake_quantize_nodes']} FakeQuantize operators, {found['int8_weights']} int8 weights, "
                f"{found['size_mb']:.1f} MB; ran, {found['detections']} boxes")


def _image(batch: Any) -> Any:
    return batch["img"].data[0]


def _outputs(detector: Any, network: Any, image: Any) -> list[Any]:
    """Return all tensors of the raw heads for an image [1, 3, H, W], in testing."""
    import torch

    from core.compression.tracing import forward_as, tracing_forward

    network.eval()
    with torch.no_grad(), forward_as(detector, tracing_forward(detector, False)):
        return list(tensors(network(image)))


def _try_ir(python: Path, onnx: Path, ir: Path) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_WAIT_POLICY": "PASSIVE"}
    try:
        done = subprocess.run([str(python), "-m", "core.openvino.trial", str(onnx), str(ir)], env=environment,
                              cwd=str(REPOSITORY), capture_output=True, timeout=IR_SECONDS, text=True,
                              preexec_fn=end_with_this_process())
    except subprocess.TimeoutExpired as error:
        raise UserError("IR", "no answer", f"Converting and running it must end within {IR_SECONDS} s.",
                        "Try a smaller input, or see what the machine is busy with.") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise UserError("IR", f"{python} ended with code {done.returncode}", lines[-1] if lines else "It said nothing.",
                        "The exported model cannot be run in OpenVINO as it is.")
    return json.loads(done.stdout.splitlines()[-1])


def _quiet_logger() -> logging.Logger:
    quiet = logging.getLogger("mmdet_compress.preflight")
    quiet.setLevel(logging.WARNING)
    return quiet


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description="Try a config's compression from the nncf_config to a loaded IR, on random weights "
        "and synthetic images. Exit code 0: every stage that ran is ok, 1: one failed, 2: a mistake in the input.")
    parser.add_argument("config", metavar="CONFIG", help="MMDetection config with an nncf_config")
    parser.add_argument("--cfg-options", metavar="KEY=VALUE", nargs="+", default=[], help="changes to the config")
    classes = parser.add_mutually_exclusive_group()
    classes.add_argument("--classes", metavar="NAMES", type=name_list, default=[],
                         help="class names between commas (default: the config's)")
    classes.add_argument("--num-classes", metavar="N", type=_count, default=0, help="their number instead")
    parser.add_argument("--openvino-python", metavar="FILE", type=Path, default=None,
                        help="Python with openvino-dev (default: this one)")
    parser.add_argument("--strict", action="store_true",
                        help="fail where nncf_compress_postprocessing=True would fall back to False")
    parser.add_argument("--dynamic-shape", action="store_true",
                        help="the model is to be exported for images of any size: fail where it cannot be")
    parser.add_argument("--trust-config", action="store_true",
                        help="run the config as Python where it cannot be read as data")
    return parser


def preflight(arguments: argparse.Namespace) -> int:
    """Run a preflight as the command line asks, print the table row by row and return the exit code."""
    from core.config.loading import load_config
    from core.config.options import parse_options

    find_openvino_python(arguments.openvino_python)
    config = load_config(arguments.config, parse_options(arguments.cfg_options), arguments.trust_config)
    if arguments.strict:
        config.nncf_strict = True
    classes = tuple(arguments.classes) or numbered(arguments.num_classes)
    print(HEADER, flush=True)
    report = run_preflight(config, classes, arguments.openvino_python,
                           on_stage=lambda result: print(result.row(), flush=True),
                           dynamic_shape=arguments.dynamic_shape)
    print(f"{arguments.config}: {'ok' if report.ok else 'FAILED'} in {report.seconds:.0f} s")
    return 0 if report.ok else EXIT_FAILED


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_guarded(PROGRAM, lambda: preflight(arguments))


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


if __name__ == "__main__":
    sys.exit(run_command(PROGRAM, main))
