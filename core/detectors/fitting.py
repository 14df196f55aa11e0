"""Whether what was read from a file is in a model: told by the tensors' shapes and values.

Names cannot tell: backbones convert those of other projects' files while they load them (Swin, PVT).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from core.base.errors import UserError
from core.detectors.loaders import LoadedWeights

Fingerprint = tuple[tuple[int, ...], float, float, float]
_SHOWN = 5


def require_fit(models: Iterable[Any], loaded: Sequence[LoadedWeights]) -> None:
    """Check that of every file some weights are in the models: mmcv only warns where no name or shape agrees.

    Raises:
        UserError: Of a file there are none.
    """
    if not loaded:
        return
    own = {fingerprint(value) for model in models for value in model.state_dict().values() if tells(value)}
    for weights in loaded:
        tensors = list(tensors_of(weights.contents))
        if any(map(tells, tensors)) and not own.intersection(map(fingerprint, filter(tells, tensors))):
            names = ", ".join(str(name) for name in list(_state(weights.contents))[:_SHOWN])
            raise UserError("pretrained weights", weights.name, f"None of its {len(tensors)} tensors ({names}, ...) "
                            "fits the model in name and shape, so it would stay random.",
                            "Give weights of this architecture, or the `prefix` below which they stand in the file.")


def _state(contents: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the weights of a file: below `state_dict`, below `model` (Swin's and PVT's own files), or all of it."""
    for key in ("state_dict", "model"):
        if isinstance(contents.get(key), dict):
            return contents[key]
    return contents


def tensors_of(contents: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the tensors of a file's weights."""
    import torch

    return (value for value in _state(contents).values() if isinstance(value, torch.Tensor))


def tells(value: Any) -> bool:
    """Return whether equal values tell of a common origin: not where all elements are alike, as a norm's first ones."""
    flat = value.detach().reshape(-1)
    return len(flat) > 1 and not bool((flat == flat[0]).all())


def fingerprint(value: Any) -> Fingerprint:
    """Return the shape and three elements of a tensor, in single precision as a model has them."""
    flat = value.detach().reshape(-1)
    return (tuple(value.shape), *(float(flat[index].float()) for index in (0, len(flat) // 2, len(flat) - 1)))
