"""Where accuracy is lost: the same images through every form of the model, neighbours compared with each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.base.errors import UserError
from core.evaluation.agreement import Agreement, compare
from core.evaluation.coco_map import Scores, score_detections
from core.evaluation.detections import Detections
from core.evaluation.store import read_detections
from core.openvino.accuracy import Accuracy
from core.openvino.onnx_detector import NotForOnnxRuntime, OnnxDetector

if TYPE_CHECKING:
    from core.data.dataset import Split


class Step(StrEnum):
    """A form of the model on its way from the FP32 checkpoint to the compressed IR."""

    FP32_PYTORCH = "fp32_pytorch"
    FP32_ONNX = "fp32_onnx"
    """In onnxruntime."""
    FP32_IR = "fp32_ir"
    COMPRESSED_PYTORCH = "compressed_pytorch"
    COMPRESSED_ONNX = "compressed_onnx"
    """In onnxruntime, where the model has no FakeQuantize."""
    COMPRESSED_IR = "compressed_ir"


FP32_CHAIN = (Step.FP32_PYTORCH, Step.FP32_ONNX, Step.FP32_IR)
COMPRESSED_CHAIN = (Step.COMPRESSED_PYTORCH, Step.COMPRESSED_ONNX, Step.COMPRESSED_IR)


@dataclass(frozen=True)
class Sources:
    """What was measured or made before; None where it is not given.

    Args:
        detections_fp32: Detections of the FP32 checkpoint in PyTorch, as evaluate wrote them.
        detections_compressed: The same of the compressed checkpoint.
        onnx_fp32: Folder that export wrote of the FP32 checkpoint.
        onnx_compressed: The same of the compressed checkpoint.
    """

    detections_fp32: Path | None = None
    detections_compressed: Path | None = None
    onnx_fp32: Path | None = None
    onnx_compressed: Path | None = None


@dataclass(frozen=True)
class MeasuredStep:
    """One form of the model: what it found by image id, its scores, and the most it keeps of an image."""

    detections: dict[int, Detections]
    scores: Scores
    max_detections: int


@dataclass(frozen=True)
class Neighbours:
    """Two forms of the model that should find the same, or of which the second is the compressed one."""

    first: Step
    second: Step
    map_change: float
    agreement: Agreement


@dataclass(frozen=True)
class Waterfall:
    """All steps that could be measured.

    Args:
        steps: In the order of ``Step``.
        missing: Why each other step was not measured.
        neighbours: The pairs that were compared; the FP32 IR with the compressed one, which replaces it, is the last.
    """

    steps: dict[Step, MeasuredStep]
    missing: dict[Step, str]
    neighbours: tuple[Neighbours, ...]

    def to_json(self) -> dict[str, Any]:
        """Return metrics by step and agreement by pair as plain JSON values; without pictures."""
        return {"steps": {step.value: measured.scores.metrics.to_json() for step, measured in self.steps.items()},
                "missing": {step.value: reason for step, reason in self.missing.items()},
                "neighbours": [{"first": pair.first.value, "second": pair.second.value,
                                "map_change": _number(pair.map_change), **pair.agreement.to_json()}
                               for pair in self.neighbours]}


def build_waterfall(split: "Split", classes: Sequence[str], images: Mapping[int, str], irs: Mapping[Step, Accuracy],
                    sources: Sources) -> Waterfall:
    """Score what is given on the same images and compare neighbours.

    Args:
        split: The split that everything was measured on.
        classes: Class names in the order of the labels.
        images: Image id to file name, of the images that both IRs could read.
        irs: What the FP32 and the compressed IR found.
        sources: What else there is.

    Raises:
        UserError: Detections are of other images, or a file is damaged.
    """
    steps: dict[Step, MeasuredStep] = {}
    missing: dict[Step, str] = {}
    skipped = sorted(irs[Step.FP32_IR].skipped)
    given = {Step.FP32_PYTORCH: sources.detections_fp32, Step.COMPRESSED_PYTORCH: sources.detections_compressed,
             Step.FP32_ONNX: sources.onnx_fp32, Step.COMPRESSED_ONNX: sources.onnx_compressed}
    for step in Step:
        if step in irs:
            steps[step] = MeasuredStep(irs[step].detections, irs[step].scores, irs[step].max_detections)
            continue
        found, reason = _detections(step, given[step], split, images)
        if reason:
            missing[step] = reason
        else:
            ir = irs[Step.FP32_IR if step in FP32_CHAIN else Step.COMPRESSED_IR]
            steps[step] = MeasuredStep(found, score_detections(split.annotation_file, found, classes, skipped),
                                       ir.max_detections)
    return Waterfall(steps, missing, tuple(_compare(steps, first, second) for first, second in _pairs(steps)))


def _detections(step: Step, given: Path | None, split: "Split", images: Mapping[int, str]
                ) -> tuple[dict[int, Detections], str]:
    """Return what a step found in ``images``, or why it is not known."""
    if given is None:
        return {}, "not given"
    if step in (Step.FP32_ONNX, Step.COMPRESSED_ONNX):
        try:
            detector = OnnxDetector(given)
        except NotForOnnxRuntime as error:
            return {}, f"not loaded by onnxruntime: {error}"
        return detector.detect(dict(images), split, f"detecting ({step.value})"), ""
    found = read_detections(given)
    absent = sorted(set(images) - set(found))
    if absent:
        raise UserError("detections", f"{given} has none for image ids {absent[:5]} ({len(absent)} images)",
                        "They must be of the split that is validated.", "Run evaluate on the same data again.")
    return {number: found[number] for number in images}, ""


def _pairs(steps: Mapping[Step, MeasuredStep]) -> list[tuple[Step, Step]]:
    fp32, compressed = ([step for step in chain if step in steps] for chain in (FP32_CHAIN, COMPRESSED_CHAIN))
    pairs = [*zip(fp32, fp32[1:])]
    # The compression itself is best seen before any export.
    if Step.FP32_PYTORCH in steps and Step.COMPRESSED_PYTORCH in steps:
        pairs.append((Step.FP32_PYTORCH, Step.COMPRESSED_PYTORCH))
    return [*pairs, *zip(compressed, compressed[1:]), (Step.FP32_IR, Step.COMPRESSED_IR)]


def _compare(steps: Mapping[Step, MeasuredStep], first: Step, second: Step) -> Neighbours:
    before, after = steps[first], steps[second]
    return Neighbours(first, second, after.scores.metrics.map - before.scores.metrics.map,
                      compare(before.detections, after.detections, (before.max_detections, after.max_detections)))


def _number(value: float) -> float | None:
    return None if value != value else value
