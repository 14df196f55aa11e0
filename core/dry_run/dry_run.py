"""One detector tried on random weights and synthetic images, from its config to a loaded IR.

``preflight`` runs all stages for a user's config, ``scripts.detectors`` for every detector and algorithm, and tests run
single ones.
"""

import copy
import importlib.util
import itertools
import logging
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.json_file import json_object
from core.base.supervision import end_with_this_process
from core.detectors.graph import tensors
from core.dry_run.trials import Batches, NotRun, bound_gradients, enable_zero_branches

REPOSITORY = Path(__file__).resolve().parents[2]
IMAGES = 4
SEED = 0
IR_SECONDS = 600
_LONGEST_REASON = 1500
# What ONNX lacks and OpenVINO reads.
_OPENVINO_OPERATOR = "org.openvinotoolkit.FakeQuantize"

logger = logging.getLogger(__name__)
# Of the training step's runner.
_SILENT = logging.getLogger("mmdet_compress.dry_run")
_SILENT.setLevel(logging.WARNING)

Stages = tuple[tuple[str, Callable[[], str]], ...]


class Outcome(StrEnum):
    """What came of a stage."""

    OK = "ok"
    FAILED = "FAILED"
    SKIPPED = "skipped"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class StageResult:
    """One stage of a dry run.

    Attributes:
        outcome: What came of it; SKIPPED after a failure, NOT_RUN where it does not apply or cannot be tried here.
        why: The reason in one paragraph, or what was seen where it went well.
        seconds: How long it took.
    """

    stage: str
    outcome: Outcome
    why: str
    seconds: float

    def row(self) -> str:
        """Return the stage as a row of a table; a long reason goes on below in its column."""
        start = f"{self.stage:<11} {self.outcome.value:<8} {self.seconds:>6.1f}  "
        return textwrap.fill(start + self.why, width=118, subsequent_indent=" " * len(start), break_long_words=False,
                             break_on_hyphens=False)


def run_stage(stage: str, attempt: Callable[[], str], before: Sequence[StageResult] = ()) -> StageResult:
    """Run one stage and return what came of it; after a failure among the results ``before`` it is skipped."""
    if any(result.outcome is Outcome.FAILED for result in before):
        return StageResult(stage, Outcome.SKIPPED, "", 0.0)
    started = time.perf_counter()
    try:
        outcome, why = Outcome.OK, attempt()
    except NotRun as reason:
        outcome, why = Outcome.NOT_RUN, str(reason)
    except UserError as error:
        outcome, why = Outcome.FAILED, str(error)
    except Exception as error:  # Whatever a detector does not survive is what a dry run is to find.
        logger.debug("stage %s failed", stage, exc_info=True)
        outcome, why = Outcome.FAILED, f"{type(error).__name__}: {error}"
    paragraph = " ".join(why.split())
    if len(paragraph) > _LONGEST_REASON:
        paragraph = paragraph[:_LONGEST_REASON] + " ..."
    return StageResult(stage, outcome, paragraph, time.perf_counter() - started)


