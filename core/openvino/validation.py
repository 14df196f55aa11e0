"""Measure a baseline and its candidates on the same images and the same machine."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.base.errors import CandidateFailed, UserError
from core.compression.structure import changed_layers, structure_of_ir
from core.evaluation import confusion
from core.evaluation.coco_map import read_annotations
from core.evaluation.golden import GOLDEN, choose_golden, write_golden
from core.evaluation.matches import bootstrap_map_difference, precision_at_recalls
from core.evaluation.truth import Truth, truth_by_image
from core.openvino.accuracy import Accuracy, measure_accuracy
from core.openvino.bound import SECONDS_PER_TURN, measure_bounds
from core.openvino.cpu import describe_cpu
from core.openvino.detector import OpenVinoDetector
from core.openvino.ir import describe_ir
from core.openvino.load import load_average
from core.openvino.pictures import Pictures
from core.openvino.runtime import INFERENCE_PRECISION, Hint, at_test_size, import_openvino, read_decision, read_ir
from core.openvino.sensitivity import measure_sensitivity
from core.openvino.speed import REPEATS, SECONDS_PER_REPEAT, WARM_UP_SECONDS, ModelSpeed, measure_speed
from core.openvino.waterfall import MeasuredForm, ModelFiles, compare_forms, measure_forms, pairs_of
from core.results.accuracy import Confusion, Form, MapDrop, OptionalForms
from core.results.outcome import Outcome
from core.results.speed import (
    LEAST_INT8_GAIN,
    LEAST_SHARE_OF_BOUND,
    Bound,
    Cpu,
    Load,
    Speedup,
    Structure,
    better_for_int8,
)
from core.results.validation import METRICS_FILE, Candidate, IrMeasurement, Model, Validation

if TYPE_CHECKING:
    from core.data.dataset import Dataset

SAMPLES = "samples"
# Below this much of its share of the FLOPs a quantized model is not run as one.
LEAST_INT8_SHARE = 0.9


def validate(data: "Dataset", baseline: ModelFiles, candidates: Sequence[ModelFiles], output_dir: Path,
             samples: int = 4, repeats: int = REPEATS, seconds: float = SECONDS_PER_REPEAT,
             sensitivity: bool = False, failed: Sequence[Outcome] = ()) -> Validation:
    """Score and time all IRs on the test split; write ``metrics.json``, ``samples/*.jpg``, ``worst/*.jpg`` and a
    golden image for each candidate (``golden_folder``).

    Args:
        data: The data set; its test split is used.
        baseline: The model that the candidates are compared with.
        candidates: One or more models that are to replace it.
        output_dir: Folder to write into; metrics.json comes last.
        samples: Number of test images drawn with ground truth and every IR's detections.
        repeats: Repeats of the speed measurement.
        seconds: Seconds per model, hint and repeat.
        sensitivity: Measure what compressing each part of a model costs, in minutes: of the first candidate that is
            quantized and whose ONNX is given, else of the first.
        failed: Candidates that came to nothing before; those that fail here, such as by boxes that are NaN, join them.

    Raises:
        UserError: An IR is damaged, models do not belong together, the classes are not those of the data set, an image
            is missing, or no candidate is left.
    """
    load = load_average()
    _check_comparable([baseline, *candidates])
    _require_any(candidates, failed)
    accuracies, outcomes = [_accuracy(baseline, data)], list(failed)
    for model in candidates:
        try:
            accuracies.append(_accuracy(model, data))
        except CandidateFailed as error:
            outcomes.append(Outcome(version=1, kind="failed candidate", candidate=model.name, stage="validate",
                                    reason=str(error)))
    fallen = {one.candidate for one in outcomes}
    candidates = [model for model in candidates if model.name not in fallen]
    _require_any(candidates, outcomes)
    models = [baseline, *candidates]
    speeds, meanwhile = measure_speed([model.ir for model in models], repeats, seconds, min(seconds, WARM_UP_SECONDS),
                                      load_average=load)
    speedups = [speed.speedups(speeds[0], meanwhile) for speed in speeds[1:]]
    measured_speedups = [(model.ir, found.counted.median) for model, found in zip(candidates, speedups)]
    bounds = measure_bounds(baseline.ir, measured_speedups, seconds=min(seconds, SECONDS_PER_TURN))
    annotations = read_annotations(data.test.annotation_file)
    read = [image for image in annotations["images"] if image["id"] in accuracies[0].detections]
    images = {image["id"]: image["file_name"] for image in read}
    truth = truth_by_image(annotations, data.classes, skipped=sorted(accuracies[0].skipped))
    output_dir = Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    pictures = Pictures(data.test, images, truth, data.classes, output_dir)
    forms = [measure_forms(model, accuracy, data.test, data.classes, images)
             for model, accuracy in zip(models, accuracies)]
    measured = [_Measured(model, accuracy, speed, *found)
                for model, accuracy, speed, found in zip(models, accuracies, speeds, forms)]
    first = _model(measured[0], measured[0], truth, pictures)
    records = tuple(_candidate(_model(one, measured[0], truth, pictures), one, measured[0], found, bound)
                    for one, found, bound in zip(measured[1:], speedups, bounds))
    asked = min((place for place, model in enumerate(candidates) if sensitivity and model.onnx),
                key=lambda place: not records[place].ir.fake_quantize_nodes, default=None)
    untold = []
    if asked is not None:
        try:
            costs = measure_sensitivity(Path(candidates[asked].onnx or ""), data)
            records = tuple(record.model_copy(update={"sensitivity": costs}) if place == asked else record
                            for place, record in enumerate(records))
        except CandidateFailed as error:
            # A model that works as it is can give NaN without its quantizers, which limit what they pass.
            untold = [f"The sensitivity of {candidates[asked].name} without its quantizers could not be measured: "
                      f"{error}"]
    cpu = describe_cpu()
    result = Validation(
        version=5, kind="openvino", data_digest=data.digest, classes=tuple(data.classes), baseline=first,
        candidates=records, cpu=cpu, load=meanwhile, inference_precision=INFERENCE_PRECISION,
        versions={"openvino": import_openvino().get_version()},
        samples=tuple(pictures.draw(image, f"{SAMPLES}/sample_{number}.jpg", {
            model.name: accuracy.detections[image] for model, accuracy in zip(models, accuracies)})
            for number, image in enumerate(pictures.spread(samples), 1)),
        corrupt_images=accuracies[0].corrupt_images, failed=tuple(outcomes),
        warnings=(*_warnings(records, cpu, meanwhile), *untold))
    for place, (model, accuracy) in enumerate(zip(models[1:], accuracies[1:])):
        chosen = choose_golden(accuracy.detections)
        write_golden(output_dir / golden_folder(model.name, place), data.test.image_root / images[chosen],
                     accuracy.detections[chosen])
    result.write(output_dir / METRICS_FILE)
    return result


def _accuracy(model: ModelFiles, data: "Dataset") -> Accuracy:
    return measure_accuracy(OpenVinoDetector(Path(model.ir), Hint.THROUGHPUT), data.test, data.classes,
                            f"detecting ({model.name} IR)")


def _require_any(candidates: Sequence[ModelFiles], failed: Sequence[Outcome]) -> None:
    """Refuse to go on where every candidate has failed."""
    if not candidates:
        raise UserError("candidates", ", ".join(one.candidate for one in failed) or "none", "There is nothing to "
                        "measure. " + " ".join(one.reason for one in failed), "Change what they failed of, or name "
                        "others.")


def golden_folder(name: str, place: int) -> str:
    """Return the folder of a candidate's golden image: ``golden`` for the first, ``golden-NAME`` for another."""
    return GOLDEN if place == 0 else f"{GOLDEN}-{name}"


class _Measured:
    """A model on its way into its record."""

    def __init__(self, files: ModelFiles, accuracy: Accuracy, speed: ModelSpeed, forms: dict[Form, MeasuredForm],
                 missing: dict[Form, str]) -> None:
        self.files, self.accuracy, self.speed, self.forms, self.missing = files, accuracy, speed, forms, missing
        self.structure = structure_of_ir(at_test_size(*read_ir(files.ir)))


def _check_comparable(models: Sequence[ModelFiles]) -> None:
    specs = [read_ir(model.ir)[1] for model in models]
    if specs[0].algorithms:
        raise UserError(f"{models[0].name} IR", models[0].ir, f"It was compressed by {', '.join(specs[0].algorithms)}.",
                        "Give the IR of the uncompressed checkpoint as the baseline.")
    width, height = specs[0].input_width, specs[0].input_height
    for model, spec in zip(models, specs):
        if (spec.input_width, spec.input_height) != (width, height):
            raise UserError(
                f"{model.name} IR", f"{model.ir} takes {spec.input_width}x{spec.input_height} pixels",
                f"The {models[0].name} IR takes {width}x{height}: neither speed nor accuracy could be compared.",
                "Export all checkpoints with the same test pipeline.")


def _model(one: _Measured, baseline: _Measured, truth: Mapping[int, Truth], pictures: Pictures) -> Model:
    described, accuracy, counted = describe_ir(one.files.ir), one.accuracy, one.structure
    matrix = confusion.confusion_matrix(truth, accuracy.detections, len(accuracy.scores.matches))
    # At recall 0, 0.01, .. 1 and IoU 0.5; nan throughout for a class without ground truth.
    curves = {name: precision_at_recalls(matches)[0].round(4) for name, matches in accuracy.scores.matches.items()}
    ir = IrMeasurement(
        **dict(one.forms[Form.IR].record()), seconds=accuracy.seconds,
        images_per_second=accuracy.metrics.images / accuracy.seconds, throughput=one.speed.throughput,
        latency=one.speed.latency, execution=one.speed.execution,
        structure=Structure(parameters=counted.parameters, nonzero=counted.nonzero, flops=counted.flops,
                            channels=counted.channels),
        size_mb=described.size_mb, weights_mb=described.weights_mb, weights_mb_before=described.weights_mb_before,
        channels_before=described.channels_before, fake_quantize_nodes=described.fake_quantize_nodes,
        int8_weights=described.int8_weights,
        curves={name: None if np.isnan(curve).any() else tuple(curve.tolist()) for name, curve in curves.items()},
        confusion=Confusion(counts=tuple(map(tuple, matrix.tolist())), min_score=confusion.MIN_SCORE,
                            iou=confusion.IOU))
    others = {name: one.forms[form].record() if form in one.forms else None
              for name, form in ((name, Form(name)) for name in OptionalForms.model_fields)}
    pairs = pairs_of(one.forms, None if one is baseline else baseline.forms)
    return Model(name=one.files.name, **others, ir=ir, missing=one.missing,
                 neighbours=tuple(compare_forms(*pair, pictures) for pair in pairs))


def _candidate(model: Model, one: _Measured, first: _Measured, speedups: Speedup, bound: Bound | None) -> Candidate:
    before, after = first.forms.get(Form.PYTORCH, first.forms[Form.IR]), one.forms[Form.IR]
    interval = bootstrap_map_difference(list(before.scores.matches.values()), list(after.scores.matches.values()))
    same_layers = len(first.structure.layers) == len(one.structure.layers)
    changed = tuple(changed_layers(first.structure, one.structure)) if same_layers else None
    return Candidate(
        **dict(model), speedup=speedups.counted, speedups=speedups, decision=read_decision(one.files.ir),
        latency_ratio=one.speed.latency_ratio(first.speed), bound=bound, layers_changed=changed, map_drop=MapDrop(
            first=before.step, second=after.step, value=before.scores.metrics.map - after.scores.metrics.map,
            low=interval.low, high=interval.high, level=interval.level, samples=interval.samples))


def _warnings(candidates: Sequence[Candidate], cpu: Cpu, load: Load) -> list[str]:
    found = []
    if load.busy:
        found.append(f"Other processes kept {load.other_cores:.1f} cores busy while speed was measured; the figures "
                     "are too low" + (", so speed-ups are ratios of CPU time." if load.disturbed else
                                  ", and their ratio is less certain than on a quiet machine."))
    for candidate in candidates:
        bound, share, quantized = candidate.bound, candidate.ir.execution.int8_share, candidate.ir.fake_quantize_nodes
        if bound and bound.below:
            found.append(f"The speed-up of {candidate.name}, {candidate.speedup.median:.2f}x, is {bound.share:.2f} of "
                         f"the {bound.speedup.median:.2f}x that its layers alone gain on this CPU; at least "
                         f"{LEAST_SHARE_OF_BOUND} is to be expected.")
        if bound and quantized and bound.int8.median < LEAST_INT8_GAIN:
            found.append(f"This CPU gains nothing from int8: in it the baseline's layers are {bound.int8.median:.2f}x "
                         f"as fast as in FP32. Prune, or deploy on {better_for_int8(cpu.instruction_set)}.")
        if quantized and share < LEAST_INT8_SHARE:
            found.append(f"Only {share:.0%} of the convolution work of {candidate.name} runs in int8.")
    return list(dict.fromkeys(found))
