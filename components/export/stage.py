"""The export stage."""

from dataclasses import dataclass
from pathlib import Path

from components.candidates import OfCandidate
from components.stage import Presence, Stage, input_artifact, output_artifact, parameter
from core.base.errors import UserError
from core.base.executor_output import ExecutorOutput


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The exported model's input."""

    dynamic_shape: bool = parameter("Whether the input's height and width may differ from image to image.", False)


@dataclass(frozen=True, kw_only=True)
class Export:
    """Exports a checkpoint to ONNX, with FakeQuantize where it is quantized."""

    checkpoint: Path = input_artifact("Model", "Plain or compressed checkpoint.")
    of: OfCandidate
    onnx: Path = output_artifact("Model", "Folder with model.onnx and spec.json.", folder=True)
    shape: Shape
    raw_heads: bool = parameter("Whether to end at the heads' outputs, without boxes and suppression.", False,
                                presence=Presence.OPTIONAL)


def export(stage: Export, output: ExecutorOutput) -> None:
    """Export the checkpoint; write the ONNX model and what is to be known of it."""
    from core.checkpoint.checkpoint import load_checkpoint
    from core.export.onnx import ExportOptions, export_checkpoint

    def write() -> None:
        stage.onnx.parent.mkdir(parents=True, exist_ok=True)
        options = ExportOptions(stage.shape.dynamic_shape, stage.raw_heads)
        spec = export_checkpoint(stage.checkpoint, stage.onnx, options)
        output.artifact("onnx", {"algorithms": list(spec.algorithms), "fake_quantize_nodes": spec.fake_quantize_nodes,
                                 "outputs": list(spec.outputs), "dynamic_shape": spec.dynamic})

    stage.of.work(stage, output, write, stage.checkpoint, fails_of=UserError,
                  check=lambda: load_checkpoint(stage.checkpoint))


STAGE = Stage("export", "train", Export, export)
