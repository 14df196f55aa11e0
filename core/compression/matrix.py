"""Every detector with every algorithm, tried on random weights: ``python -m core.compression.matrix``.

The table in docs/detectors.md is what this program prints; nothing in it is written by hand.
"""

import argparse
import itertools
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core.base.cli import name_list, run_guarded
from core.base.errors import UserError
from core.base.supervision import end_with_this_process, run_command
from core.compression.matrix_summary import AS_WITHOUT, FAILED, write_summary
from core.compression.trials import Batches, NotRun, bound_gradients, tensors, wake

PROGRAM = "python -m core.compression.matrix"
REPOSITORY = Path(__file__).resolve().parents[2]
CONFIGS = REPOSITORY / "configs" / "nncf_compression"
ALGORITHMS = ("int8", "pruning", "int8_pruning", "sparsity", "int8_sparsity")
# Pascal VOC's; the configs' own num_classes is COCO's 80.
CLASSES = ("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
           "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor")
IMAGES = 4
BATCH = 2
SEED = 0
ROW_SECONDS = 3600
EXIT_LEFT = 3
MAX_GRADIENT = 35.0
PRUNED_SHARE = 0.4

# Height and width that keep a trial short: SSD300's extra layers need its own size, SSDLite's last map is 1x1 at
# half of its, the strides of the others want multiples of 32. The number of quantization points does not depend on it.
TRIAL_SIZES: dict[str, tuple[int, int]] = {
    "atss_r50": (128, 160), "faster_rcnn_r50": (128, 160), "fcos_r50": (128, 160), "mask_rcnn_r50": (128, 160),
    "retinanet_r18": (128, 160), "retinanet_r18_small": (64, 64), "retinanet_r50": (128, 160), "ssd300": (300, 300),
    "ssdlite_mobilenetv2": (160, 160), "yolov3_darknet53": (128, 128), "yolov3_mobilenetv2": (128, 128),
    "yolox_s": (128, 128), "yolox_tiny": (128, 128)}
# Proposals of a two-stage detector in a trial; a thousand of them say no more.
PROPOSALS = 50

REFERENCE_COUNTS = ("points_without", "points_with", "fake_quantize_without", "fake_quantize_with", "filters",
                    "pruned_filters")

OK, NOT_RUN, NOT_REACHED = "ok", "not run", "-"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cell:
    """What came of one stage: an outcome, and what was seen or the reason."""

    outcome: str
    seen: str = ""

    def __str__(self) -> str:
        return self.seen if self.outcome == OK and self.seen else self.outcome


