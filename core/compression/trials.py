"""What preflight and the detector matrix share when they try a detector with random weights."""

from typing import Any, Iterable, Iterator


class NotRun(Exception):
    """A stage that does not apply or cannot be tried here; the message says why."""


class Batches(list):
    """Batches that are in memory already, with what NNCF asks of a data loader."""

    def __init__(self, batches: Iterable[Any], batch_size: int) -> None:
        super().__init__(batches)
        self.batch_size = batch_size


def wake(detector: Any) -> None:
    """Let residual branches that begin with a zero normalisation take part: in one step nothing would reach them."""
    for module in detector.modules():
        weight = getattr(module, "weight", None)
        if weight is not None and weight.dim() == 1 and not weight.detach().any():
            weight.data.fill_(1.0)


def tensors(value: Any) -> Iterator[Any]:
    """Yield all tensors in nested lists and tuples."""
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors(item)
