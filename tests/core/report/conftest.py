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
from core.report.build import ModelArtifacts, ReportInputs, read_content
from core.report.content import ReportContent
from core.report.summary import Run, summarize
from core.results.accuracy import DetectionMetrics
from core.results.evaluation import Evaluation
from core.results.summary import Summary, Thresholds
from core.results.validation import Validation

DIGEST = "da7a" * 16
BLOOD_CELLS = ("RBC", "WBC", "Platelets")
MAPS = (0.4047, 0.4031, 0.4047, 0.4021)
NAMES = ("FP32", "compressed")


def accuracy(value: float, classes: Sequence[str], images: int = 72) -> dict[str, Any]:
    spread = {name: round(min(1.0, max(0.0, value + 0.12 * math.sin(2.1 * index))), 4)
              for index, name in enumerate(classes)}
    figures = {name: value for name, field in DetectionMetrics.model_fields.items() if field.annotation is float}
    return {**figures, "map50": round(1 - (1 - value) ** 2.6, 4), "map_small": None, "per_class_ap": spread,
            "per_class_voc_ap": spread, "images": images, "detections": 900}


def evaluation(value: float, classes: Sequence[str], place: int) -> dict[str, Any]:
    return {"schema": 1, "kind": "pytorch", "metrics": accuracy(value, classes), "seconds": 41.5, "corrupt_images": [],
            "warnings": [], "versions": {"torch": "2.1.2", "mmdet": "2.28.2", "mmcv": "1.7.2", "nncf": "2.0.0"},
            "data_digest": DIGEST,
            "model": {"checkpoint_sha256": f"{'fcde'[place % 4]}9" * 32,
                      "algorithms": ["quantization"] if place else [],
                      "nncf_config_sha256": "c0f1" * 16 if place else ""}}


def ir(value: float, classes: Sequence[str], place: int) -> dict[str, Any]:
    letter, fps = "fcde"[place % 4], 213.9 if place else 91.2
    left = [{"name": "/bbox_head/retina_cls/Conv", "precision": "f32", "primitive": "jit_avx2_f32", "flops": 150,
             "share": 0.015}]
    counts = [[40 + place if row == column else (row + column) % 3 for column in range(len(classes) + 1)]
              for row in range(len(classes) + 1)]
    curve = [round(max(0.0, 1 - (step / 100) ** 3), 4) for step in range(101)]
    return {"files": {"model.xml": f"{letter}0" * 32, "model.bin": f"{letter}1" * 32},
            "runtime": "OpenVINO 2024.6.0", "metrics": accuracy(value, classes), "seconds": 1.2,
            "images_per_second": 60.0, "throughput": hint("THROUGHPUT", fps, 9.35 if place else 21.9),
            "latency": hint("LATENCY", 0.6 * fps, 9.02 if place else 21.13),
            "execution": {"layers": 55, "int8_share": 0.985 if place else 0.0, "not_int8": left, "unrounded": []},
            "structure": {"parameters": 3590000, "nonzero": 3580000, "flops": 1200000000, "channels": 4096},
            "size_mb": 3.94 if place else 14.21, "weights_mb": 3.5, "weights_mb_before": 3.5, "channels_before": 4096,
            "fake_quantize_nodes": 81 if place else 0, "int8_weights": 55 if place else 0,
            "curves": dict.fromkeys(classes, curve), "confusion": {"counts": counts, "min_score": 0.3, "iou": 0.5}}


def hint(name: str, fps: float, milliseconds: float) -> dict[str, Any]:
    times = {"median": milliseconds, "p90": 1100 / fps, "p99": 1500 / fps, "min": 900 / fps, "max": 3000 / fps}
    return {"hint": name, "fps": fps, "fps_repeats": [0.97 * fps, fps, 1.02 * fps], "latency_ms": times,
            "latency_ms_repeats": [milliseconds] * 3, "cpu_ms": 2000 / fps, "cpu_ms_repeats": [2000 / fps] * 3,
            "cpu_share": 0.99, "inferences": 900, "compile_ms": 212.0,
            "first_inference_ms": 13.0, "streams": 2, "requests": 2, "threads": 2, "batch": 1}


