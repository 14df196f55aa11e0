"""How far a model is compressed at this moment, counted from NNCF's masks and quantizers.

NNCF 2.0.0's own statistics repeat the level that was asked for (torch/pruning/filter_pruning/algo.py, statistics).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CompressionStatistics:
    """What NNCF has done to a network so far.

    Attributes:
        quantizers: FakeQuantize modules, of weights and of activations.
        filters: Filters of the convolutions that filter pruning may prune; 0 without that algorithm.
        pruned_filters: Those that its masks remove.
        weights: Weights of the layers that a sparsity algorithm covers; 0 without one.
        zero_weights: Those that its masks remove.
    """

    quantizers: int
    filters: int
    pruned_filters: int
    weights: int
    zero_weights: int

    def __str__(self) -> str:
        parts = []
        if self.quantizers:
            parts.append(f"{self.quantizers} quantizers")
        if self.filters:
            parts.append(f"{self.pruned_filters} of {self.filters} filters pruned "
                         f"({self.pruned_filters / self.filters:.1%})")
        if self.weights:
            parts.append(f"{self.zero_weights} of {self.weights} weights zero ({self.zero_weights / self.weights:.1%})")
        return ", ".join(parts) or "nothing compressed"


def measure_compression(controller: Any) -> CompressionStatistics:
    """Count the quantizers of an NNCF controller, and what the masks of pruning and sparsity remove."""
    filter_masks = [layer.operand.binary_filter_pruning_mask for child in pruning_controllers(controller)
                    for layer in _once(child.pruned_module_groups_info.get_all_nodes())]
    # rb_sparsity learns its mask and derives the binary one from it only when it is saved.
    weight_masks = [layer.operand.mask > 0 if hasattr(layer.operand, "mask") else layer.operand.binary_mask
                    for child in controllers_of(controller)
                    for layer in _once(getattr(child, "sparsified_module_info", ()))]
    return CompressionStatistics(len(quantizers_of(controller)), *_counts(filter_masks), *_counts(weight_masks))


def controllers_of(controller: Any) -> list[Any]:
    """Return the controllers of the single algorithms inside ``controller``."""
    return list(getattr(controller, "child_ctrls", ())) or [controller]


def pruning_controllers(controller: Any) -> list[Any]:
    """Return the controllers of filter pruning inside ``controller``: one or none."""
    return [child for child in controllers_of(controller) if hasattr(child, "pruned_module_groups_info")]


def quantizers_of(controller: Any) -> list[Any]:
    """Return the FakeQuantize modules of a controller, of weights and of activations; empty without quantization."""
    return [quantizer for _, quantizer in named_quantizers(controller)]


def named_quantizers(controller: Any) -> list[tuple[str, Any]]:
    """Return name and module of a controller's quantizers, of weights and of activations."""
    return [(str(key), quantizer) for child in controllers_of(controller)
            for key, quantizer in getattr(child, "all_quantizations", {}).items()]


def _once(layers: Iterable[Any]) -> list[Any]:
    """A layer that runs on several pyramid levels is listed once for each of them."""
    return list({id(layer.module): layer for layer in layers}.values())


def _counts(masks: Iterable[Any]) -> tuple[int, int]:
    """Return the elements of all masks, and those that are removed."""
    kept = [(mask.numel(), int(mask.bool().sum())) for mask in masks]
    return sum(count for count, _ in kept), sum(count - left for count, left in kept)
