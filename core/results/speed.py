"""Speed: what was timed, on which CPU, how the runtime executed it, and what that CPU can do at best."""

import statistics
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field

from core.results.record import Count, Fraction, MeasuredQuantity, Positive, Quantity, Record, Text

# Below it a model does not use what its CPU can do.
LEAST_SHARE_OF_BOUND = 0.85
# Below it a CPU gains nothing worth its loss of accuracy from int8.
LEAST_INT8_GAIN = 1.1
# Instruction sets (core/openvino/cpu.py) that multiply 8 bits and add 32 at once.
_DOT_PRODUCTS = ("AMX_INT8", "AVX512_VNNI", "AVX_VNNI", "NEON_DOTPROD")

Repeats = Annotated[tuple[Positive, ...], Field(min_length=1)]


def better_for_int8(instruction_set: str) -> str:
    """Return in words what gains more from int8 than a CPU whose best instruction set for it is this one."""
    return "another CPU" if instruction_set in _DOT_PRODUCTS else "a CPU with VNNI"


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
    disturbed: bool
    """Whether other processes took CPU time from what was timed: `busy`, and a model had below 0.9 of its threads."""


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
    cpu_ms: Positive
    """Milliseconds of the process's CPU time (user + system) for one image, median of the repeats."""
    cpu_ms_repeats: Repeats
    """The same of each repeat."""
    cpu_share: Quantity
    """CPU time over wall time and threads, median of the repeats; below 1 where the threads waited for something."""
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


class Speedup(Record):
    """How much faster a candidate is than the baseline, by two clocks, under the throughput hint."""

    wall: Ratio
    """Its images a second over the baseline's in the same repeat."""
    cpu: Ratio
    """The baseline's CPU time of an image over its own in the same repeat."""
    source: Literal["wall", "cpu"]
    """Which of them counts: CPU time where other processes disturbed the measurement, else wall time."""

    @property
    def counted(self) -> Ratio:
        """Return the one that counts."""
        return self.cpu if self.source == "cpu" else self.wall


class Bound(Record):
    """What the CPU lets a candidate gain at best: its layers with weights alone, timed where all was measured.

    Each different layer is timed in FP32 and, of quantized models, in int8, with all streams busy; a model's time is
    the sum over its layers.
    """

    int8: Ratio
    """The baseline's layers in FP32 over the same layers in int8: what this CPU gains from int8."""
    speedup: Ratio
    """The baseline's layers in FP32 over the candidate's own, in int8 where it is quantized."""
    share: Positive
    """The measured speed-up over the median of that."""
    below: bool
    """Whether the share is below 0.85."""
    layers: Annotated[int, Field(ge=1)]
    """Different layers of the candidate that were timed."""


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
