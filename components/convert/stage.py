"""The convert stage."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.candidates import OfCandidate
from components.stage import Presence, Stage, input_artifact, output_artifact, parameter
from core.base.errors import UserError
from core.base.executor_output import ExecutorOutput

if TYPE_CHECKING:
    from core.data.dataset import Dataset


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Converts an ONNX model to OpenVINO IR."""

    onnx: Path = input_artifact("Model", "Folder that export wrote.", folder=True)
    of: OfCandidate
    ir: Path = output_artifact("Model", "Folder with model.xml, model.bin and spec.json.", folder=True)
    compress_to_fp16: bool = parameter("Whether to store weights that are not 8-bit as FP16.", False)
    data: dict[str, Any] = parameter("The resolved data set, for int8_mixed; else not read.", {},
                                     presence=Presence.OPTIONAL)
    mixed_map_drop: float = parameter("Largest loss of mAP that int8_mixed may have on the validation split.", 0.01,
                                      presence=Presence.OPTIONAL)


def convert(stage: Convert, output: ExecutorOutput) -> None:
    """Convert the model; write the IR. Of int8_mixed the layers that cost most are in FP32."""
    from core.base.outputs import write_text
    from core.compression.fake_quantize import load_onnx
    from core.data.dataset import open_dataset
    from core.data.reference import DataRef
    from core.export.spec import ModelSpec
    from core.openvino.ir import MODEL_API_NOTE, MODEL_ONNX, convert_to_ir, model_info
    from core.openvino.runtime import DECISION_FILE
    from core.results.outcome import Outcome

    mixed = bool(stage.of.candidate.get("mixed")) and Outcome.at(stage.onnx) is None
    # Not within the work: a store that does not answer is no fault of the candidate, whose outcome KFP would keep.
    dataset = open_dataset(DataRef.from_json(stage.data)) if mixed else None

    def write() -> None:
        stage.ir.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="mmdet-compress-mixed-") as folder:
            decision = _mixed(stage, dataset, Path(folder)) if dataset is not None else ""
            files = convert_to_ir(Path(folder) if decision else stage.onnx, stage.ir, stage.compress_to_fp16)
        if decision:
            write_text(stage.ir / DECISION_FILE, json.dumps(decision))
        note = model_info(ModelSpec.read(stage.ir))[MODEL_API_NOTE]
        if note:
            print(f"OpenVINO Model API finds nearly the same boxes, not the very same: {note}", flush=True)
        output.artifact("ir", {"fake_quantize_nodes": files.fake_quantize_nodes, "int8_weights": files.int8_weights,
                               "weights": "FP16" if stage.compress_to_fp16 else "FP32", "size_mb": files.size_mb})

    stage.of.work(stage, output, write, stage.onnx, fails_of=UserError,
                  check=lambda: (ModelSpec.read(stage.onnx), load_onnx(stage.onnx / MODEL_ONNX)))


def _mixed(stage: Convert, dataset: "Dataset", folder: Path) -> str:
    """Write the candidate's ONNX model again, with as few layers in FP32 as the limit takes; return what was decided.

    Raises:
        UserError: No trial kept the limit.
    """
    from core.openvino.mixed import mix_precision

    found = mix_precision(stage.onnx, folder, dataset, stage.mixed_map_drop)
    print(found.decision, flush=True)
    if not found.held:
        raise UserError("loss of mAP", "; ".join(map(str, found.trials)),
                        f"It must be at most {stage.mixed_map_drop:g}.",
                        "Train it (int8), or allow more: max_map_drop of the pipeline.")
    return found.decision


STAGE = Stage("convert", "openvino", Convert, convert)
