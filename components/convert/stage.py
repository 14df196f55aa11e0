"""The convert stage."""

from dataclasses import dataclass
from pathlib import Path

from components.candidates import OfCandidate
from components.stage import Stage, input_artifact, output_artifact, parameter
from core.base.errors import UserError
from core.base.executor_output import ExecutorOutput


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Converts an ONNX model to OpenVINO IR."""

    onnx: Path = input_artifact("Model", "Folder that export wrote.", folder=True)
    of: OfCandidate
    ir: Path = output_artifact("Model", "Folder with model.xml, model.bin and spec.json.", folder=True)
    compress_to_fp16: bool = parameter("Whether to store weights that are not 8-bit as FP16.", False)


def convert(stage: Convert, output: ExecutorOutput) -> None:
    """Convert the model; write the IR."""
    from core.export.spec import ModelSpec
    from core.openvino.ir import MODEL_API_NOTE, convert_to_ir, model_info

    def write() -> None:
        stage.ir.parent.mkdir(parents=True, exist_ok=True)
        files = convert_to_ir(stage.onnx, stage.ir, stage.compress_to_fp16)
        note = model_info(ModelSpec.read(stage.ir))[MODEL_API_NOTE]
        if note:
            print(f"OpenVINO Model API finds nearly the same boxes, not the very same: {note}", flush=True)
        output.artifact("ir", {"fake_quantize_nodes": files.fake_quantize_nodes, "int8_weights": files.int8_weights,
                               "weights": "FP16" if stage.compress_to_fp16 else "FP32", "size_mb": files.size_mb})

    stage.of.work(stage, output, write, stage.onnx, fails_of=UserError)


STAGE = Stage("convert", "openvino", Convert, convert)
