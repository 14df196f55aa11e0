"""Which family a detector is of; what is of none is refused by name."""

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from core.base.errors import UserError
from core.detectors import families as _families
from core.detectors.adapter import Adapter
from core.detectors.building import build_detector
from core.detectors.refused import HEADS, NECKS

_HEADS = ("roi_head", "bbox_head", "mask_head", "panoptic_head")
_FIRST_STAGE = "rpn_head"
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
    return _family_of(type(detector), _kinds_of(detector))


def require_known(model: Mapping[str, Any]) -> None:
    """Check a model config by the types that it names, before anything is built, which can take half a minute.

    What is no name in a registry is left to building.

    Raises:
        UserError: As ``require_supported``, where names tell it.
    """
    from mmdet.models import builder

    detector = _named(model, builder.DETECTORS)
    parts = {name: _named(model[name], builder.HEADS) for name in (*_HEADS, _FIRST_STAGE) if model.get(name)}
    if detector is not None and parts and None not in parts.values():
        _require_tested_as_known(detector, parts)
    necks = model.get("neck")
    _require_known_necks(_named(neck, builder.NECKS) for neck in (
        necks if isinstance(necks, (list, tuple)) else [necks]))


def build_known(config: Any) -> Any:
    """Build the detector of an mmcv Config whose parts are known by name, as ``require_known`` has it.

    Raises:
        UserError: As there, or as ``build_detector``.
    """
    require_known(config.model)
    return build_detector(config)


def require_supported(detector: Any) -> Adapter:
    """Return the adapter of a detector whose exported graph finds what the detector finds in PyTorch.

    Raises:
        UserError: It has no adapter, it tests otherwise than its family, or a part or a key of
            ``test_cfg`` has an effect that the graph would not have.
    """
    adapter = _require_tested_as_known(type(detector), _kinds_of(detector))
    if getattr(detector, "neck", None) is not None:
        _require_known_necks(map(type, detector.neck.modules()))
    adapter.check(detector)
    return adapter


def _named(part: Any, registry: Any) -> type | None:
    """Return the class that a section of a config names, None where the registry has none of the name."""
    kind = part.get("type") if isinstance(part, Mapping) else None
    return registry.get(kind) if isinstance(kind, str) else None


def _kinds_of(detector: Any) -> dict[str, type]:
    return {name: type(part) for name in (*_HEADS, _FIRST_STAGE) if (part := getattr(detector, name, None)) is not None}


def _family_of(detector: type, parts: Mapping[str, type]) -> Adapter:
    """Return the adapter of a detector's class with heads of these classes, by their names in the detector."""
    part = next((name for name in _HEADS if name in parts), None)
    if part is None or (part == "roi_head" and _FIRST_STAGE not in parts):
        raise _refused(detector, "it has no box head, or proposals from elsewhere", "Faster R-CNN")
    return family_of_head(parts[part])


def _require_tested_as_known(detector: type, parts: Mapping[str, type]) -> Adapter:
    adapter = _family_of(detector, parts)
    expected = adapter.detectors or (_TESTED_BY["roi_head" if "roi_head" in parts else "bbox_head"],)
    owner = next((base for base in detector.__mro__ if "simple_test" in vars(base)), None)
    if owner is None or owner.__name__ not in expected:
        raise _refused(detector, f"{getattr(owner, '__name__', 'it')} tests otherwise than {' and '.join(expected)}",
                       adapter.name)
    return adapter


def _require_known_necks(kinds: Iterable[type | None]) -> None:
    for kind in kinds:
        for base in getattr(kind, "__mro__", ()):
            if base.__name__ in NECKS:
                raise _refused(base, *NECKS[base.__name__])


def _refused(kind: type, reason: str, nearest: str) -> UserError:
    supported = ", ".join(adapter.name for adapter in families())
    return UserError("detector", kind.__name__, f"It cannot be exported: {reason}.",
                     f"The nearest supported family is {nearest}; supported are {supported}.")