@dataclass
class Row:
    """One detector with one algorithm.

    Attributes:
        detector: Folder below configs/nncf_compression.
        algorithm: Config in that folder.
        config: Digest of the resolved config; a row of another one is out of date.
        cells: Stage to what came of it, in order.
        counts: What tests compare: quantization points and FakeQuantize operators with and without post-processing,
            filters and pruned filters.
        seconds: Wall-clock time of the trial.
    """

    detector: str
    algorithm: str
    config: str = ""
    cells: dict[str, Cell] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether no stage failed."""
        return all(cell.outcome != FAILED for cell in self.cells.values())

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Row":
        """Return what ``to_json`` gave."""
        cells = {stage: Cell(**cell) for stage, cell in values["cells"].items()}
        return cls(**{**values, "cells": cells})


def trial_config(detector: str, algorithm: str) -> Any:
    """Return the mmcv Config of a detector and an algorithm, made small: input, initialisation, proposals.

    Pruning starts at its final level, which the schedule would reach in later epochs.

    Raises:
        UserError: There is no such config.
    """
    from core.config.adapt import set_classes
    from core.config.loading import load_config

    config = load_config(CONFIGS / detector / f"{algorithm}.py")
    set_classes(config, CLASSES)
    height, width = TRIAL_SIZES[detector]
    resize_input(config, height, width)
    for part in _compression_parts(config):
        for initializer in part.get("initializer", {}).values():
            initializer.update({key: BATCH for key in initializer})
        if part["algorithm"] == "filter_pruning":
            part["pruning_init"] = part["params"]["pruning_target"] = PRUNED_SHARE
    _lower_thresholds(config.model)
    return config


def resize_input(config: Any, height: int, width: int) -> None:
    """Give a config's network an input of this size, in training, testing and compression."""
    config.nncf_config["input_info"]["sample_size"] = [1, 3, height, width]
    config.data.update(samples_per_gpu=BATCH, workers_per_gpu=0)
    for step in itertools.chain(config.data.train.pipeline, config.data.test.pipeline,
                                config.data.test.pipeline[-1].transforms):
        if "img_scale" in step:
            step.update(img_scale=(width, height))
            step.pop("multiscale_mode", None)
        if step["type"] == "Pad":
            step.update(size=(height, width))
            step.pop("size_divisor", None)
    if config.model.type == "YOLOX":
        config.model.update(input_size=(height, width), random_size_range=(height // 32, height // 32))


def _compression_parts(config: Any) -> list[Any]:
    compression = config.nncf_config["compression"]
    return compression if isinstance(compression, list) else [compression]


def _lower_thresholds(model: Any) -> None:
    """Let random weights find something, and a two-stage detector not much."""
    test = model.test_cfg
    if "rcnn" in test:
        test.rcnn.score_thr = 0.0
        for proposals in (test.rpn, model.train_cfg.rpn_proposal):
            proposals.update(nms_pre=4 * PROPOSALS, max_per_img=PROPOSALS)
        model.train_cfg.rcnn.sampler.num = PROPOSALS
        return
    # Their scores are products of two, of which one begins at a hundredth or less.
    test.score_thr = 1e-5 if model.type in ("YOLOX", "YOLOV3") else 1e-3
    if "conf_thr" in test:
        test.conf_thr = 1e-4


class Trial:
    """One detector with one algorithm on its way; a stage leaves what the next one needs.

    Args:
        config: See ``trial_config``; one config serves one trial.
        folder: Where data, checkpoint and models go.
        openvino_python: Python that converts to IR; None leaves that stage out.
    """

    def __init__(self, config: Any, folder: Path, openvino_python: Path | None = None) -> None:
        from core.compression.synthetic import write_dataset
        from core.config.adapt import nncf_config_of, set_data
        from core.training.samples import train_loader

        self.config, self.folder, self.openvino_python = config, folder, openvino_python
        self.nncf_config = {**nncf_config_of(config), "log_dir": str(folder / "log")}
        self.dataset = write_dataset(folder / "data", CLASSES, IMAGES)
        set_data(config, self.dataset)
        self.batches = Batches(train_loader(config, self.dataset, SEED), BATCH)
        self.counts: dict[str, int] = {}
        self.compression: Any = None
        self.detector: Any = None

    def stages(self) -> tuple[tuple[str, Callable[[], str]], ...]:
        """Return names and functions of the stages; a function returns what it saw, and raises where it fails."""
        return (("without post-processing", self.without_postprocessing),
                ("with post-processing", self.with_postprocessing), ("train step", self.train_step),
                ("test forward", self.test_forward), ("resume", self.resume), ("ONNX", self.export),
                ("IR", self.convert), ("parameters", self.parameters))

    def without_postprocessing(self) -> str:
        """Wrap with nncf_compress_postprocessing=False; where there are quantizers, train one step and test."""
        seen = self.wrap(False)
        if self.counts["points_without"]:
            self.train_step()
            self.test_forward()
        return seen

    def with_postprocessing(self) -> str:
        """Wrap with nncf_compress_postprocessing=True; what follows goes on with that."""
        seen = self.wrap(True)
        return f"{seen} ({AS_WITHOUT}: {self.compression.obstacle})" if self.compression.obstacle else seen

    def wrap(self, postprocessing: bool) -> str:
        """Build the detector anew with random weights and wrap it; record its quantization points."""
        from mmdet.apis import set_random_seed

        from core.compression.statistics import measure_compression
        from core.compression.wrap import compress_detector, fake_quantize_operators, named_quantizers
        from core.detectors.building import build_detector
        from core.detectors.initialising import initialise_at_random

        set_random_seed(SEED)
        self.detector = build_detector(self.config)
        self.detector.CLASSES = CLASSES
        initialise_at_random(self.detector)
        wake(self.detector)
        self.counts["parameters"] = _parameters(self.detector)
        self.compression = compress_detector(self.detector, self.nncf_config, data_loader=self.batches,
                                             postprocessing=postprocessing)
        points = len(named_quantizers(self.compression.controller))
        setting = "with" if postprocessing else "without"
        self.counts[f"points_{setting}"] = points
        self.counts[f"fake_quantize_{setting}"] = fake_quantize_operators(self.compression)
        level = measure_compression(self.compression.controller)
        self.counts.update(filters=level.filters, pruned_filters=level.pruned_filters)
        seen = [f"{points} points"] if points else []
        seen += [f"{level.pruned_filters} of {level.filters} filters"] if level.filters else []
        return ", ".join(seen)

    def train_step(self) -> str:
        """Do one training step: every quantizer runs, the loss is finite and the weights move."""
        import torch

        from core.detectors.building import build_optimizer
        from core.training.device import data_parallel

        network = self.compression.network
        network.train()
        weights = {name: value.detach().clone() for name, value in network.named_parameters() if value.requires_grad}
        bound_gradients(network)
        optimizer = build_optimizer(network, self.config.optimizer)
        with _expect_all(self.compression.controller) as ran:
            loss = data_parallel(network).train_step(self.batches[0], optimizer)["loss"]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(network.parameters()), MAX_GRADIENT)
        optimizer.step()
        if not torch.isfinite(loss):
            raise RuntimeError(f"the loss is {float(loss)}")
        now = dict(network.named_parameters())
        moved = sum(not torch.equal(value, now[name]) for name, value in weights.items())
        if not moved:
            raise RuntimeError("the optimizer step changed no weight")
        return _all_ran(ran, f"{moved} of {len(weights)} tensors moved")

    def test_forward(self) -> str:
        """Detect in the images: every quantizer runs."""
        with _expect_all(self.compression.controller) as ran:
            found = self._detect(self.compression.network)
        return _all_ran(ran, f"{sum(len(array) for array in found)} boxes")

    def resume(self) -> str:
        """Save and restore: raw heads and detections are identical."""
        import numpy as np
        import torch

        from core.checkpoint.checkpoint import save_checkpoint
        from core.training.model import restore_detector
        from core.training.snapshot import snapshot

        heads, found = self._heads(self.detector, self.compression.network), self._detect(self.compression.network)
        save_checkpoint(snapshot(self.config, self.dataset, self.compression.network, self.compression, None),
                        self._checkpoint)
        restored = restore_detector(self._checkpoint, CLASSES)
        same = [torch.equal(old, new) for old, new in zip(heads, self._heads(restored.detector, restored.network))]
        same += [np.array_equal(old, new) for old, new in zip(found, self._detect(restored.network))]
        if not all(same):
            raise RuntimeError(f"{same.count(False)} of {len(same)} outputs differ after restoring")
        return f"{len(same)} outputs identical"

    def export(self) -> str:
        """Export to ONNX with post-processing inside and every FakeQuantize operator kept."""
        from core.export.fake_quantize import load_onnx
        from core.export.onnx import ONNX_FILE, export_checkpoint

        spec = export_checkpoint(self._checkpoint, self._onnx)
        nodes = load_onnx(self._onnx / ONNX_FILE).graph.node
        foreign = sorted({f"{node.domain}.{node.op_type}" for node in nodes} - {"org.openvinotoolkit.FakeQuantize"})
        foreign = [name for name in foreign if not name.startswith(".")]
        if foreign:
            raise RuntimeError(f"operators that are no standard ones: {', '.join(foreign)}")
        if "NonMaxSuppression" not in {node.op_type for node in nodes}:
            raise RuntimeError("no NonMaxSuppression: post-processing is missing")
        return f"{spec.fake_quantize_nodes} FakeQuantize" if spec.fake_quantize_nodes else "standard operators"

    def convert(self) -> str:
        """Convert to IR in the other environment and run it once."""
        if self.openvino_python is None:
            raise NotRun("no environment with OpenVINO")
        self.counts.update(_convert(self.openvino_python, self._onnx, self.folder / "ir"))
        size = self.counts["ir_bytes"] / 1e6
        if self.counts["ir_bytes_before"] != self.counts["ir_bytes"]:
            return f"{self.counts['ir_bytes_before'] / 1e6:.1f} -> {size:.1f} MB, {self.counts['ir_boxes']} boxes"
        return f"{size:.1f} MB, {self.counts['ir_boxes']} boxes"

    def parameters(self) -> str:
        """Count the parameters before and after pruned filters are gone."""
        from core.export.onnx import prepare_for_export

        if not self.counts["filters"]:
            return f"{self.counts['parameters'] / 1e6:.2f} M"
        if self.counts.get("points_with"):
            raise NotRun("filters stay as zeros beside quantization until the IR")
        prepare_for_export(self.compression)
        self.counts["parameters_pruned"] = _parameters(self.detector)
        return f"{self.counts['parameters'] / 1e6:.2f} -> {self.counts['parameters_pruned'] / 1e6:.2f} M"

    @property
    def _checkpoint(self) -> Path:
        return self.folder / "checkpoint.pth"

    @property
    def _onnx(self) -> Path:
        return self.folder / "onnx"

    def _image(self) -> Any:
        return self.batches[0]["img"].data[0]

    def _detect(self, network: Any) -> list[Any]:
        """Return the arrays of boxes [N, 5] that ``network`` finds, over images and classes, masks left aside."""
        import torch

        from core.compression.tracing import image_metas

        with torch.no_grad():
            results = network.eval()(img=[self._image()], img_metas=[image_metas(self._image())], return_loss=False,
                                     rescale=True)
        return [array for result in results for array in (result[0] if isinstance(result, tuple) else result)]

    def _heads(self, detector: Any, network: Any) -> list[Any]:
        import torch

        from core.compression.tracing import forward_as, tracing_forward

        with torch.no_grad(), forward_as(detector, tracing_forward(detector, False)):
            return list(tensors(network.eval()(self._image())))


class _expect_all:
    """Notes which quantizers of a controller run within the block; gives the list of all and of those that ran."""

    def __init__(self, controller: Any) -> None:
        from core.compression.wrap import named_quantizers

        self._quantizers = named_quantizers(controller)
        self.ran: dict[str, bool] = {name: False for name, _ in self._quantizers}

    def __enter__(self) -> dict[str, bool]:
        self._handles = [quantizer.register_forward_hook(self._mark(name)) for name, quantizer in self._quantizers]
        return self.ran

    def __exit__(self, *error: Any) -> None:
        for handle in self._handles:
            handle.remove()

    def _mark(self, name: str) -> Callable[..., None]:
        def mark(module: Any, inputs: Any, output: Any) -> None:
            self.ran[name] = True
        return mark


def _all_ran(ran: dict[str, bool], seen: str) -> str:
    missing = [name for name, did in ran.items() if not did]
    if missing:
        raise RuntimeError(f"{len(missing)} of {len(ran)} quantizers did not run, such as {missing[0]}")
    return f"{len(ran)}/{len(ran)}" if ran else seen


def _parameters(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


_CONVERT = """
import json, sys
from pathlib import Path
from core.openvino.ir import describe_ir
from core.openvino.trial import try_ir
trial, files = try_ir(Path(sys.argv[1]), Path(sys.argv[2])), describe_ir(Path(sys.argv[2]))
print(json.dumps({"ir_fake_quantize": trial.fake_quantize_nodes, "ir_int8_weights": trial.int8_weights,
                  "ir_boxes": trial.detections, "ir_bytes": round(files.weights_mb * 1e6),
                  "ir_bytes_before": round(files.weights_mb_before * 1e6), "ir_channels": files.channels,
                  "ir_channels_before": files.channels_before}))
"""


def _convert(python: Path, onnx: Path, ir: Path) -> dict[str, int]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run([str(python), "-c", _CONVERT, str(onnx), str(ir)], env=environment, cwd=str(REPOSITORY),
                          capture_output=True, text=True, timeout=ROW_SECONDS, preexec_fn=end_with_this_process())
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"ended with code {done.returncode}"])[-1])
    return json.loads(done.stdout.strip().splitlines()[-1])


