"""Measurements, logs and pictures like those of a real run, made on the fly."""

import copy
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from core.config.reference import ConfigRef
from core.data.reference import DataRef
from core.report.build import ReportInputs
from core.report.gate import Thresholds

DIGEST = "da7a" * 16
BLOOD_CELLS = ("RBC", "WBC", "Platelets")


def accuracy(value: float, classes: Sequence[str], images: int = 72) -> dict[str, Any]:
    spread = {name: round(min(1.0, max(0.0, value + 0.12 * math.sin(2.1 * index))), 4)
              for index, name in enumerate(classes)}
    return {"map": value, "map50": round(1 - (1 - value) ** 2.6, 4), "map75": round(value * 0.9, 4), "map_small": None,
            "map_medium": value, "map_large": value, "ar100": round(value * 1.3, 4), "per_class_ap": spread,
            "images": images, "detections": 900}


def evaluation(value: float, classes: Sequence[str], checkpoint: str, compressed: bool) -> dict[str, Any]:
    return {"schema": 1, "kind": "pytorch", "metrics": accuracy(value, classes), "seconds": 41.5, "corrupt_images": [],
            "model": {"checkpoint_sha256": checkpoint, "algorithms": ["quantization"] if compressed else [],
                      "nncf_config_sha256": "c0f1" * 16 if compressed else ""},
            "versions": {"torch": "1.8.1", "mmdet": "2.28.2", "mmcv": "1.7.2", "nncf": "2.0.0"}, "data_digest": DIGEST}


def ir(value: float, classes: Sequence[str], compressed: bool) -> dict[str, Any]:
    speed = {"fps": 213.9, "latency_ms_p50": 9.02, "size_mb": 3.94} if compressed else \
        {"fps": 91.2, "latency_ms_p50": 21.13, "size_mb": 14.21}
    letter = "c" if compressed else "f"
    left = [{"name": "/bbox_head/retina_cls/Conv", "precision": "f32", "primitive": "jit_avx2_f32", "flops": 150,
             "share": 0.015}]
    return {"metrics": accuracy(value, classes), **speed, "xml_sha256": f"{letter}0" * 32,
            "bin_sha256": f"{letter}1" * 32, "fake_quantize_nodes": 81 if compressed else 0, "seconds": 1.2,
            "throughput": hint("THROUGHPUT", speed["fps"]), "latency": hint("LATENCY", 0.6 * speed["fps"]),
            "execution": {"layers": 55, "int8_share": 0.985 if compressed else 0.0, "not_int8": left},
            "structure": {"parameters": 3590000, "nonzero": 3580000, "flops": 1200000000, "channels": 4096}}


def hint(name: str, fps: float) -> dict[str, Any]:
    times = {"median": 1000 / fps, "p90": 1100 / fps, "p99": 1500 / fps, "min": 900 / fps, "max": 3000 / fps}
    return {"hint": name, "fps": fps, "fps_repeats": [0.97 * fps, fps, 1.02 * fps], "latency_ms": times,
            "inferences": 900, "compile_ms": 212.0, "first_inference_ms": 13.0, "streams": 2, "requests": 2,
            "threads": 2, "batch": 1}


def waterfall(maps: tuple[float, float, float, float], classes: Sequence[str]) -> dict[str, Any]:
    names = ("fp32_pytorch", "compressed_pytorch", "fp32_ir", "compressed_ir")
    pairs = (("fp32_pytorch", "fp32_ir"), ("fp32_pytorch", "compressed_pytorch"),
             ("compressed_pytorch", "compressed_ir"), ("fp32_ir", "compressed_ir"))
    values = dict(zip(names, maps))
    return {"steps": {name: accuracy(values[name], classes) for name in names},
            "missing": {"fp32_onnx": "not given", "compressed_onnx": "not given"},
            "neighbours": [{"first": first, "second": second, "map_change": values[second] - values[first],
                            "matched": 870, "only_first": 3, "only_second": 5, "cut_off": 2, "share": 0.9954,
                            "largest_score_difference": 0.0421, "mean_score_difference": 0.002, "smallest_iou": 0.71,
                            "min_score": 0.3, "iou": 0.5, "worst": []} for first, second in pairs]}


def validation_record(classes: Sequence[str], maps: tuple[float, float, float, float]) -> dict[str, Any]:
    curve = [round(max(0.0, 1 - (step / 100) ** 3), 4) for step in range(101)]
    counts = [[40 if row == column else (row + column) % 3 for column in range(len(classes) + 1)]
              for row in range(len(classes) + 1)]
    return {"schema": 3, "kind": "openvino", "fp32": ir(maps[2], classes, False),
            "compressed": ir(maps[3], classes, True), "speedup": 2.345,
            "speed": {"speedup": {"median": 2.345, "low": 2.21, "high": 2.41},
                      "latency_ratio": {"median": 2.3, "low": 2.2, "high": 2.4},
                      "load": {"average": 0.42, "other_cores": 0.03, "busy": False}},
            "expectation": {"peak": 2.0, "speedup": 1.97, "measured": 2.345, "far_below": False},
            "map_drop": {"first": "fp32_pytorch", "second": "compressed_ir", "value": maps[0] - maps[3],
                         "low": -0.0031, "high": 0.0087, "level": 0.95, "samples": 500},
            "waterfall": waterfall(maps, classes),
            "curves": {name: {item: curve for item in classes} for name in ("fp32", "compressed")},
            "confusion": {"classes": [*classes, "background"], "min_score": 0.3, "iou": 0.5, "fp32": counts,
                          "compressed": [[count + 1 for count in row] for row in counts]},
            "layers_changed": [], "samples": [],
            "cpu": {"name": "AMD EPYC 7B13", "instruction_set": "AVX2", "instruction_sets": ["AVX2", "AVX"],
                    "cores": 2},
            "inference_precision": "f32", "versions": {"openvino": "2024.6.0"}, "data_digest": DIGEST,
            "corrupt_images": [], "warnings": []}


