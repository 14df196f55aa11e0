"""Where accuracy is lost: the same images through every form of a model, neighbours compared with each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.base.digest import sha256_file
from core.base.errors import CandidateFailed, UserError
from core.evaluation.agreement import compare
from core.evaluation.coco_map import Scores, score_detections
from core.evaluation.detections import Detections
from core.evaluation.store import read_detections
from core.openvino.accuracy import Accuracy
from core.openvino.ir import MODEL_ONNX
from core.openvino.onnx_detector import NotLoaded, OnnxDetector
from core.openvino.pictures import Pictures
from core.openvino.runtime import MODEL_BIN, MODEL_XML, import_openvino
from core.results.accuracy import Form, Measurement, Neighbours, Step, WorstPicture

if TYPE_CHECKING:
    from core.data.dataset import Split

WORST = "worst"
WORST_OF_A_PAIR = 2


@dataclass(frozen=True)
class ModelFiles:
    """A model that is to be measured.

    Args:
        name: What it is called, in metrics.json and in reports.
        ir: Folder of its IR.
        onnx: Folder that export wrote; None where it is not given.
        detections: What the checkpoint found in PyTorch, as evaluate wrote it; None where it is not given.
    """

    name: str
    ir: Path
    onnx: Path | None = None
    detections: Path | None = None


@dataclass(frozen=True)
class MeasuredForm:
    """One form of a model: what it found by image id, its scores, and the most it keeps of an image.

    ``files`` are the files it was measured from by name, ``runtime`` what ran them.
    """

    step: Step
    detections: dict[int, Detections]
    scores: Scores
    max_detections: int
    files: dict[str, Path]
    runtime: str

    def record(self) -> Measurement:
        """Return the accuracy and what was measured."""
        digests = {name: sha256_file(path) for name, path in self.files.items()}
        return Measurement(files=digests, runtime=self.runtime, metrics=self.scores.metrics)


def measure_forms(model: ModelFiles, ir: Accuracy, split: "Split", classes: Sequence[str], images: Mapping[int, str]
                  ) -> tuple[dict[Form, MeasuredForm], dict[Form, str]]:
    """Score what is given of a model on the same images.

    Args:
        ir: What the IR found.
        split: The split that everything is measured on.
        classes: Class names in the order of the labels.
        images: Image id to file name, of the images that every IR could read.

    Returns:
        The forms that could be measured, in their order, and why each other one could not.

    Raises:
        UserError: Detections are of other images, or a file is damaged.
    """
    found, missing = {}, {}
    for form, given in ((Form.PYTORCH, model.detections), (Form.ONNX, model.onnx)):
        if given is None:
            missing[form] = "not given"
            continue
        try:
            detections, files, runtime = _found(form, Path(given), split, images, model.name)
        # Of the ONNX model: the IR, which was measured before, is what is judged.
        except (NotLoaded, CandidateFailed) as error:
            missing[form] = str(error)
            continue
        scores = score_detections(split.annotation_file, detections, classes, sorted(ir.skipped))
        found[form] = MeasuredForm(Step(model=model.name, form=form), detections, scores, ir.max_detections, files,
                                   runtime)
    files = {name: Path(model.ir) / name for name in (MODEL_XML, MODEL_BIN)}
    found[Form.IR] = MeasuredForm(Step(model=model.name, form=Form.IR), ir.detections, ir.scores, ir.max_detections,
                                  files, f"OpenVINO {import_openvino().get_version()}")
    return found, missing


def pairs_of(forms: Mapping[Form, MeasuredForm], baseline: Mapping[Form, MeasuredForm] | None = None
             ) -> list[tuple[MeasuredForm, MeasuredForm]]:
    """Return the pairs to compare: a model's forms in their order and, of a candidate, PyTorch and IR with the
    baseline's; the IRs come last, since one replaces the other."""
    chain = list(forms.values())
    pairs = [*zip(chain, chain[1:])]
    if baseline is None:
        return pairs
    # The compression itself is best seen before any export.
    between = [(baseline[form], forms[form]) for form in (Form.PYTORCH, Form.IR) if form in baseline and form in forms]
    return [*between[:-1], *pairs, between[-1]]


def compare_forms(before: MeasuredForm, after: MeasuredForm, pictures: Pictures) -> Neighbours:
    """Return how far two forms agree, and draw the images in which they differ most."""
    agreement = compare(before.detections, after.detections, (before.max_detections, after.max_detections))
    worst = []
    for number, item in enumerate(agreement.images[:WORST_OF_A_PAIR], 1):
        if item.disagreement == 0:
            break
        names = "-".join(f"{form.step.model}_{form.step.form.value}" for form in (before, after))
        drawn = pictures.draw(item.image, f"{WORST}/{names}_{number}.jpg",
                              {str(form.step): form.detections[item.image] for form in (before, after)})
        worst.append(WorstPicture(file=drawn.file, image=drawn.image, disagreement=item.disagreement))
    return Neighbours(first=before.step, second=after.step, **agreement.to_json(), worst=tuple(worst),
                      map_change=after.scores.metrics.map - before.scores.metrics.map)


def _found(form: Form, given: Path, split: "Split", images: Mapping[int, str], model: str
           ) -> tuple[dict[int, Detections], dict[str, Path], str]:
    """Return what a form found, the files it was measured from, and what ran them."""
    if form is Form.PYTORCH:
        found = read_detections(given)
        absent = sorted(set(images) - set(found))
        if absent:
            raise UserError("detections", f"{given} has none for image ids {absent[:5]} ({len(absent)} images)",
                            "They must be of the split that is validated.", "Run evaluate on the same data again.")
        return {number: found[number] for number in images}, {"detections": given}, "PyTorch"
    detector = OnnxDetector(given)
    import onnxruntime

    return (detector.detect(dict(images), split, f"detecting ({model} ONNX)"), {MODEL_ONNX: given / MODEL_ONNX},
            f"onnxruntime {onnxruntime.__version__}")