def config_digest(detector: str, algorithm: str) -> str:
    """Return the digest of a detector's resolved config for an algorithm."""
    from core.config.fingerprint import config_to_text, json_digest
    from core.config.loading import load_config

    return json_digest(config_to_text(load_config(CONFIGS / detector / f"{algorithm}.py")))


def run_row(detector: str, algorithm: str, openvino_python: Path | None = None) -> Row:
    """Try one detector with one algorithm in this process; stages after a failed one are not reached."""
    started, row = time.perf_counter(), Row(detector, algorithm, config_digest(detector, algorithm))
    with tempfile.TemporaryDirectory(prefix="mmdet-compress-matrix-") as folder:
        trial = Trial(trial_config(detector, algorithm), Path(folder), openvino_python)
        failed = False
        for stage, attempt in trial.stages():
            row.cells[stage] = Cell(NOT_REACHED) if failed else _attempt(attempt)
            failed = failed or row.cells[stage].outcome == FAILED
        row.counts = trial.counts
    row.seconds = round(time.perf_counter() - started, 1)
    return row


def _attempt(attempt: Callable[[], str]) -> Cell:
    try:
        return Cell(OK, attempt())
    except NotRun as reason:
        return Cell(NOT_RUN, str(reason))
    except Exception as error:  # Whatever a detector does not survive is what the matrix is to show.
        logger.warning("a stage failed", exc_info=True)
        return Cell(FAILED, " ".join(f"{type(error).__name__}: {error}".split())[:300])


