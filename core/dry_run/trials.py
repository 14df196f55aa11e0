"""What preflight and the detector matrix share when they try a detector with random weights."""

from collections.abc import Iterable
from typing import Any

LARGEST_GRADIENT = 1.0


class NotRun(Exception):
    """A stage that does not apply or cannot be tried here; the message says why."""


class Batches(list):
    """Batches that are in memory already, with what NNCF asks of a data loader."""

    def __init__(self, batches: Iterable[Any], batch_size: int) -> None:
        super().__init__(batches)
        self.batch_size = batch_size


def enable_zero_branches(detector: Any) -> None:
    """Let residual branches that begin with a zero normalisation take part: in one step nothing would reach them."""
    for module in detector.modules():
        weight = getattr(module, "weight", None)
        if weight is not None and weight.dim() == 1 and not weight.detach().any():
            weight.data.fill_(1.0)


def bound_gradients(network: Any) -> None:
    """Keep each element of a gradient within ``LARGEST_GRADIENT``.

    Those of random weights can be so large (1e32 in YOLOv3 with MobileNetV2) that their norm is infinite, and clipping
    by it would leave nothing to learn from.
    """
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.register_hook(lambda gradient: gradient.clamp(-LARGEST_GRADIENT, LARGEST_GRADIENT))
