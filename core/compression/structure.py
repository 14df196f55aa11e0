"""Size and cost of a network, counted from the network itself: parameters, FLOPs and channels of each layer.

NNCF's own statistics echo the level that was asked for and count depthwise convolutions as if they were dense.
"""

import contextlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from core.errors import UserError

_CONV, _TRANSPOSED, _LINEAR = "conv", "transposed_conv", "linear"


@dataclass(frozen=True)
class LayerCounts:
    """One convolution or fully connected layer.

    Attributes:
        name: Its name in the graph or the module.
        kind: ``conv``, ``transposed_conv`` or ``linear``.
        in_channels: Channels it reads.
        out_channels: Channels it writes: its filters.
        groups: Groups of a convolution, equal to in_channels where it is depthwise; 1 for a linear layer.
        parameters: Elements of weight and bias.
        nonzero: Those that are not 0.
        flops: Of one image: two for each multiplication with its addition, summed over the layer's calls.
    """

    name: str
    kind: str
    in_channels: int
    out_channels: int
    groups: int
    parameters: int
    nonzero: int
    flops: int


@dataclass(frozen=True)
class StructureCounts:
    """The layers with weights of one network, in the order in which they run."""

    layers: Tuple[LayerCounts, ...]

    @property
    def parameters(self) -> int:
        """Elements of all weights and biases; batch norms, which end up in their convolutions, are not counted."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def nonzero(self) -> int:
        """Those that are not 0."""
        return sum(layer.nonzero for layer in self.layers)

    @property
    def flops(self) -> int:
        """FLOPs of one image, two for each multiply-accumulate."""
        return sum(layer.flops for layer in self.layers)

    @property
    def channels(self) -> int:
        """Filters of all convolutions."""
        return sum(layer.out_channels for layer in self.layers if layer.kind != _LINEAR)

    def to_json(self) -> Dict[str, Any]:
        """Return the totals and the layers as plain JSON values."""
        return {"parameters": self.parameters, "nonzero": self.nonzero, "flops": self.flops,
                "channels": self.channels, "layers": [asdict(layer) for layer in self.layers]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "StructureCounts":
        """Return what ``to_json`` wrote."""
        return cls(tuple(LayerCounts(**layer) for layer in values["layers"]))


def count_in_pytorch(network: Any, image: Any) -> StructureCounts:
    """Run ``network(image)`` once and count the layers that ran.

    Args:
        network: A module, plain or inside NNCF, whose forward takes one batch; compressed weights count as the layer
            uses them, after masks.
        image: The batch, ``[N, 3, H, W]``; FLOPs are those of one image.
    """
    import torch

    seen: Dict[Any, List[Any]] = {}
    names = {module: name for name, module in network.named_modules()}
    handles = [module.register_forward_hook(lambda layer, inputs, output: seen.setdefault(layer, []).append(output))
               for module in names if _is_weighted(module)]
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(image)
    finally:
        network.train(training)
        for handle in handles:
            handle.remove()
    return StructureCounts(tuple(_module_counts(names[layer], layer, outputs, int(image.shape[0]))
                                 for layer, outputs in seen.items()))


def count_in_onnx(path: Path) -> StructureCounts:
    """Count the convolutions and fully connected layers of an ONNX file with a fixed input size.

    Raises:
        UserError: The file is damaged, or the size of a layer's output cannot be inferred.
    """
    from core.export.fake_quantize import load_onnx

    model = load_onnx(path)
    constants = _constants(model.graph)
    shapes = _inferred_shapes(model)
    return StructureCounts(tuple(_node_counts(node, constants, shapes, path) for node in model.graph.node
                                 if node.op_type in _ONNX_KINDS and node.input[1] in constants))


def count_in_ir(model: Any) -> StructureCounts:
    """Count the convolutions and fully connected layers of an ``openvino.Model`` with a fixed input size."""
    return StructureCounts(tuple(_operation_counts(operation) for operation in model.get_ordered_ops()
                                 if operation.get_type_name() in _IR_KINDS and _weight_of(operation) is not None))


def _conv_flops(weight: Sequence[int], output: Sequence[int], kind: str, source: Sequence[int] = ()) -> int:
    """Return the FLOPs of a convolution for one image.

    Args:
        weight: Shape of the weight: [out, in / groups, *kernel], transposed [in, out / groups, *kernel].
        output: Spatial size of the output.
        source: Spatial size of the input; a transposed convolution multiplies once for each of its positions.
    """
    return 2 * _product(weight) * _product(source if kind == _TRANSPOSED else output)


def _product(sizes: Sequence[int]) -> int:
    product = 1
    for size in sizes:
        product *= int(size)
    return product


def _is_weighted(module: Any) -> bool:
    import torch

    return isinstance(module, (torch.nn.modules.conv._ConvNd, torch.nn.Linear))


def _module_counts(name: str, layer: Any, outputs: Sequence[Any], images: int) -> LayerCounts:
    import torch

    # Compressed layers keep the dense weight; what is computed with went through masks and quantizers.
    weight, bias = layer.weight, layer.bias
    tensors = [weight] if bias is None else [weight, bias]
    parameters = sum(tensor.numel() for tensor in tensors)
    nonzero = sum(int(torch.count_nonzero(tensor)) for tensor in tensors)
    if isinstance(layer, torch.nn.Linear):
        rows = sum(output.numel() // output.shape[-1] for output in outputs) // images
        return LayerCounts(name, _LINEAR, layer.in_features, layer.out_features, 1, parameters, nonzero,
                           2 * weight.numel() * rows)
    return LayerCounts(name, "", 0, 0, 0, parameters, nonzero, 0)
