"""Measure an FP32 and a compressed IR on the same images and the same machine."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.base.errors import UserError
from core.base.files import new_file
from core.bundle.golden import GOLDEN, choose_golden, write_golden
from core.compression.structure import changed_layers, count_in_ir
from core.evaluation.agreement import MIN_SCORE
from core.evaluation.coco_map import Scores, read_annotations
from core.evaluation.confusion import confusion_matrix
from core.evaluation.matches import bootstrap_map_difference, precision_at_recalls
from core.evaluation.truth import Truth, truth_by_image
from core.openvino.accuracy import Accuracy, measure_accuracy
from core.openvino.cpu import describe_cpu, expect
from core.openvino.detector import OpenVinoDetector
from core.openvino.ir import describe_ir
from core.openvino.load import load_average
from core.openvino.pictures import Pictures
from core.openvino.runtime import INFERENCE_PRECISION, Hint, import_openvino, read_ir
from core.openvino.speed import REPEATS, SECONDS_PER_REPEAT, WARM_UP_SECONDS, SpeedComparison, compare_speed
from core.openvino.waterfall import Neighbours, Sources, Step, Waterfall, build_waterfall

if TYPE_CHECKING:
    from core.data.dataset import Dataset, Split

# Described in docs/metrics.md and, for programs, in metrics.schema.json.
SCHEMA = 3
METRICS_FILE = "metrics.json"
SAMPLES, WORST = "samples", "worst"
WORST_OF_A_PAIR = 2
# Below this much of its share of the FLOPs a quantized model is not run as one.
LEAST_INT8_SHARE = 0.9


def validate(data: "Dataset", ir_fp32: Path, ir_compressed: Path, output_dir: Path, sources: Sources | None = None,
             samples: int = 4, repeats: int = REPEATS, seconds: float = SECONDS_PER_REPEAT) -> dict[str, Any]:
    """Score and time both IRs on the test split; write ``metrics.json``, ``samples/*.jpg``, ``worst/*.jpg`` and the
    golden image (``core.bundle.golden``).

    Args:
        data: The data set; its test split is used.
        ir_fp32: IR folder of the FP32 model.
        ir_compressed: IR folder of the compressed model.
        output_dir: Folder to write into; metrics.json comes last.
        sources: Detections of PyTorch and ONNX files, to locate a drop.
        samples: Number of test images drawn with ground truth, FP32 and compressed detections.
        repeats: Repeats of the speed measurement.
        seconds: Seconds per model, hint and repeat.

    Returns:
        The contents of metrics.json, described in docs/metrics.md.

    Raises:
        UserError: An IR is damaged, the two do not belong together, the classes are not those of the data set, an
            image is missing.
    """
    load = load_average()
    fp32, compressed = _accuracies(data, Path(ir_fp32), Path(ir_compressed))
    speed = compare_speed(ir_fp32, ir_compressed, repeats, seconds, min(seconds, WARM_UP_SECONDS), load_average=load)
    annotations = read_annotations(data.test.annotation_file)
    images = {image["id"]: image["file_name"] for image in annotations["images"] if image["id"] in fp32.detections}
    truth = truth_by_image(annotations, data.classes, skipped=sorted(fp32.skipped))
    waterfall = build_waterfall(data.test, data.classes, images, {Step.FP32_IR: fp32, Step.COMPRESSED_IR: compressed},
                                sources or Sources())
    output_dir = Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    pictures = Pictures(data.test, images, truth, data.classes, output_dir)
    irs = {"fp32": _ir(Path(ir_fp32), fp32, speed.fp32), "compressed": _ir(Path(ir_compressed), compressed,
                                                                          speed.compressed)}
    judged = _expectation(irs, speed)
    result = {
        "schema": SCHEMA, "kind": "openvino", **irs,
        "speedup": speed.speedup.median, "speed": _speed(speed), "expectation": judged,
        "map_drop": _map_drop(waterfall), "waterfall": _waterfall(waterfall, pictures),
        "curves": {name: _curves(accuracy.scores) for name, accuracy in (("fp32", fp32), ("compressed", compressed))},
        "confusion": _confusion(truth, {"fp32": fp32, "compressed": compressed}, data.classes),
        "layers_changed": _layers_changed(Path(ir_fp32), Path(ir_compressed)),
        "samples": [_sample(pictures, number, image, fp32, compressed)
                    for number, image in enumerate(pictures.spread(samples), 1)],
        "cpu": describe_cpu().to_json(), "inference_precision": INFERENCE_PRECISION,
        "versions": {"openvino": import_openvino().get_version()},
        "data_digest": data.digest,
        "corrupt_images": [asdict(image) for image in fp32.corrupt_images],
        "warnings": _warnings(speed, judged, irs),
    }
    _write_golden(data.test, images, compressed, output_dir / GOLDEN)
    text = json.dumps(result, indent=1, allow_nan=False) + "\n"
    with new_file(output_dir / METRICS_FILE) as partial:
        partial.write_text(text, encoding="utf-8")
    return json.loads(text)


def _write_golden(split: "Split", images: Mapping[int, str], compressed: Accuracy, folder: Path) -> None:
    """Keep one image and the compressed model's boxes in it for the bundle."""
    chosen = choose_golden(compressed.detections)
    write_golden(folder, split.image_root / images[chosen], compressed.detections[chosen])


def _accuracies(data: "Dataset", ir_fp32: Path, ir_compressed: Path) -> list[Accuracy]:
    detectors = [OpenVinoDetector(ir, Hint.THROUGHPUT) for ir in (ir_fp32, ir_compressed)]
    _check_comparable(*detectors)
    return [measure_accuracy(detector, data.test, data.classes, f"detecting ({name})")
            for detector, name in zip(detectors, ("FP32 IR", "compressed IR"))]


def _check_comparable(fp32: OpenVinoDetector, compressed: OpenVinoDetector) -> None:
    if fp32.spec.algorithms:
        raise UserError("FP32 IR", fp32.ir_dir, f"It was compressed by {', '.join(fp32.spec.algorithms)}.",
                        "Give the IR of the uncompressed checkpoint.")
    sizes = [(spec.input_width, spec.input_height) for spec in (fp32.spec, compressed.spec)]
    if sizes[0] != sizes[1]:
        raise UserError("compressed IR", f"{compressed.ir_dir} takes {sizes[1][0]}x{sizes[1][1]} pixels",
                        f"The FP32 IR takes {sizes[0][0]}x{sizes[0][1]}: neither speed nor accuracy could be compared.",
                        "Export both checkpoints with the same test pipeline.")


def _ir(ir_dir: Path, accuracy: Accuracy, speed: Any) -> dict[str, Any]:
    structure = count_in_ir(read_ir(ir_dir)[0]).to_json()
    del structure["layers"]
    return {"metrics": accuracy.metrics.to_json(), "seconds": accuracy.seconds,
            "images_per_second": accuracy.metrics.images / accuracy.seconds, **speed.to_json(), "structure": structure,
            **asdict(describe_ir(ir_dir))}


def _speed(speed: SpeedComparison) -> dict[str, Any]:
    return {"speedup": asdict(speed.speedup), "latency_ratio": asdict(speed.latency_ratio),
            "load": {**asdict(speed.load), "busy": speed.load.busy}}


def _expectation(irs: Mapping[str, Mapping[str, Any]], speed: SpeedComparison) -> dict[str, Any]:
    flops = [irs[name]["structure"]["flops"] for name in ("compressed", "fp32")]
    expectation = expect(describe_cpu().instruction_set, speed.compressed.execution.int8_share,
                         flops[0] / flops[1] if flops[1] else 1.0, speed.speedup.median)
    return {**asdict(expectation), "far_below": expectation.far_below}


def _map_drop(waterfall: Waterfall) -> dict[str, Any]:
    """Return FP32 mAP minus compressed IR mAP with its interval, from PyTorch's FP32 where that was given."""
    first = Step.FP32_PYTORCH if Step.FP32_PYTORCH in waterfall.steps else Step.FP32_IR
    before, after = waterfall.steps[first].scores, waterfall.steps[Step.COMPRESSED_IR].scores
    interval = bootstrap_map_difference(list(before.matches.values()), list(after.matches.values()))
    return {"first": first.value, "second": Step.COMPRESSED_IR.value,
            "value": _number(before.metrics.map - after.metrics.map),
            **{key: _number(value) for key, value in asdict(interval).items()}}


def _waterfall(waterfall: Waterfall, pictures: Pictures) -> dict[str, Any]:
    record = waterfall.to_json()
    for pair, described in zip(waterfall.neighbours, record["neighbours"]):
        described["worst"] = _draw_worst(pair, waterfall, pictures)
    return record


def _draw_worst(pair: Neighbours, waterfall: Waterfall, pictures: Pictures) -> list[dict[str, Any]]:
    drawn = []
    for number, item in enumerate(pair.agreement.images[:WORST_OF_A_PAIR], 1):
        if item.disagreement == 0:
            break
        file = f"{WORST}/{pair.first.value}-{pair.second.value}_{number}.jpg"
        found = {step.value.replace("_", " "): waterfall.steps[step].detections[item.image]
                 for step in (pair.first, pair.second)}
        drawn.append({**pictures.draw(item.image, file, found), "disagreement": item.disagreement})
    return drawn


def _sample(pictures: Pictures, number: int, image: int, fp32: Accuracy, compressed: Accuracy) -> dict[str, str]:
    return pictures.draw(image, f"{SAMPLES}/sample_{number}.jpg",
                         {"FP32": fp32.detections[image], "compressed": compressed.detections[image]})


def _curves(scores: Scores) -> dict[str, list[float] | None]:
    """Return each class's precision at recall 0, 0.01, .. 1 at IoU 0.5; None for a class without ground truth."""
    curves = {name: precision_at_recalls(matches)[0] for name, matches in scores.matches.items()}
    return {name: None if np.isnan(curve).any() else curve.round(4).tolist() for name, curve in curves.items()}


def _confusion(truth: Mapping[int, Truth], accuracies: Mapping[str, Accuracy], classes: Sequence[str]
               ) -> dict[str, Any]:
    return {"classes": [*classes, "background"], "min_score": MIN_SCORE, "iou": 0.5,
            **{name: confusion_matrix(truth, accuracy.detections, len(classes)).tolist()
               for name, accuracy in accuracies.items()}}


def _layers_changed(ir_fp32: Path, ir_compressed: Path) -> list[dict[str, Any]] | None:
    """Return the layers whose channels differ; None where the graphs have not the same layers."""
    before, after = (count_in_ir(read_ir(ir)[0]) for ir in (ir_fp32, ir_compressed))
    if len(before.layers) != len(after.layers):
        return None
    return [asdict(change) for change in changed_layers(before, after)]


def _warnings(speed: SpeedComparison, expectation: Mapping[str, Any], irs: Mapping[str, Mapping[str, Any]]
              ) -> list[str]:
    found = []
    if speed.load.busy:
        found.append(f"Other processes kept {speed.load.other_cores:.1f} cores busy while speed was measured; "
                     "the figures are too low, and their ratio is less certain than on a quiet machine.")
    if expectation["far_below"]:
        found.append(f"The speed-up of {expectation['measured']:.2f}x is far below the {expectation['speedup']:.2f}x "
                     f"that {describe_cpu().instruction_set} and the int8 share of the work let one expect.")
    share = speed.compressed.execution.int8_share
    if irs["compressed"]["fake_quantize_nodes"] and share < LEAST_INT8_SHARE:
        found.append(f"Only {share:.0%} of the compressed model's convolution work runs in int8.")
    return found


def _number(value: Any) -> Any:
    return None if value != value else value
