"""Accuracy: what detections are worth, and how far two sets of them agree."""

from enum import StrEnum

from core.results.record import (
    Count,
    Fraction,
    MeasuredDifference,
    MeasuredFraction,
    Name,
    Quantity,
    Record,
    Sha256,
    Text,
)

# Of a validation in training, mAP and mAP at 0.5: ours of boxes, MMDetection's of boxes, of masks, Pascal VOC's.
MAP_NAMES = (("map", "map50"), ("bbox_mAP", "bbox_mAP_50"), ("segm_mAP", "segm_mAP_50"), ("mAP", "AP50"))


class DetectionMetrics(Record):
    """COCO's box metrics by pycocotools and Pascal VOC's; null where there is no ground truth to measure one on."""

    map: MeasuredFraction
    """AP averaged over IoU 0.50:0.05:0.95 and classes."""
    map50: MeasuredFraction
    """AP at IoU 0.50."""
    map75: MeasuredFraction
    """AP at IoU 0.75."""
    map_small: MeasuredFraction
    """AP of boxes below 32 x 32 pixels."""
    map_medium: MeasuredFraction
    """AP of boxes from 32 x 32 to 96 x 96 pixels."""
    map_large: MeasuredFraction
    """AP of larger boxes."""
    ar1: MeasuredFraction
    """Recall averaged over IoU and classes, one detection an image."""
    ar10: MeasuredFraction
    """Recall with ten detections an image."""
    ar100: MeasuredFraction
    """Recall with 100 detections an image."""
    ar_small: MeasuredFraction
    """Recall of boxes below 32 x 32 pixels, 100 detections an image."""
    ar_medium: MeasuredFraction
    """Recall of boxes from 32 x 32 to 96 x 96 pixels, 100 detections an image."""
    ar_large: MeasuredFraction
    """Recall of larger boxes, 100 detections an image."""
    voc_map: MeasuredFraction
    """Pascal VOC's mAP at IoU 0.5, area under the curve as since VOC 2010."""
    per_class_ap: dict[Text, MeasuredFraction]
    """Class to AP over IoU 0.50:0.05:0.95."""
    per_class_voc_ap: dict[Text, MeasuredFraction]
    """Class to Pascal VOC's AP."""
    images: Count
    """Images scored."""
    detections: Count
    """Boxes found in them."""


class CorruptImage(Record):
    """An image that was left out of every form together with its ground truth."""

    image: Text
    """Its file name in the annotation file."""
    reason: Text
    """Why it cannot be decoded."""


class Form(StrEnum):
    """A form of a model on its way from the checkpoint to the IR."""

    PYTORCH = "pytorch"
    ONNX = "onnx"
    """In onnxruntime, where the model has no FakeQuantize."""
    IR = "ir"

    @property
    def title(self) -> str:
        """Return how the form is written for people."""
        return {"pytorch": "PyTorch", "onnx": "ONNX", "ir": "IR"}[self.value]


class Measurement(Record):
    """The accuracy of one form of a model, and what was measured."""

    files: dict[Text, Sha256]
    """Name and SHA-256 of each file it was measured from; of PyTorch the detections that evaluate wrote."""
    runtime: str
    """What ran it, with its version."""
    metrics: DetectionMetrics
    """Its accuracy on the test split."""


class OptionalForms(Record):
    """The forms that a model need not have; each is a member of `Form` of the same name."""

    pytorch: Measurement | None
    """The checkpoint in PyTorch; null where its detections were not given."""
    onnx: Measurement | None
    """The export in onnxruntime; null where it was not given or cannot be loaded there."""


class Step(Record):
    """One form of one model."""

    model: Name
    """Name of the model."""
    form: Form
    """`pytorch`, `onnx` or `ir`."""

    def __str__(self) -> str:
        return f"{self.model} {self.form.title}"


class Picture(Record):
    """A picture of a test image."""

    file: Text
    """The picture, relative to the folder of metrics.json."""
    image: Text
    """The test image's file name in the annotation file."""


class WorstPicture(Picture):
    """A picture of an image in which two forms differ, beside its ground truth."""

    disagreement: Quantity
    """Boxes that one form lacks, and the differences of the matched scores, added up."""


class Neighbours(Record):
    """Two forms compared on the same images.

    A box scored `min_score` or more needs a partner of its class at `iou`. One without is `cut_off`, and no
    disagreement, where the other form's list is full and the box is scored no higher than the lowest in it.
    """

    first: Step
    """The form before."""
    second: Step
    """The form after."""
    map_change: MeasuredDifference
    """mAP of the second minus mAP of the first."""
    matched: Count
    """Boxes that both found."""
    only_first: Count
    """Boxes of the first that the second lacks."""
    only_second: Count
    """Boxes of the second that the first lacks."""
    cut_off: Count
    """Boxes that the other form had no place for."""
    share: Fraction
    """Share of all boxes, those cut off aside, that have a partner."""
    largest_score_difference: MeasuredFraction
    """Of matched boxes."""
    mean_score_difference: MeasuredFraction
    """Of matched boxes."""
    smallest_iou: MeasuredFraction
    """Of matched boxes."""
    min_score: Fraction
    """Score from which on a box needs a partner."""
    iou: Fraction
    """Overlap that makes two boxes partners."""
    worst: tuple[WorstPicture, ...]
    """The images that differ most."""


class MapDrop(Record):
    """The loss of mAP from the baseline to a candidate's IR."""

    first: Step
    """The baseline's PyTorch form where its detections were given, else its IR."""
    second: Step
    """The candidate's IR."""
    value: MeasuredDifference
    """mAP of the first minus mAP of the second."""
    low: MeasuredDifference
    """Lower end of the bootstrap interval over images (percentile, both forms on the same drawn images)."""
    high: MeasuredDifference
    """Upper end."""
    level: Fraction
    """Confidence level."""
    samples: Count
    """Bootstrap samples."""


class Confusion(Record):
    """Which classes a model takes for which."""

    counts: tuple[tuple[Count, ...], ...]
    """Rows of what was there, columns of what was found; the last of each is background."""
    min_score: Fraction
    """Score from which on a detection counts."""
    iou: Fraction
    """Overlap from which on a detection found a box."""