class DryRun:
    """One detector on its way; a stage leaves what the next one needs.

    Attributes:
        counts: What the stages counted: parameters, quantization points and FakeQuantize operators, filters, tensors
            that a training step moved, boxes, outputs that restoring kept, bytes of the IR.
        unmoved: Names of the trained tensors that it did not move.
        detector: The MMDetection detector; ``network`` is NNCF's around it, or the detector itself.
        compression: None until ``wrap``.

    Args:
        config: A resolved mmcv Config, which the stages change.
        folder: Where data, checkpoint and models go.
        openvino_python: Python that converts to IR; None leaves that stage out.
        dynamic_shape: Whether the model is to be exported for images of any size.
    """

    def __init__(self, config: Any, classes: tuple[str, ...], folder: Path, openvino_python: Path | None = None,
                 dynamic_shape: bool = False) -> None:
        from core.config.adapt import nncf_config_of

        self.config, self.classes, self.folder = config, tuple(classes), Path(folder)
        self.openvino_python, self.dynamic_shape = openvino_python, dynamic_shape
        self.nncf_config = nncf_config_of(config)
        self.postprocessing = bool(config.get("nncf_compress_postprocessing", True))
        self.checkpoint, self.onnx = self.folder / "checkpoint.pth", self.folder / "onnx"
        self.counts: dict[str, int] = {}
        self.unmoved: list[str] = []
        self.dataset: Any = None
        self.batches: Any = None
        self.detector: Any = None
        self.network: Any = None
        self.compression: Any = None

    def stages(self) -> Stages:
        """Return names and functions of all stages; a function returns what it saw, and raises where it fails."""
        return (("config", self.check), ("layers", self.layers), ("build", self.build), ("wrap", self.wrap),
                ("train step", self.train_step), ("test", self.test_forward), ("compress", self.compress),
                ("restore", self.restore), ("export", self.export), ("IR", self.convert))

    def check(self) -> str:
        """Check the nncf_config by itself."""
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
        """Check the detector's family, and the nncf_config against its layers."""
        from core.compression.config_check import ERROR
        from core.compression.layers import inspect_layers
        from core.config.adapt import set_classes
        from core.detectors.registry import build_known, find_adapter
        from core.export.attempt import require_exportable

        config = copy.deepcopy(self.config)
        set_classes(config, self.classes)
        detector = build_known(config)
        require_exportable(detector)
        family = find_adapter(detector).name
        if self.nncf_config is None:
            return f"{family}; no nncf_config"
        report = inspect_layers(detector, self.nncf_config, self.postprocessing)
        errors = [str(finding) for finding in report.findings if finding.severity == ERROR]
        if errors:
            raise UserError("nncf_config", f"{len(errors)} error{'s' if len(errors) > 1 else ''} on this detector",
                            "It must fit the detector's layers: " + " ".join(errors), "Correct the config.")
        seen = (f"{family}: {len(report.traced.weighted)} layers with weights, {len(report.traced.frozen)} of them "
                "frozen")
        return "; ".join([seen, *(str(finding) for finding in report.findings)])

    def build(self) -> str:
        """Build the detector with random weights, always the same, and batches of synthetic images."""
        from mmdet.apis import set_random_seed

        from core.detectors.building import build_detector
        from core.detectors.initialising import initialise_at_random
        from core.training.device import device

        if self.batches is None:
            self._load_images()
        set_random_seed(SEED)
        self.detector = build_detector(self.config)
        self.detector.CLASSES = self.classes
        initialise_at_random(self.detector)
        enable_zero_branches(self.detector)
        self.compression, self.network = None, self.detector.to(device())
        self.counts["parameters"] = sum(parameter.numel() for parameter in self.detector.parameters())
        shape = "x".join(str(side) for side in _image(self.batches[0]).shape)
        return f"{self.counts['parameters'] / 1e6:.2f} M parameters; batches of {shape}"

    def _load_images(self) -> None:
        from core.config.adapt import set_classes, set_data
        from core.dry_run.synthetic import write_dataset
        from core.training.samples import train_loader

        self.dataset = write_dataset(self.folder / "data", self.classes, IMAGES)
        set_classes(self.config, self.classes)
        set_data(self.config, self.dataset)
        size = max(1, min(int(self.config.data.get("samples_per_gpu", 2)), IMAGES // 2))
        self.config.data.update(samples_per_gpu=size, workers_per_gpu=0)
        loader = train_loader(self.config, self.dataset, seed=SEED)
        self.batches = Batches(itertools.islice(loader, IMAGES // size), size)

    def wrap(self, postprocessing: bool | None = None) -> str:
        """Compress the detector; ``postprocessing`` is the config's own choice where None."""
        from core.compression.statistics import measure_compression
        from core.compression.wrap import compress_detector, fake_quantize_operators, named_quantizers

        if self.nncf_config is None:
            raise NotRun("no nncf_config")
        self.compression = compress_detector(
            self.detector, {**self.nncf_config, "log_dir": str(self.folder / "log")}, data_loader=self.batches,
            postprocessing=self.postprocessing if postprocessing is None else postprocessing,
            strict=bool(self.config.get("nncf_strict", False)))
        self.network = self.compression.network
        level = measure_compression(self.compression.controller)
        points = len(named_quantizers(self.compression.controller))
        self.counts.update(points=points, fake_quantize=fake_quantize_operators(self.compression),
                           filters=level.filters, pruned_filters=level.pruned_filters)
        inside = "with" if self.compression.postprocessing else "without"
        seen = f"{points} quantizers, initialised on {IMAGES} images, {inside} post-processing in the graph"
        return f"{seen}: {self.compression.obstacle}" if self.compression.obstacle else seen

    def train_step(self) -> str:
        """Do one training step: the loss is finite, the weights move, and every quantizer runs."""
        import torch
        from mmcv.runner import EpochBasedRunner

        from core.compression.hooks import CompressionHook
        from core.detectors.building import build_optimizer, building
        from core.training.device import data_parallel
        from core.training.hooks import CheckLossHook

        self.network.train()
        trained = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        before = [parameter.detach().clone() for parameter in trained]
        bound_gradients(self.network)
        runner = EpochBasedRunner(data_parallel(self.network), optimizer=build_optimizer(
            self.network, self.config.optimizer), work_dir=str(self.folder), max_epochs=1, logger=_SILENT)
        runner.last_metrics = {}
        with building("optimizer hook", self.config):
            runner.register_optimizer_hook(copy.deepcopy(self.config.get("optimizer_config", {})))
        runner.register_hook(CheckLossHook(), priority="ABOVE_NORMAL")
        if self.compression is not None:
            # It fails where a quantizer did not take part.
            runner.register_hook(CompressionHook(self.compression), priority="HIGH")
        runner.run([self.batches[:1]], [("train", 1)])
        names = [name for name, parameter in self.network.named_parameters() if parameter.requires_grad]
        self.unmoved = [name for name, old, new in zip(names, before, trained) if torch.equal(old, new)]
        moved = len(trained) - len(self.unmoved)
        if not moved:
            raise RuntimeError("the optimizer step changed no parameter")
        self.counts.update(moved=moved, trained=len(trained))
        points = self.counts.get("points")
        ran = f"; all {points} quantizers ran" if points else ""
        return f"loss {runner.last_metrics['loss']:.4g}; {moved} of {len(trained)} trained tensors moved{ran}"

    def test_forward(self) -> str:
        """Detect in the images: every quantizer runs."""
        from core.compression.wrap import named_quantizers, recorded

        quantizers = named_quantizers(self.compression.controller) if self.compression is not None else []
        with recorded(quantizers) as calls:
            found = self.detect(self.network)
        ran = {name for name, _ in calls}
        missing = [name for name, _ in quantizers if name not in ran]
        if missing:
            raise RuntimeError(f"{len(missing)} of {len(quantizers)} quantizers did not run, such as {missing[0]}")
        self.counts["boxes"] = sum(len(array) for array in found)
        return f"{self.counts['boxes']} boxes" + (f"; all {len(quantizers)} quantizers ran" if quantizers else "")

    def compress(self) -> str:
        """Take compression to where the last epoch of the training has it."""
        from core.compression.config_check import epochs_of
        from core.compression.statistics import measure_compression
        from core.config.adapt import algorithms_of

        if self.compression is None:
            raise NotRun("no nncf_config")
        epochs = epochs_of(self.config) or 1
        self.compression.controller.scheduler.epoch_step(epochs - 1)
        seen = measure_compression(self.compression.controller)
        self.counts.update(filters=seen.filters, pruned_filters=seen.pruned_filters)
        if "filter_pruning" in algorithms_of(self.config) and not seen.pruned_filters:
            raise UserError("nncf_config", f"none of {seen.filters} filters is pruned in the last of {epochs} epochs",
                            "The schedule must reach its level before training ends, and what stays is rounded up to a "
                            "multiple of 8 filters.", "Lower pruning_steps, or raise the pruning level.")
        return f"in the last of {epochs} epochs: {seen}"

    def save(self) -> None:
        """Write the checkpoint that is restored and exported."""
        from core.checkpoint.checkpoint import save_checkpoint
        from core.training.snapshot import snapshot

        save_checkpoint(snapshot(self.config, self.dataset, self.network, self.compression, None), self.checkpoint)

    def restore(self) -> str:
        """Save and restore: raw heads and detections are identical, to the bit."""
        import numpy as np
        import torch

        from core.training.device import device
        from core.training.model import restore_detector

        heads, found = self.heads(self.detector, self.network), self.detect(self.network)
        self.save()
        restored = restore_detector(self.checkpoint, self.classes)
        network = restored.network.to(device())
        same = [torch.equal(old, new) for old, new in zip(heads, self.heads(restored.detector, network), strict=True)]
        same += [np.array_equal(old, new) for old, new in zip(found, self.detect(network), strict=True)]
        if not all(same):
            raise RuntimeError(f"{same.count(False)} of {len(same)} outputs of the model restored from its checkpoint "
                               "differ from those of the saved one")
        self.counts["outputs"] = len(same)
        return f"{self.checkpoint.stat().st_size / 1e6:.1f} MB; all {len(same)} outputs identical"

    def export(self) -> str:
        """Export to ONNX: standard operators with post-processing inside, and every FakeQuantize operator kept."""
        from core.compression.fake_quantize import load_onnx
        from core.detectors.registry import find_adapter
        from core.export.onnx import ONNX_FILE, ExportOptions, export_checkpoint

        spec = export_checkpoint(self.checkpoint, self.onnx, ExportOptions(dynamic_shape=self.dynamic_shape))
        nodes = load_onnx(self.onnx / ONNX_FILE).graph.node
        foreign = sorted({f"{node.domain}.{node.op_type}" for node in nodes if node.domain} - {_OPENVINO_OPERATOR})
        if foreign:
            raise RuntimeError(f"operators that are no standard ones: {', '.join(foreign)}")
        last = "NonMaxSuppression" if find_adapter(self.detector).suppresses else "TopK"
        if last not in {node.op_type for node in nodes}:
            raise RuntimeError(f"no {last}: post-processing is missing")
        self.counts["onnx_fake_quantize"] = spec.fake_quantize_nodes
        size = (self.onnx / ONNX_FILE).stat().st_size / 1e6
        return f"{spec.fake_quantize_nodes} FakeQuantize operators, {size:.1f} MB"

    def convert(self) -> str:
        """Convert to IR in the other environment and run it once."""
        if self.openvino_python is None:
            raise NotRun("no environment with OpenVINO found: set it up (make setup) or give --openvino-python")
        found = try_ir(self.openvino_python, self.onnx, self.folder / "ir")
        self.counts.update({f"ir_{name}": round(value) for name, value in found.items()})
        return (f"{found['fake_quantize_nodes']} FakeQuantize operators, {found['int8_weights']} int8 weights, "
                f"{found['size_mb']:.1f} MB; ran, {found['detections']} boxes")

    def detect(self, network: Any) -> list[Any]:
        """Return the arrays of boxes [N, 5] that ``network`` finds, over images and classes, masks left aside."""
        import torch

        from core.detectors.graph import image_metas
        from core.training.device import device

        image = _image(self.batches[0])
        with torch.no_grad():
            results = network.eval()(img=[image.to(device())], img_metas=[image_metas(image)], return_loss=False,
                                     rescale=True)
        return [array for result in results for array in (result[0] if isinstance(result, tuple) else result)]

    def heads(self, detector: Any, network: Any) -> list[Any]:
        """Return all tensors of the raw heads for the first images, in testing."""
        import torch

        from core.compression.tracing import tracing_forward
        from core.detectors.graph import forward_as
        from core.training.device import device

        with torch.no_grad(), forward_as(detector, tracing_forward(detector, False)):
            return list(tensors(network.eval()(_image(self.batches[0]).to(device()))))


def try_ir(python: Path, onnx: Path, ir: Path) -> dict[str, Any]:
    """Convert an exported model by ``core.openvino.trial`` in another environment and return what it says.

    Raises:
        UserError: It fails, with its last line, or gives no answer in time.
    """
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
    return json_object(done.stdout.splitlines()[-1])


def find_openvino_python(given: Path | None = None) -> Path | None:
    """Return the Python that can convert models: ``given``, which must run, else this one, where it has OpenVINO."""
    if given is not None:
        if not os.access(given, os.X_OK) or Path(given).is_dir():
            raise UserError("--openvino-python", given, "It must be a Python with openvino-dev.",
                            "Give such a Python, or leave the option out.")
        return Path(given)
    return Path(sys.executable) if importlib.util.find_spec("openvino") else None


def _image(batch: Any) -> Any:
    return batch["img"].data[0]
