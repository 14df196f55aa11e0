"""Measure an FP32 and a compressed IR on the same images and the same machine."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Sequence, Tuple

import numpy as np

from core.bundle.golden import GOLDEN, choose_golden, write_golden
from core.errors import UserError
from core.evaluation.coco_map import read_annotations
from core.evaluation.detections import Detections
from core.export.ir import describe_ir
from core.inference.accuracy import Accuracy, measure_accuracy
from core.inference.cpu import describe_cpu
from core.inference.detector import OpenVinoDetector
from core.inference.drawing import Panel, draw_panels
from core.inference.image import read_image
from core.inference.runtime import INFERENCE_PRECISION, Hint, import_openvino
from core.inference.speed import REPEATS, SECONDS_PER_REPEAT, WARM_UP_SECONDS, ModelSpeed, compare_speed

if TYPE_CHECKING:
    from core.data.dataset import Dataset, Split

SCHEMA = 1
VALIDATION_FILE = "validation.json"
SAMPLES = "samples"
JPEG_QUALITY = 80


def validate(data: "Dataset", ir_fp32: Path, ir_compressed: Path, output_dir: Path, samples: int = 4,
             repeats: int = REPEATS, seconds: float = SECONDS_PER_REPEAT) -> Dict[str, Any]:
    """Score and time both IRs on the test split and write ``validation.json``, ``samples/*.jpg`` and the
    golden image (``core.bundle.golden``).

    Args:
        data: The data set; its test split is used.
        ir_fp32: IR folder of the FP32 model.
        ir_compressed: IR folder of the compressed model.
        output_dir: Folder to write into; validation.json comes last.
        samples: Number of test images drawn with ground truth, FP32 and compressed detections.
        repeats: Repeats of the speed measurement.
        seconds: Seconds per model and repeat, for throughput and for latency each.

    Returns:
        The contents of validation.json.

    Raises:
        UserError: An IR is damaged, the two do not belong together, the classes are not those of the data set, an
            image is missing.
    """
    detectors = [OpenVinoDetector(Path(ir), Hint.THROUGHPUT) for ir in (ir_fp32, ir_compressed)]
    _check_comparable(*detectors)
    fp32, compressed = (measure_accuracy(detector, data.test, data.classes, f"detecting ({name})")
                        for detector, name in zip(detectors, ("FP32", "compressed")))
    del detectors
    speed = compare_speed(ir_fp32, ir_compressed, repeats, seconds, warm_up=min(seconds, WARM_UP_SECONDS))
    output_dir = Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    result = {
        "schema": SCHEMA, "kind": "openvino",
        "fp32": _measurement(Path(ir_fp32), fp32, speed.fp32),
        "compressed": _measurement(Path(ir_compressed), compressed, speed.compressed),
        "speedup": speed.speedup,
        "samples": _draw_samples(data.test, data.classes, fp32, compressed, output_dir, samples),
        "cpu": describe_cpu().to_json(), "inference_precision": INFERENCE_PRECISION,
        "versions": {"openvino": import_openvino().get_version()},
        "data_digest": data.digest,
        "corrupt_images": [asdict(image) for image in fp32.corrupt_images],
    }
    _write_golden(data.test, compressed, output_dir / GOLDEN)
    beside = output_dir / f".{VALIDATION_FILE}.{os.getpid()}"
    beside.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    os.replace(beside, output_dir / VALIDATION_FILE)
    return result


def _check_comparable(fp32: OpenVinoDetector, compressed: OpenVinoDetector) -> None:
    if fp32.spec.algorithms:
        raise UserError("FP32 IR", fp32.ir_dir, f"It was compressed by {', '.join(fp32.spec.algorithms)}.",
                        "Give the IR of the uncompressed checkpoint.")
    sizes = [(spec.input_width, spec.input_height) for spec in (fp32.spec, compressed.spec)]
    if sizes[0] != sizes[1]:
        raise UserError("compressed IR", f"{compressed.ir_dir} takes {sizes[1][0]}x{sizes[1][1]} pixels",
                        f"The FP32 IR takes {sizes[0][0]}x{sizes[0][1]}: neither speed nor accuracy could be compared.",
                        "Export both checkpoints with the same test pipeline.")


def _measurement(ir_dir: Path, accuracy: Accuracy, speed: ModelSpeed) -> Dict[str, Any]:
    return {"metrics": accuracy.metrics.to_json(), "seconds": accuracy.seconds, "fps": speed.fps,
            "fps_repeats": list(speed.fps_repeats), "latency_ms_p50": speed.latency_ms_p50,
            **asdict(describe_ir(ir_dir))}


def _draw_samples(split: "Split", classes: Sequence[str], fp32: Accuracy, compressed: Accuracy, output_dir: Path,
                  count: int) -> List[Dict[str, str]]:
    import cv2

    truth = read_annotations(split.annotation_file)
    folder = output_dir / SAMPLES
    folder.mkdir(exist_ok=True)
    drawn = []
    for number, image in enumerate(_choose(truth, fp32.detections, count), 1):
        picture = draw_panels(read_image(split.image_root / image["file_name"]), [
            Panel("ground truth", _ground_truth(truth, image["id"], classes), show_scores=False),
            Panel("FP32", fp32.detections[image["id"]]),
            Panel("compressed", compressed.detections[image["id"]])], classes)
        path = folder / f"sample_{number}.jpg"
        path.write_bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes())
        drawn.append({"file": f"{SAMPLES}/{path.name}", "image": image["file_name"]})
    return drawn


def _write_golden(split: "Split", compressed: Accuracy, folder: Path) -> None:
    """Keep one image and the compressed model's boxes in it for the bundle."""
    chosen = choose_golden(compressed.detections)
    images = {image["id"]: image for image in read_annotations(split.annotation_file)["images"]}
    write_golden(folder, split.image_root / images[chosen]["file_name"], compressed.detections[chosen])


def _choose(truth: Dict[str, Any], detections: Dict[int, Detections], count: int) -> List[Dict[str, Any]]:
    """Return images spread evenly over the split, those with ground truth where there are any."""
    with_boxes = {annotation["image_id"] for annotation in truth["annotations"]}
    readable = [image for image in truth["images"] if image["id"] in detections]
    candidates = [image for image in readable if image["id"] in with_boxes] or readable
    picked = np.linspace(0, len(candidates) - 1, min(count, len(candidates))).round().astype(int)
    return [candidates[index] for index in picked]


def _ground_truth(truth: Dict[str, Any], image_id: int, classes: Sequence[str]) -> Detections:
    names = {category["id"]: category["name"] for category in truth["categories"]}
    found: List[Tuple[List[float], int]] = [
        (annotation["bbox"], classes.index(names[annotation["category_id"]])) for annotation in truth["annotations"]
        if annotation["image_id"] == image_id and not annotation.get("iscrowd")]
    if not found:
        return Detections.empty()
    boxes = np.float32([box for box, _ in found])
    boxes[:, 2:] += boxes[:, :2]
    return Detections(boxes, np.ones(len(found), np.float32), np.int64([label for _, label in found]))