def neighbours(first: tuple[str, str], second: tuple[str, str], change: float) -> dict[str, Any]:
    return {**{key: dict(zip(("model", "form"), step)) for key, step in (("first", first), ("second", second))},
            "map_change": change, "matched": 870, "only_first": 3, "only_second": 5, "cut_off": 2, "share": 0.9954,
            "largest_score_difference": 0.0421, "mean_score_difference": 0.002, "smallest_iou": 0.71,
            "min_score": 0.3, "iou": 0.5, "worst": []}


def model(name: str, maps: tuple[float, float], classes: Sequence[str], place: int) -> dict[str, Any]:
    return {"name": name, "ir": ir(maps[1], classes, place), "onnx": None, "missing": {"onnx": "not given"},
            "pytorch": {"files": {"detections": "de" * 32}, "runtime": "PyTorch",
                        "metrics": accuracy(maps[0], classes)},
            "neighbours": [neighbours((name, "pytorch"), (name, "ir"), maps[1] - maps[0])]}


def validation_record(classes: Sequence[str], maps: Sequence[float], names: Sequence[str]) -> dict[str, Any]:
    pairs = list(zip(maps[::2], maps[1::2]))
    # As (baseline PyTorch, candidate PyTorch, baseline IR, candidate IR) for one candidate.
    pairs = [(maps[0], maps[2]), (maps[1], maps[3])] if len(names) == 2 else pairs
    baseline, *candidates = (model(name, pair, classes, place)
                             for place, (name, pair) in enumerate(zip(names, pairs)))
    for candidate, pair in zip(candidates, pairs[1:]):
        name, first = candidate["name"], names[0]
        candidate["neighbours"] = [
            neighbours((first, "pytorch"), (name, "pytorch"), pair[0] - pairs[0][0]), *candidate["neighbours"],
            neighbours((first, "ir"), (name, "ir"), pair[1] - pairs[0][1])]
        candidate.update(
            speedup={"median": 2.345, "low": 2.21, "high": 2.41}, layers_changed=[],
            latency_ratio={"median": 2.3, "low": 2.2, "high": 2.4},
            speedups={"wall": {"median": 2.345, "low": 2.21, "high": 2.41},
                      "cpu": {"median": 2.3, "low": 2.28, "high": 2.31}, "source": "wall"},
            bound={"int8": {"median": 2.51, "low": 2.48, "high": 2.53}, "share": 0.934, "below": False, "layers": 21,
                   "speedup": {"median": 2.51, "low": 2.48, "high": 2.53}},
            map_drop={"first": {"model": first, "form": "pytorch"}, "second": {"model": name, "form": "ir"},
                      "value": pairs[0][0] - pair[1], "low": -0.0031, "high": 0.0087, "level": 0.95, "samples": 500})
    return {"schema": 5, "kind": "openvino", "data_digest": DIGEST, "classes": list(classes), "baseline": baseline,
            "candidates": candidates, "samples": [],
            "load": {"average": 0.42, "other_cores": 0.03, "busy": False, "disturbed": False},
            "cpu": {"name": "AMD EPYC 7B13", "instruction_set": "AVX2", "instruction_sets": ["AVX2", "AVX"],
                    "cores": 2},
            "inference_precision": "f32", "versions": {"openvino": "2024.6.0"}, "corrupt_images": [], "warnings": []}


