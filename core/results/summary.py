"""``summary.json``: the figures by which a candidate is judged and compared, and what exactly was measured."""

import math
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import Field, field_validator

from core.base.errors import UserError
from core.base.text import bounded_repr
from core.results.record import (
    Count,
    MeasuredDifference,
    MeasuredFraction,
    MeasuredQuantity,
    Name,
    Quantity,
    Record,
    Text,
)

_LIMITS = {
    "min_map": (1.0, "It must be a number from 0 to 1, in absolute mAP.", "Use 0.05 to refuse models that find next to "
                "nothing, 0 to ask nothing."),
    "max_map_drop": (1.0, "It must be a number from 0 to 1, in absolute mAP.", "Use 0.01 to allow one point of mAP."),
    "max_class_drop": (1.0, "It must be a number from 0 to 1, in absolute AP.",
                       "Use 0.05 to allow five points of any one class, 1 to ask nothing."),
    "min_speedup": (math.inf, "It must be a finite number of at least 0.",
                    "Use 1.0 to ask that the candidate is not slower, 0 to ask nothing."),
}


# 0.41 - 0.40 is not 0.01 in binary.
SLACK = 1e-9


def within(loss: float, limit: float) -> bool:
    """Return whether a loss is within its limit, also where it is equal but for rounding; NaN is not."""
    return loss <= limit + SLACK


class Objective(StrEnum):
    """What the best candidate is the best in."""

    THROUGHPUT = "throughput"
    """Images a second."""
    LATENCY = "latency"
    """Milliseconds of one image."""
    SIZE = "size"
    """Bytes of the IR."""


class Thresholds(Record):
    """The limits that a candidate must keep. Beside them, every test image must have been scored.

    Raises:
        UserError: A limit is not a number or out of its range; it names the parameter.
    """

    max_map_drop: float = 0.01
    """Largest loss of mAP, baseline in PyTorch to candidate's IR, absolute; 0.01 is one point of mAP."""
    max_class_drop: float = 0.05
    """Largest loss of AP of any one class, likewise; 1 asks nothing."""
    min_speedup: float = 1.0
    """Smallest ratio of images a second, candidate's IR to baseline's IR; 0 asks nothing."""
    min_map: float = 0.05
    """Smallest mAP of the baseline in PyTorch and of the candidate's IR; 0 asks nothing."""

    @field_validator("*", mode="before")
    @classmethod
    def _in_range(cls, value: Any, info: Any) -> Any:
        highest, rule, hint = _LIMITS[info.field_name]
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or not 0 <= value <= highest:
            raise UserError(f"parameter {info.field_name}", bounded_repr(value), rule, hint)
        return float(value)


class Digests(Record):
    """SHA-256 of what was measured; empty where there is none."""

    data: str
    """Of the data set."""
    parent_checkpoint: str
    """Of the baseline's checkpoint."""
    candidate_checkpoint: str = Field(alias="compressed_checkpoint")
    """Of the candidate's checkpoint."""
    baseline_ir_xml: str = Field(alias="ir_fp32_xml")
    """Of the baseline's model.xml."""
    baseline_ir_bin: str = Field(alias="ir_fp32_bin")
    """Of the baseline's model.bin."""
    ir_xml: str
    """Of the candidate's model.xml."""
    ir_bin: str
    """Of the candidate's model.bin."""
    nncf_config: str
    """Of the candidate's `nncf_config`."""


class CpuFacts(Record):
    """The CPU of the OpenVINO measurements."""

    name: Text
    """Model name."""
    instruction_set: str
    """The best one for int8."""
    cores: Count
    """Logical cores."""


class DataFacts(Record):
    """The data that everything was measured on."""

    uri: Text
    """Where it lies."""
    format: str
    """`coco` or `voc`."""
    classes: Count
    """How many."""
    test_split: Text
    """Name of the split."""
    test_images: Count
    """Images scored in OpenVINO."""


class ParentFacts(Record):
    """The checkpoint that the run was given, both empty where it trained one."""

    uri: Text
    """Where it lies."""
    digest: str
    """Its digest."""


class ConfigFacts(Record):
    """Both configs."""

    model: Text
    """The baseline's."""
    model_digest: str
    """Its digest."""
    compression: Text
    """The candidate's."""
    compression_digest: str
    """Its digest."""


class CompressionFacts(Record):
    """What was done to the candidate."""

    algorithms: tuple[str, ...]
    """NNCF's algorithms."""
    fake_quantize_nodes: Count
    """FakeQuantize operators of its IR."""


class ModelNames(Record):
    """How the models are called."""

    baseline: Name = "baseline"
    """The model that the candidate is compared with."""
    candidate: Name = "candidate"
    """The model that is judged."""


class Provenance(Record):
    """What exactly was measured."""

    models: ModelNames = ModelNames()
    """Their names."""
    sha256: Digests
    """Digests."""
    versions: dict[str, str]
    """Package to version."""
    cpu: CpuFacts
    """The CPU."""
    data: DataFacts
    """The data."""
    parent: ParentFacts
    """The checkpoint that was given."""
    configs: ConfigFacts
    """The configs."""
    compression: CompressionFacts
    """The compression."""
    thresholds: Thresholds
    """The limits of the run."""


class Contender(Record):
    """A candidate of a run, and why it was chosen or not."""

    name: Name
    """Its name."""
    chosen: bool
    """Whether it is the one that is judged and published."""
    why: Text
    """Why, a sentence."""
    decision: Text
    """What was decided of its training and of its layers, and why; empty where it failed before."""
    epochs: Count
    """Epochs that it was trained."""
    result_epoch: Count = 0
    """Epoch whose weights it has; 0 where that is not known or nothing was trained."""
    hours: Quantity
    """Hours of its compression: of all GPUs together, or of the CPU."""
    gpus: Count
    """GPUs that it was compressed on; 0 is the CPU."""