def run_row_apart(detector: str, algorithm: str, openvino_python: Path | None = None) -> Row:
    """Try one detector with one algorithm in a process of its own, so that none can harm another."""
    command = [sys.executable, "-m", "core.compression.matrix", "--row", detector, algorithm]
    if openvino_python is not None:
        command += ["--openvino-python", str(openvino_python)]
    done = subprocess.run(command, cwd=str(REPOSITORY), capture_output=True, text=True, timeout=ROW_SECONDS,
                          preexec_fn=end_with_this_process())
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [""])[-1]
        reason = f"ended with code {done.returncode}: {last[:300]}"
        return Row(detector, algorithm, cells={"process": Cell(FAILED, reason)})
    return Row.from_json(json.loads(done.stdout.strip().splitlines()[-1]))


def markdown(rows: Sequence[Row], versions: dict[str, str], left: int = 0) -> str:
    """Return the table of ``rows`` as Markdown, every outcome that is not ok explained below it.

    ``left`` is the number of rows that are not tried yet.
    """
    stages = list(dict.fromkeys(stage for row in rows for stage in row.cells))
    lines = [f"| detector | algorithm | {' | '.join(stages)} |", "|---|---|" + "---|" * len(stages)]
    notes: list[str] = []
    for row in rows:
        cells = [_shown(row.cells.get(stage, Cell(NOT_REACHED)), notes) for stage in stages]
        lines.append(f"| {row.detector} | {row.algorithm} | {' | '.join(cells)} |")
    text = _INTRODUCTION.format(program=PROGRAM, versions=", ".join(f"{name} {version}" for name, version
                                                                    in sorted(versions.items())))
    text += "\n".join(lines) + "\n"
    if left:
        text += f"\n{left} rows are not tried yet: the same command goes on with them.\n"
    return text + "".join(f"\n[{number}] {note}\n" for number, note in enumerate(notes, 1))