@dataclass
class Measured:
    """The JSON files of a run, free to be spoiled by a test, and the references that go with them."""

    evaluations: list[dict[str, Any]]
    validation: dict[str, Any]
    data: DataRef
    configs: tuple[ConfigRef, ...] = (
        ConfigRef("configs/detectors/retinanet_r18_small.py", "0de1" * 16),
        *[ConfigRef("configs/nncf_compression/retinanet_r18_small/int8.py", "c09f" * 16)] * 9)
    parent: dict[str, str] = field(default_factory=lambda: {"uri": "", "digest": ""})
    thresholds: Thresholds = Thresholds(max_map_drop=0.01, min_speedup=1.2)

    @property
    def baseline(self) -> dict[str, Any]:
        return self.validation["baseline"]

    @property
    def candidate(self) -> dict[str, Any]:
        return self.validation["candidates"][0]

    def run(self) -> Run:
        validation = Validation.from_json(self.validation, "validation")
        names = [model.name for model in validation.models]
        return Run({name: Evaluation.from_json(record, "evaluation") for name, record in zip(names, self.evaluations)},
                   validation, self.data, dict(zip(names, self.configs)), self.parent)

    def summary(self) -> Summary:
        return summarize(self.run(), self.thresholds)


@pytest.fixture()
def measured() -> Callable[..., Measured]:
    """Return a maker of measurements: classes and the mAP of FP32, compressed PyTorch, FP32 IR, compressed IR; of
    other names the mAP in PyTorch and as IR of each."""

    def make(classes: Sequence[str] = BLOOD_CELLS, maps: Sequence[float] = MAPS, names: Sequence[str] = NAMES
             ) -> Measured:
        validation = validation_record(classes, maps, names)
        models = [validation["baseline"], *validation["candidates"]]
        data = DataRef("/data/bccd", DIGEST, "voc", tuple(classes), "train", "val", "test")
        evaluations = [evaluation(model["pytorch"]["metrics"]["map"], classes, place)
                       for place, model in enumerate(models)]
        return copy.deepcopy(Measured(evaluations, validation, data))

    return make


@pytest.fixture()
def three(measured: Callable[..., Measured]) -> Measured:
    """Return the measurements of a baseline with two candidates, of which the second lost too much."""
    return measured(maps=(0.4047, 0.4047, 0.4031, 0.4021, 0.39, 0.38), names=("FP32", "int8", "pruned"))


@pytest.fixture()
def write_log(tmp_path: Path) -> Callable[..., Path]:
    """Return a writer of training logs as mmcv's logger hook makes them."""

    def write(name: str = "log.json", epochs: int = 12, iterations: int = 26, every: int = 5,
              with_val: bool = True, start: float = 1.9) -> Path:
        rows = [{"mode": "env", "epochs": epochs, "iters_per_epoch": iterations, "seed": 0,
                 "versions": {"torch": "2.1.2"}}]
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
    """Return a function that writes measurements to files and names them as the report's inputs; ``training`` and
    ``compression`` are logs to take in place of ordinary ones."""

    def make(run: Measured, **logs: Path) -> ReportInputs:
        folder = tmp_path / "validation"
        folder.mkdir(exist_ok=True)
        (folder / "metrics.json").write_text(json.dumps(run.validation), encoding="utf-8")
        models = {}
        names = [run.validation["baseline"]["name"], *(one["name"] for one in run.validation["candidates"])]
        for place, (record, config) in enumerate(zip(run.evaluations, run.configs)):
            file = tmp_path / f"evaluation{place}.json"
            file.write_text(json.dumps(record), encoding="utf-8")
            log = logs.get("compression" if place else "training") or write_log(
                f"log{place}.json", epochs=3 if place else 12, start=0.7 if place else 1.9)
            models[names[place]] = ModelArtifacts(file, log, config, None)
        return ReportInputs(models=models, validation_folder=folder, data=run.data, parent=run.parent,
                            thresholds=run.thresholds)

    return make


@pytest.fixture()
def content_of(inputs_of: Callable[..., ReportInputs]) -> Callable[..., ReportContent]:
    """Return a function that reads what the report of measurements shows."""
    return lambda run, **logs: read_content(inputs_of(run, **logs))