class Choice(Record):
    """Which candidate of a run is the best within the limits."""

    objective: Objective
    """What is best."""
    candidates: tuple[Contender, ...]
    """All candidates, those that failed too."""
    price_per_hour: Quantity = Field(0.0, exclude_if=lambda price: not price)
    """Price of an hour of a GPU, or of the CPU without one; the key is absent where the run was given none."""


class SpeedFacts(Record):
    """What the speed-up rests on."""

    source: Literal["wall", "cpu"]
    """Time by which it is measured: CPU time where other processes disturbed, else wall time."""
    bound: MeasuredQuantity
    """What the CPU lets the candidate gain at best, measured on it; null where there is none."""
    share: MeasuredQuantity
    """The speed-up over that."""
    int8_gain: MeasuredQuantity
    """What this CPU gains from int8 in the baseline's layers; 1 is nothing."""
    latency_gain: MeasuredQuantity = math.nan
    """The baseline's latency over its own, by the time of `source`, median of the repeats' ratios."""


class Summary(Record):
    """`summary.json`: a candidate beside its baseline. Of mAP and AP, COCO's are meant.

    Without another word, figures are of the candidate's IR, those with `fp32` in their key of the baseline.
    """

    version: Literal[3] = Field(alias="schema")
    """Version of this format."""
    verdict: Literal["pass", "fail"]
    """Whether the limits of the run are kept."""
    baseline_map: MeasuredFraction = Field(alias="map_fp32")
    """mAP of the baseline in PyTorch."""
    map_pytorch: MeasuredFraction = Field(alias="map_compressed")
    """mAP of the candidate in PyTorch."""
    baseline_map_ir: MeasuredFraction = Field(alias="map_ir_fp32")
    """mAP of the baseline's IR."""
    map_ir: MeasuredFraction
    """mAP of the candidate's IR."""
    baseline_map50: MeasuredFraction = Field(alias="map50_fp32")
    """mAP at IoU 0.5 of the baseline in PyTorch."""
    map50_pytorch: MeasuredFraction = Field(alias="map50_compressed")
    """Of the candidate in PyTorch."""
    baseline_map50_ir: MeasuredFraction = Field(alias="map50_ir_fp32")
    """Of the baseline's IR."""
    map50_ir: MeasuredFraction
    """Of the candidate's IR."""
    map_drop: MeasuredDifference
    """`map_fp32` minus `map_ir`: baseline in PyTorch to candidate's IR."""
    map_drop_low: MeasuredDifference
    """Lower end of its 95 % interval over images."""
    map_drop_high: MeasuredDifference
    """Upper end."""
    worst_class: Text
    """The class that lost the most AP, baseline in PyTorch to candidate's IR; empty where none can be compared."""
    worst_class_drop: MeasuredDifference
    """How much it lost."""
    corrupt_images: MeasuredQuantity
    """Images that were not scored."""
    baseline_fps: MeasuredQuantity = Field(alias="fps_fp32")
    """Images a second under the throughput hint."""
    fps: MeasuredQuantity
    """Likewise."""
    speedup: MeasuredQuantity
    """Ratio of both, or of their CPU times, as `speed.source` says; median of the repeats' ratios."""
    speedup_low: MeasuredQuantity
    """The smallest of them."""
    speedup_high: MeasuredQuantity
    """The largest."""
    int8_share: MeasuredFraction
    """Part of the convolution work that runs in int8."""
    baseline_latency_ms_p50: MeasuredQuantity = Field(alias="latency_ms_p50_fp32")
    """Median milliseconds of one image under the latency hint."""
    latency_ms_p50: MeasuredQuantity
    """Likewise."""
    baseline_size_mb: MeasuredQuantity = Field(alias="size_mb_fp32")
    """xml + bin in units of 1e6 bytes."""
    size_mb: MeasuredQuantity
    """Likewise."""
    speed: SpeedFacts
    """What the speed-up rests on."""
    provenance: Provenance
    """What exactly was measured."""
    further: tuple["Summary", ...] = Field((), exclude_if=lambda further: not further)
    """Of a run with several candidates the others; the key is absent where there is one."""
    choice: Choice | None = Field(None, exclude_if=lambda choice: choice is None)
    """Of a run with several candidates why this one was chosen; the key is absent where there is one and no price."""

    @property
    def all(self) -> Iterator["Summary"]:
        """Yield this summary and those of further candidates."""
        yield self
        yield from self.further

    @property
    def passed(self) -> bool:
        """Return whether the candidate kept the limits: the chosen one, of several."""
        return self.verdict == "pass"

    def figures(self) -> dict[str, float]:
        """Return the numbers that are measured, by their keys in JSON; NaN where one could not be."""
        return {key: getattr(self, name) for key, name in FIGURES.items()}

    def metrics(self) -> dict[str, float]:
        """Return what KFP's Metrics artifact can hold: ``passed`` (1 or 0) and every figure that is a number."""
        return {"passed": int(self.passed),
                **{name: value for name, value in self.figures().items() if math.isfinite(value)}}

    def judged(self, passed: bool) -> Self:
        """Return the same summary with a verdict."""
        return self.model_copy(update={"verdict": "pass" if passed else "fail"})


# Key in JSON to attribute.
FIGURES = {field.alias or name: name for name, field in Summary.model_fields.items() if field.annotation is float}
