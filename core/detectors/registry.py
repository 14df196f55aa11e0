"""Which family a detector is of; what is of none is refused by name."""

import importlib
import pkgutil
from functools import cache
from typing import Any

from core.base.errors import UserError
from core.detectors import families as _families
from core.detectors.adapter import Adapter
from core.detectors.refused import HEADS

_HEADS = ("roi_head", "bbox_head", "mask_head", "panoptic_head")
# A detector that tests otherwise than these finds other boxes.
_TESTED_BY = {"bbox_head": "SingleStageDetector", "roi_head": "TwoStageDetector"}


@cache
def families() -> tuple[Adapter, ...]:
    """Return the adapters of all modules in ``core.detectors.families``."""
    names = sorted(module.name for module in pkgutil.iter_modules(_families.__path__))
    return tuple(importlib.import_module(f"{_families.__name__}.{name}").FAMILY for name in names)


def family_of_head(kind: type) -> Adapter:
    """Return the adapter of a head's class.

    The most specific class that is known decides. A subclass that decodes boxes itself is not taken for its parent.

    Raises:
        UserError: The class is of no family, or is refused.
    """
    known = {head: adapter for adapter in families() for head in adapter.heads}
    for depth, base in enumerate(kind.__mro__):
        adapter = known.get(base.__name__)
        if adapter is None and base.__name__ in HEADS:
            raise _refused(kind, *HEADS[base.__name__])
        if adapter is not None:
            for own in kind.__mro__[:depth]:
                overridden = [method for method in adapter.decoding if method in vars(own)]
                if overridden:
                    raise _refused(kind, f"{own.__name__} overrides {', '.join(overridden)} of {base.__name__}",
                                   adapter.name)
            return adapter
    raise _refused(kind, "it is of no family whose exported boxes were compared with PyTorch's", "RetinaNet")


def find_adapter(detector: Any) -> Adapter:
    """Return the adapter of an MMDetection detector, by its heads alone.

    Raises:
        UserError: The detector is of no family, or is refused.
    """
    part = next((name for name in _HEADS if getattr(detector, name, None) is not None), None)
    if part is None or (part == "roi_head" and getattr(detector, "rpn_head", None) is None):
        raise _refused(type(detector), "it has no box head, or proposals from elsewhere", "Faster R-CNN")
    return family_of_head(type(getattr(detector, part)))


def require_supported(detector: Any) -> Adapter:
    """Return the adapter of a detector whose exported graph finds what the detector finds in PyTorch.

    Raises:
        UserError: It has no adapter, it tests otherwise than its family, or a part or a key of
            ``test_cfg`` has an effect that the graph would not have.
    """
    adapter = find_adapter(detector)
    expected = _TESTED_BY["roi_head" if getattr(detector, "roi_head", None) is not None else "bbox_head"]
    owner = next((base for base in type(detector).__mro__ if "simple_test" in vars(base)), None)
    if owner is None or owner.__name__ not in (expected, *adapter.detectors):
        raise _refused(type(detector), f"{getattr(owner, '__name__', 'it')} tests otherwise than {expected}",
                       adapter.name)
    adapter.check(detector)
    return adapter


def _refused(kind: type, reason: str, nearest: str) -> UserError:
    supported = ", ".join(adapter.name for adapter in families())
    return UserError("detector", kind.__name__, f"It cannot be exported: {reason}.",
                     f"The nearest supported family is {nearest}; supported are {supported}.")
