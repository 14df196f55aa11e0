"""The validate stage."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.report.stage import BASELINE
from components.stage import Presence, Stage, collected_artifact, input_artifact, output_artifact, parameter
from core.base.executor_output import ExecutorOutput

EXIT_IMAGES_LEFT_OUT = 4


@dataclass(frozen=True, kw_only=True)
class Validate:
    """Measures accuracy and speed of all IRs in OpenVINO, in turns; judges nothing."""

    data: dict[str, Any] = parameter("The resolved data set.")
    ir_fp32: Path = input_artifact("Model", "IR of the FP32 model.", folder=True)
    ir_candidates: dict[str, Path] = collected_artifact("Model", "IRs of the candidates.", folder=True)
    detections_fp32: Path | None = input_artifact("Artifact", "What evaluate found with the FP32 checkpoint.",
                                                  optional=True)
    detections_candidates: dict[str, Path] = collected_artifact(
        "Artifact", "What evaluate found with the candidates' checkpoints.")
    onnx_fp32: Path | None = input_artifact("Model", "ONNX of the FP32 model.", folder=True, optional=True)
    onnx_candidates: dict[str, Path] = collected_artifact("Model", "ONNX of the candidates.", folder=True)
    digests: list[str] = parameter("SHA-256 of the candidates' checkpoints, for KFP's cache.", [],
                                   presence=Presence.OPTIONAL)
    sensitivity: bool = parameter("Measure what compressing each part of the model costs; minutes.", False)
    validation: Path = output_artifact("Artifact", "Folder with metrics.json and pictures.", folder=True)


def validate(stage: Validate, output: ExecutorOutput) -> int:
    """Measure all IRs and write the validation; return ``EXIT_IMAGES_LEFT_OUT`` by hand where images are corrupt."""
    from core.data.dataset import open_dataset
    from core.data.reference import DataRef
    from core.openvino.validation import validate as measure
    from core.openvino.waterfall import ModelFiles
    from core.results.outcome import Outcome

    dataset = open_dataset(DataRef.from_json(stage.data))
    stage.validation.parent.mkdir(parents=True, exist_ok=True)
    # One that failed in evaluate alone has an IR: quantizers make numbers of NaN.
    failed = {name: outcome for name, ir in stage.ir_candidates.items()
              if (outcome := Outcome.at(ir) or Outcome.at(stage.detections_candidates.get(name, ir)))}
    baseline = ModelFiles(BASELINE, stage.ir_fp32, stage.onnx_fp32, stage.detections_fp32)
    candidates = [ModelFiles(name, ir, stage.onnx_candidates.get(name), stage.detections_candidates.get(name))
                  for name, ir in stage.ir_candidates.items() if name not in failed]
    found = measure(dataset, baseline, candidates, stage.validation, sensitivity=stage.sensitivity,
                    failed=tuple(failed.values()))
    for outcome in found.failed:
        print(f"validate: left out {outcome.candidate}, which failed in {outcome.stage}: {outcome.reason}", flush=True)
    for warning in found.warnings:
        print(f"validate: {warning}", flush=True)
    corrupt = found.corrupt_images
    for image in corrupt:
        print(f"validate: left out {image.image}: {image.reason}", file=sys.stderr, flush=True)
    # A failed task would lose its outputs in KFP; there the gate fails the run for images left out.
    return EXIT_IMAGES_LEFT_OUT if corrupt and output.by_hand else 0


STAGE = Stage("validate", "openvino", Validate, validate)