@dataclass
class Measured:
    """The three JSON files of a run, free to be spoiled by a test, and the references that go with them."""

    fp32: dict[str, Any]
    compressed: dict[str, Any]
    validation: dict[str, Any]
    data: DataRef
    model: ConfigRef = ConfigRef("configs/detectors/retinanet_r18_small.py", "0de1" * 16)
    compression: ConfigRef = ConfigRef("configs/nncf_compression/retinanet_r18_small/int8.py", "c09f" * 16)
    parent: dict[str, str] = field(default_factory=lambda: {"uri": "", "digest": ""})
    thresholds: Thresholds = Thresholds(max_map_drop=0.01, min_speedup=1.2)

    def arguments(self) -> tuple[Any, ...]:
        """Return the arguments of ``build_summary``."""
        return (self.fp32, self.compressed, self.validation, self.data, self.model, self.compression, self.parent,
                self.thresholds)


@pytest.fixture()
def measured() -> Callable[..., Measured]:
    """Return a maker of measurements: classes and the mAP of FP32, compressed PyTorch, FP32 IR, compressed IR."""

    def make(classes: Sequence[str] = BLOOD_CELLS,
             maps: tuple[float, float, float, float] = (0.4047, 0.4031, 0.4047, 0.4021)) -> Measured:
        validation = validation_record(classes, maps)
        data = DataRef("/data/bccd", DIGEST, "voc", tuple(classes), "train", "val", "test")
        return copy.deepcopy(Measured(evaluation(maps[0], classes, "f9" * 32, False),
                                      evaluation(maps[1], classes, "c9" * 32, True), validation, data))

    return make


@pytest.fixture()
def write_log(tmp_path: Path) -> Callable[..., Path]:
    """Return a writer of training logs as mmcv's logger hook makes them."""

    def write(name: str = "log.json", epochs: int = 12, iterations: int = 26, every: int = 5,
              with_val: bool = True, start: float = 1.9) -> Path:
        rows = [{"mode": "env", "epochs": epochs, "iters_per_epoch": iterations, "seed": 0,
                 "versions": {"torch": "1.8.1"}}]
        for epoch in range(1, epochs + 1):
            for iteration in range(every, iterations + 1, every):
                done = (epoch - 1 + iteration / iterations) / epochs
                noise = 0.08 * math.sin(37.0 * done) + 0.05 * math.cos(91.0 * done)
                loss = start * (0.3 + 0.7 * math.exp(-4 * done)) + noise * start / 2
                rate = 5e-4 * (1 + math.cos(3.1 * done))
                rows.append({"mode": "train", "epoch": epoch, "iter": iteration, "lr": rate, "loss_cls": loss * 0.6,
                             "loss_bbox": loss * 0.4, "loss": loss, "time": 0.45})
            if with_val:
                value = 0.42 * (1 - math.exp(-epoch / 3))
                rows.append({"mode": "val", "epoch": epoch, "iter": 73, "map": value, "map50": value * 1.88})
        file = tmp_path / name
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return file

    return write


@pytest.fixture()
def add_samples() -> Callable[..., None]:
    """Return a writer of noisy pictures, which JPEG compresses badly, into a validation folder."""

    def add(folder: Path, validation: dict[str, Any], count: int, width: int = 1280, height: int = 480) -> None:
        import cv2
        import numpy as np

        (folder / "samples").mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(0)
        for number in range(count):
            file = f"samples/{number}.jpg"
            cv2.imwrite(str(folder / file), random.integers(0, 256, (height, width, 3), dtype=np.uint8))
            validation["samples"].append({"file": file, "image": f"BloodImage_{number:05d}.jpg"})

    return add


@pytest.fixture()
def inputs_of(tmp_path: Path, write_log: Callable[..., Path]) -> Callable[..., ReportInputs]:
    """Return a function that writes measurements to files and names them as the report's inputs."""

    def make(run: Measured, **logs: Path) -> ReportInputs:
        folder = tmp_path / "validation"
        folder.mkdir(exist_ok=True)
        for file, record in ((tmp_path / "fp32.json", run.fp32), (tmp_path / "compressed.json", run.compressed),
                             (folder / "metrics.json", run.validation)):
            file.write_text(json.dumps(record), encoding="utf-8")
        return ReportInputs(evaluation_fp32_file=tmp_path / "fp32.json",
                            evaluation_compressed_file=tmp_path / "compressed.json", validation_folder=folder,
                            training_log_file=logs.get("training") or write_log("training.json"),
                            compression_log_file=logs.get("compression") or write_log("compression.json", epochs=3,
                                                                                     start=0.7),
                            data=run.data, model=run.model, compression=run.compression, parent=run.parent,
                            thresholds=run.thresholds)

    return make
