"""Speed: what was timed, on which CPU, how the runtime executed it, and what was to be expected."""

import statistics
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field

from core.results.record import Count, Fraction, MeasuredQuantity, Positive, Quantity, Record, Text

Repeats = Annotated[tuple[Positive, ...], Field(min_length=1)]


class Cpu(Record):
    """The CPU that everything in the file was measured on."""

    name: Text
    """Model name."""
    instruction_set: str
    """The best one for int8 inference, or `unknown`."""
    instruction_sets: tuple[str, ...]
    """All that it has, best first."""
    cores: Annotated[int, Field(ge=1)]
    """Logical cores that the process could use."""


class Load(Record):
    """What else the machine did while speed was measured; null where the system does not tell."""

    average: MeasuredQuantity
    """Load average of the minute before the stage began."""
    other_cores: MeasuredQuantity
    """Cores that other processes kept busy, with what a host took from a virtual machine."""
    busy: bool
    """Whether `other_cores` is above 0.25."""


class Latency(Record):
    """Milliseconds of single inferences over all repeats."""

    median: Positive
    """Half of them are faster."""
    p90: Positive
    """90 % of them are faster."""
    p99: Positive
    """99 % of them are faster."""
    min: Positive
    """The fastest."""
    max: Positive
    """The slowest."""


class HintSpeed(Record):
    """Speed under one performance hint."""

    hint: Literal["THROUGHPUT", "LATENCY"]
    """OpenVINO's performance hint."""
    fps: Positive
    """Images a second, median of the repeats."""
    fps_repeats: Repeats
    """The same of each repeat."""
    latency_ms: Latency
    """Milliseconds of an inference."""
    latency_ms_repeats: Repeats
    """Median latency of each repeat."""
    inferences: Count
    """How many there were."""
    compile_ms: Quantity
    """Milliseconds to compile the model."""
    first_inference_ms: Quantity
    """Milliseconds of the first inference after that."""
    streams: Count
    """Inferences that the runtime works on at the same time."""
    requests: Count
    """Infer requests kept waiting for them."""
    threads: Count
    """CPU threads of all streams together."""
    batch: Count
    """Images in one inference."""


class Ratio(Record):
    """A ratio measured in every repeat."""

    median: Positive
    """Median of the repeats."""
    low: Positive
    """The smallest."""
    high: Positive
    """The largest."""

    @classmethod
    def of(cls, upper: Sequence[float], lower: Sequence[float]) -> Self:
        """Return the ratio of two series, each pair from one repeat."""
        ratios = [above / below for above, below in zip(upper, lower)]
        return cls(median=statistics.median(ratios), low=min(ratios), high=max(ratios))


class Expectation(Record):
    """What the CPU lets one expect of a candidate."""

    peak: MeasuredQuantity
    """int8 over FP32 convolutions by the instruction set (AVX2 and AVX512 2, VNNI and AMX 4); null for others."""
    speedup: MeasuredQuantity
    """What follows for this model by Amdahl's law from its int8 share and the work that pruning removed."""
    measured: Positive
    """The speed-up that was measured."""
    far_below: bool
    """Whether that is below 60 % of the expected one."""


class Layer(Record):
    """A layer with weights that does not run in int8."""

    name: Text
    """Its name in the IR."""
    precision: str
    """Of its arithmetic; `unknown` where the runtime's graph has lost it."""
    primitive: str
    """The runtime's name of the code it runs."""
    flops: Count
    """Of one pass."""
    share: Fraction
    """Of the model's FLOPs."""


class Execution(Record):
    """How the runtime executes a model, from the runtime's own graph."""

    layers: Count
    """Layers with weights."""
    int8_share: Fraction
    """Share of their FLOPs that runs in int8."""
    not_int8: tuple[Layer, ...]
    """The layers that do not, the most expensive first."""
    unrounded: tuple[str, ...]
    """FakeQuantize operators whose rounding the runtime leaves out (docs/benchmarks.md)."""


class Structure(Record):
    """Size and cost, counted from the graph."""

    parameters: Count
    """Elements of all weights."""
    nonzero: Count
    """Those that are not 0."""
    flops: Count
    """Of one image, two for each multiply-accumulate; grouped convolutions are counted as such."""
    channels: Count
    """Filters of all convolutions."""


class LayerChange(Record):
    """A layer whose channels differ between the baseline and a candidate."""

    name: Text
    """Its name in the baseline's IR."""
    in_channels: tuple[Count, Count]
    """Before and after."""
    out_channels: tuple[Count, Count]
    """Before and after."""
