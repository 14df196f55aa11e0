"""What the runtime made of a model: in which precision each layer with weights really runs."""

from dataclasses import asdict, dataclass
from typing import Any

from core.compression.structure import count_in_ir

INT8 = ("u8", "i8")
FUSED = "unknown"


@dataclass(frozen=True)
class ExecutedLayer:
    """A convolution or fully connected layer as the runtime runs it.

    Args:
        name: Its name in the IR.
        precision: Of its arithmetic: ``u8`` and ``i8`` are int8; ``unknown`` where the runtime's graph has lost it.
        primitive: The runtime's name of the code it runs, such as ``jit_avx2_I8``.
        flops: Of one pass.
    """

    name: str
    precision: str
    primitive: str
    flops: int


@dataclass(frozen=True)
class Execution:
    """How the runtime executes a model.

    Args:
        layers: The layers with weights, in the order in which they run.
        unrounded: FakeQuantize operators that are not rounded. Where one is fused behind a convolution, added to
            another branch and quantized again, as in every residual block, OpenVINO's CPU plugin leaves its rounding
            out (``core.openvino.rounding`` keeps it). PyTorch rounds, so that some percent of the sums would differ by
            one level.
    """

    layers: tuple[ExecutedLayer, ...]
    unrounded: tuple[str, ...] = ()

    @property
    def int8_share(self) -> float:
        """Return the share of all FLOPs that runs in int8, 0 to 1; 0 for a model without such layers."""
        total = sum(layer.flops for layer in self.layers)
        return sum(layer.flops for layer in self.layers if layer.precision in INT8) / total if total else 0.0

    @property
    def not_int8(self) -> tuple[ExecutedLayer, ...]:
        """Return the layers that do not run in int8, the most expensive first."""
        return tuple(sorted((layer for layer in self.layers if layer.precision not in INT8),
                            key=lambda layer: -layer.flops))

    def to_json(self) -> dict[str, Any]:
        """Return the share and the layers that do not run in int8, with their share of the FLOPs."""
        total = sum(layer.flops for layer in self.layers)
        return {"layers": len(self.layers), "int8_share": self.int8_share,
                "unrounded": list(self.unrounded),
                "not_int8": [{**asdict(layer), "share": layer.flops / total} for layer in self.not_int8]}


def describe_execution(model: Any, compiled: Any) -> Execution:
    """Return how ``compiled``, an ``openvino.CompiledModel`` of ``model``, runs the layers that have weights."""
    kinds = {operation.get_friendly_name(): operation.get_type_name() for operation in model.get_ops()}
    executed: dict[str, list[str]] = {}
    unrounded: list[str] = []
    for operation in compiled.get_runtime_model().get_ordered_ops():
        info = operation.get_rt_info()
        if "originalLayersNames" not in info:
            continue
        how = [_text(info[key]) for key in ("runtimePrecision", "primitiveType")]
        # A layer comes first among what the runtime fused into it, in the order in which it is applied.
        names = _text(info["originalLayersNames"]).split(",")
        executed.setdefault(names[0], how)
        if how[0] in INT8:
            unrounded += _unrounded([(name, kinds.get(name, "")) for name in names])
    return Execution(tuple(ExecutedLayer(layer.name, *executed.get(layer.name, [FUSED, FUSED]), layer.flops)
                           for layer in count_in_ir(model).layers), tuple(unrounded))


def _unrounded(fused: list[tuple[str, str]]) -> list[str]:
    """Return the FakeQuantize of (name, type) that comes first and is followed by a sum and another FakeQuantize."""
    quantized = [place for place, (_, kind) in enumerate(fused) if kind == "FakeQuantize"]
    if len(quantized) < 2:
        return []
    before, between = ({kind for _, kind in part} for part in (fused[1:quantized[0]],
                                                               fused[quantized[0]:quantized[-1]]))
    # Scale and bias, some of them made by the runtime, are part of the convolution itself.
    return [fused[quantized[0]][0]] if before <= {"", "Multiply", "Add"} and "Add" in between else []


def _text(value: Any) -> str:
    return str(getattr(value, "value", value))