_INTRODUCTION = """# Detectors and algorithms

Made by a command, never by hand: `{program} --rows docs/detectors.json --output docs/detectors.md
--readme README.md`. A row builds the detector with random weights for Pascal VOC's classes at a small input, wraps it
by its config in `configs/nncf_compression/`, and goes all the way. {versions}.

- *without* and *with post-processing*: wrapped with `nncf_compress_postprocessing` False and True; quantization points,
  or pruned of all filters. Without, a train step and a test forward of the quantizers are part of it. What follows goes
  on from *with*.
- *train step*: one optimizer step changes the weights; quantizers that ran of all. *test forward*: the same in testing.
- *resume*: saved and restored, raw heads and detections are identical, to the bit.
- *ONNX*: standard operators with post-processing inside, and as many FakeQuantize operators as PyTorch needs (where
  branches meet in a concatenation one point has several). *IR*: converted and run; megabytes of weights, and where
  pruned filters were removed beside quantization, before and after.
- *parameters* in millions, before and after pruned filters are gone.

"""


def _shown(cell: Cell, notes: list[str]) -> str:
    text, _, aside = str(cell).partition(" (")
    reason = aside[:-1] if aside else (cell.seen if cell.outcome != OK else "")
    if not reason:
        return text
    if reason not in notes:
        notes.append(reason)
    return f"{text} [{notes.index(reason) + 1}]"


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description="Try detectors with algorithms on random weights, from wrapping to a running IR. "
        f"Exit code 0: all went well, 1: a stage failed, {EXIT_LEFT}: --minutes are over.")
    parser.add_argument("--detectors", metavar="NAMES", type=name_list, default=list(TRIAL_SIZES),
                        help="folders of configs/nncf_compression between commas (default: all)")
    parser.add_argument("--algorithms", metavar="NAMES", type=name_list, default=list(ALGORITHMS),
                        help=f"of {', '.join(ALGORITHMS)}; those a detector has no config of are left out "
                        "(default: all)")
    parser.add_argument("--counts", metavar="FILE", type=Path, default=None,
                        help="write the quantization points and filters as the tests keep them")
    parser.add_argument("--output", metavar="FILE", type=Path, action="append", default=[],
                        help="where the table goes, .md or .json; may be repeated (default: Markdown to the terminal)")
    parser.add_argument("--readme", metavar="FILE", type=Path, default=None,
                        help="Markdown file in which the summary of a complete table is replaced")
    parser.add_argument("--rows", metavar="FILE", type=Path, default=None,
                        help="JSON of rows, written after each and read at the start: those without a failure whose "
                        "config has not changed are not tried again")
    parser.add_argument("--minutes", metavar="N", type=float, default=None,
                        help="begin no row after so many minutes; the same command again goes on (needs --rows)")
    parser.add_argument("--openvino-python", metavar="FILE", type=Path, default=None,
                        help="Python with openvino-dev (default: this one)")
    parser.add_argument("--row", metavar=("DETECTOR", "ALGORITHM"), nargs=2, default=None, help=argparse.SUPPRESS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_guarded(PROGRAM, lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    from core.compression.preflight import find_openvino_python
    from core.config.keys import did_you_mean

    python = find_openvino_python(arguments.openvino_python)
    if arguments.row is not None:
        print(json.dumps(run_row(*arguments.row, python).to_json()))
        return 0
    for option, given, known in (("--detectors", arguments.detectors, TRIAL_SIZES),
                                 ("--algorithms", arguments.algorithms, ALGORITHMS)):
        for name in given:
            if name not in known:
                raise UserError(option, name, f"It is one of {', '.join(known)}.",
                                did_you_mean(name, known, "Choose from these."))
    rows = _read_rows(arguments.rows)
    left = [pair for pair in itertools.product(arguments.detectors, arguments.algorithms)
            if (CONFIGS / pair[0] / f"{pair[1]}.py").is_file() and not _is_done(rows.get(pair), *pair)]
    started = time.monotonic()
    while left and (arguments.minutes is None or time.monotonic() - started < 60 * arguments.minutes):
        detector, algorithm = left.pop(0)
        row = rows[detector, algorithm] = run_row_apart(detector, algorithm, python)
        print(f"{detector} {algorithm}: {'ok' if row.ok else 'FAILED'} in {row.seconds:.0f} s", file=sys.stderr)
        # After every row: an hour's work is not lost with the last one.
        for output in [*arguments.output, *([arguments.rows] if arguments.rows else [])]:
            output.write_text(_text(list(rows.values()), output.suffix, len(left)))
    for output in arguments.output:
        output.write_text(_text(list(rows.values()), output.suffix, len(left)))
    if left:
        print(f"{len(left)} rows are left: start again to go on", file=sys.stderr)
        return EXIT_LEFT
    if arguments.readme is not None:
        write_summary(arguments.readme, _sorted(rows.values()))
    if arguments.counts is not None:
        arguments.counts.write_text(json.dumps(reference_counts(list(rows.values())), indent=1, sort_keys=True) + "\n")
    if not arguments.output:
        print(_text(list(rows.values()), ".md"))
    return 0 if all(row.ok for row in rows.values()) else 1


def _read_rows(path: Path | None) -> dict[tuple[str, str], Row]:
    if path is None or not path.exists():
        return {}
    try:
        rows = [Row.from_json(values) for values in json.loads(path.read_text())]
    except (ValueError, TypeError, KeyError) as error:
        raise UserError("--rows", path, f"It holds no rows of this program ({error}).",
                        "Remove the file to begin anew.") from error
    return {(row.detector, row.algorithm): row for row in rows}


def _is_done(row: Row | None, detector: str, algorithm: str) -> bool:
    return row is not None and row.ok and row.config == config_digest(detector, algorithm)


def reference_counts(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, int]]]:
    """Return detector to algorithm to the counts that only a decision may change."""
    kept: dict[str, dict[str, dict[str, int]]] = {}
    for row in rows:
        kept.setdefault(row.detector, {})[row.algorithm] = {
            name: row.counts[name] for name in REFERENCE_COUNTS if name in row.counts}
    return kept


def _sorted(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row.detector, ALGORITHMS.index(row.algorithm)))


def _text(rows: list[Row], suffix: str, left: int = 0) -> str:
    from core.checkpoint.versions import versions
    from core.compression.nncf_import import import_nncf

    rows = _sorted(rows)
    if suffix == ".json":
        return json.dumps([row.to_json() for row in rows], indent=1) + "\n"
    import_nncf()
    return markdown(rows, versions(), left)


if __name__ == "__main__":
    sys.exit(run_command(PROGRAM, main))
