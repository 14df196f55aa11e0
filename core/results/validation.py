"""``metrics.json`` of the validate stage: a baseline and its candidates measured in OpenVINO."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from core.results.accuracy import (
    Confusion,
    CorruptImage,
    Form,
    MapDrop,
    Measurement,
    Neighbours,
    OptionalForms,
    Picture,
    Step,
)
from core.results.outcome import Outcome
from core.results.record import Count, Fraction, Name, Positive, Quantity, Record, Text
from core.results.sensitivity import Sensitivity
from core.results.speed import Bound, Cpu, Execution, HintSpeed, LayerChange, Load, Ratio, Speedup, Structure

METRICS_FILE = "metrics.json"
Curve = Annotated[tuple[Fraction, ...], Field(min_length=101, max_length=101)]


class IrMeasurement(Measurement):
    """All that was measured of an IR."""

    seconds: Positive
    """Of the accuracy pass with decoding."""
    images_per_second: Quantity
    """Likewise."""
    throughput: HintSpeed
    """Under the throughput hint."""
    latency: HintSpeed
    """Under the latency hint, one request at a time."""
    execution: Execution
    """How the runtime executes it."""
    structure: Structure
    """What it consists of."""
    size_mb: Quantity
    """Size of both files in units of 1e6 bytes."""
    weights_mb: Quantity
    """Size of model.bin likewise."""
    weights_mb_before: Quantity
    """The same with the zeros of pruned filters still stored."""
    channels_before: Count
    """Channels before pruned filters were removed."""
    fake_quantize_nodes: Count
    """FakeQuantize operators."""
    int8_weights: Count
    """Weights stored as integers of at most 8 bits."""
    curves: dict[Text, Curve | None]
    """Class to precision at recall 0, 0.01, .. 1 at IoU 0.5; null for a class without ground truth."""
    confusion: Confusion
    """Which classes it takes for which."""

    @model_validator(mode="after")
    def _names_both_files(self) -> Self:
        if set(self.files) != {"model.xml", "model.bin"}:
            raise ValueError("files of an IR must be model.xml and model.bin")
        return self


class Model(OptionalForms):
    """A model in the forms that it goes through."""

    name: Name
    """Unique in the file."""
    ir: IrMeasurement
    """The IR in OpenVINO."""
    missing: dict[Form, Text]
    """Form to the reason why it was not measured."""
    neighbours: tuple[Neighbours, ...]
    """Its forms compared with each other; of a candidate also with the baseline's."""

    @property
    def forms(self) -> dict[Form, Measurement]:
        """Return the forms that were measured, in their order."""
        found = {form: getattr(self, form.value) for form in Form}
        return {form: measurement for form, measurement in found.items() if measurement is not None}


class Candidate(Model):
    """A model that is to replace the baseline, and how it compares with it."""

    speedup: Ratio
    """How much faster it is than the baseline under the throughput hint: `speedups` of their source."""
    speedups: Speedup
    """By wall time and by CPU time."""
    latency_ratio: Ratio
    """The baseline's median latency over its own in the same repeat, under the latency hint."""
    bound: Bound | None
    """What the CPU lets it gain at best; null where the graphs have no layers with weights."""
    map_drop: MapDrop
    """What it loses."""
    decision: Text = ""
    """What convert decided of its layers, as of int8_mixed, sentences; empty where there was nothing to decide."""
    layers_changed: tuple[LayerChange, ...] | None
    """Layers whose channels differ; null where the graphs have not the same layers."""
    sensitivity: Sensitivity | None = None
    """What compressing each part of it costs; null where that was not asked for, and of all candidates but one."""


class Validation(Record):
    """`metrics.json` of the validate stage: all models on the same images, the same machine and in turns."""

    version: Literal[5] = Field(alias="schema")
    """Version of this format; a reader must refuse another."""
    kind: Literal["openvino"]
    """What was measured in."""
    data_digest: str
    """Of the data set."""
    classes: Annotated[tuple[Text, ...], Field(min_length=1)]
    """Class names in the order of the labels."""
    baseline: Model
    """The model that candidates are compared with."""
    candidates: Annotated[tuple[Candidate, ...], Field(min_length=1)]
    """The models that are to replace it."""
    cpu: Cpu
    """The CPU of all measurements but PyTorch's."""
    load: Load
    """What else it did meanwhile."""
    inference_precision: Literal["f32", "f16", "bf16"]
    """OpenVINO's hint: with `f32`, FP32 layers are not run in bf16."""
    versions: dict[str, str]
    """Package to version."""
    samples: tuple[Picture, ...]
    """Test images with the detections of every IR."""
    corrupt_images: tuple[CorruptImage, ...]
    """Images left out of every form."""
    failed: tuple[Outcome, ...] = Field((), exclude_if=lambda failed: not failed)
    """Candidates that came to nothing and were not measured; the key is absent where there is none."""
    warnings: tuple[Text, ...]
    """Sentences: a busy machine, a speed-up far below what the CPU allows, work that is not in int8."""

    @property
    def models(self) -> tuple[Model, ...]:
        """Return the baseline and the candidates."""
        return (self.baseline, *self.candidates)

    def steps(self) -> Iterator[tuple[Step, Measurement]]:
        """Yield every form of every model that was measured."""
        for model in self.models:
            for form, measurement in model.forms.items():
                yield Step(model=model.name, form=form), measurement

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        names = [model.name for model in self.models]
        if len(set(names)) < len(names):
            raise ValueError(f"the models' names {names} must differ")
        size = len(self.classes) + 1
        for model in self.models:
            if [len(row) for row in model.ir.confusion.counts] != [size] * size:
                raise ValueError(f"the confusion matrix of {model.name} must have {size} rows of {size} counts")
        return self
