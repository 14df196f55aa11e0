"""Accuracy of an OpenVINO detector on a split."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.base.errors import UserError
from core.evaluation.coco_map import Scores, read_annotations, score_detections
from core.evaluation.detections import Detections
from core.openvino.detector import ImageFile, OpenVinoDetector
from core.results.accuracy import CorruptImage, DetectionMetrics

if TYPE_CHECKING:
    from core.data.dataset import Split


@dataclass(frozen=True)
class Accuracy:
    """A detector's scores on a split, what it found by image id, the images left out, and the wall time.

    ``skipped`` are the ids of the images in ``corrupt_images``; ``max_detections`` is the most it keeps of an image.
    """

    scores: Scores
    detections: dict[int, Detections]
    corrupt_images: tuple[CorruptImage, ...]
    skipped: frozenset[int]
    seconds: float
    max_detections: int

    @property
    def metrics(self) -> DetectionMetrics:
        return self.scores.metrics


def measure_accuracy(detector: OpenVinoDetector, split: "Split", classes: Sequence[str],
                     description: str = "detecting") -> Accuracy:
    """Run a detector over a split and score it with COCO mAP.

    Corrupt images are listed and left out together with their ground truth.

    Raises:
        UserError: The detector's classes are not the data set's, an image is missing, or none can be decoded.
    """
    if tuple(classes) != detector.spec.classes:
        raise UserError("classes", list(classes), f"{detector.ir_dir} was trained for {list(detector.spec.classes)}, "
                        "in this order.", "Validate it on the data set it was trained for.")
    images = read_annotations(split.annotation_file)["images"]
    run = detector.detect_all([ImageFile(image["id"], split.image_root / image["file_name"]) for image in images],
                              description)
    scores = score_detections(split.annotation_file, run.detections, classes, skipped=list(run.corrupt))
    corrupt = tuple(CorruptImage(image=image["file_name"], reason=run.corrupt[image["id"]])
                    for image in images if image["id"] in run.corrupt)
    return Accuracy(scores, run.detections, corrupt, frozenset(run.corrupt), run.seconds,
                    detector.spec.max_detections)
