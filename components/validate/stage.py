"""The validate stage."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.stage import Stage, input_artifact, output_artifact, parameter
from core.base.executor_output import ExecutorOutput

EXIT_IMAGES_LEFT_OUT = 4


@dataclass(frozen=True, kw_only=True)
class Validate:
    """Measures accuracy and speed of both IRs in OpenVINO; judges nothing."""

    data: dict[str, Any] = parameter("The resolved data set.")
    ir_fp32: Path = input_artifact("Model", "IR of the FP32 model.", folder=True)
    ir_compressed: Path = input_artifact("Model", "IR of the compressed model.", folder=True)
    detections_fp32: Path | None = input_artifact("Artifact", "What evaluate found with the FP32 checkpoint.",
                                                  optional=True)
    detections_compressed: Path | None = input_artifact(
        "Artifact", "What evaluate found with the compressed checkpoint.", optional=True)
    onnx_fp32: Path | None = input_artifact("Model", "ONNX of the FP32 model.", folder=True, optional=True)
    onnx_compressed: Path | None = input_artifact("Model", "ONNX of the compressed model.", folder=True, optional=True)
    sensitivity: bool = parameter("Measure what compressing each part of the model costs; minutes.", False)
    validation: Path = output_artifact("Artifact", "Folder with metrics.json and pictures.", folder=True)


def validate(stage: Validate, output: ExecutorOutput) -> int:
    """Measure both IRs and write the validation; return ``EXIT_IMAGES_LEFT_OUT`` by hand where images are corrupt."""
    from core.data.dataset import open_dataset
    from core.data.reference import DataRef
    from core.openvino.validation import validate as measure
    from core.openvino.waterfall import ModelFiles

    dataset = open_dataset(DataRef.from_json(stage.data))
    stage.validation.parent.mkdir(parents=True, exist_ok=True)
    baseline = ModelFiles("FP32", stage.ir_fp32, stage.onnx_fp32, stage.detections_fp32)
    candidate = ModelFiles("compressed", stage.ir_compressed, stage.onnx_compressed, stage.detections_compressed)
    found = measure(dataset, baseline, [candidate], stage.validation, sensitivity=stage.sensitivity)
    for warning in found.warnings:
        print(f"validate: {warning}", flush=True)
    corrupt = found.corrupt_images
    for image in corrupt:
        print(f"validate: left out {image.image}: {image.reason}", file=sys.stderr, flush=True)
    # A failed task would lose its outputs in KFP; there the gate fails the run for images left out.
    return EXIT_IMAGES_LEFT_OUT if corrupt and output.by_hand else 0


STAGE = Stage("validate", "openvino", Validate, validate)
