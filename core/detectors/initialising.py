"""A detector's first weights: drawn at random, and read from the files that its config names.

MMDetection's own ``init_weights`` does both. What it would pass over is refused here: a file of which nothing fits, and
layers that are frozen at random values.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from core.base.errors import UserError
from core.checkpoint.checkpoint import load_checkpoint
from core.config.adapt import plain_config, set_classes
from core.detectors.building import build_detector, building
from core.detectors.fitting import fingerprint, require_fit, tells, tensors_of
from core.detectors.loaders import LoadedWeights, record_weights
from core.detectors.pretrained import weights_file, weights_location

_SHOWN = 5


def initialise(detector: Any, config: Any, given: Mapping[str, Any] | None = None) -> None:
    """Initialise all weights as MMDetection does, with the files that the config names.

    Args:
        detector: As built from ``config``.
        config: The whole config; it says where published weights are kept.
        given: A state dict that is loaded afterwards. Modules that it covers need no file of their own.

    Raises:
        UserError: A file is absent, cannot be read or fits nowhere; or layers are frozen that neither a file nor
            ``given`` has weights for.
    """
    given = given or {}
    for prefix, module in detector.named_modules():
        if _names_weights(module) and _covers(given, prefix, module):
            _forget_weights(module)
    with building("model config", config), record_weights() as loaded:
        _init_weights(detector)
    require_fit([detector], loaded)
    _require_no_random_frozen(detector, loaded, given)


def initialise_at_random(detector: Any) -> None:
    """Initialise all weights without any file, for trials in which no value matters."""
    for module in detector.modules():
        if _names_weights(module):
            _forget_weights(module)
    with building("model config"):
        _init_weights(detector)


def check_weights(config: Any, classes: Sequence[str]) -> None:
    """Check in advance that training from ``config`` finds the weights that it names and freezes none at random.

    Raises:
        UserError: As :func:`initialise`, or ``load_from`` or ``resume_from`` cannot be read.
    """
    kept, source = weights_location(config), config.get("resume_from") or config.get("load_from")
    given = load_checkpoint(weights_file(source, kept, "load_from")).state_dict if source else {}
    if not _concerns_weights(config.model):
        return
    config = plain_config(config)
    set_classes(config, classes)
    initialise(build_detector(config), config, given)


def _require_no_random_frozen(detector: Any, loaded: Sequence[LoadedWeights], given: Mapping[str, Any]) -> None:
    # Some backbones freeze in train() alone.
    detector.train()
    known = {fingerprint(value) for weights in loaded for value in tensors_of(weights.contents) if tells(value)}
    names = [name for name, value in detector.named_parameters()
             if not value.requires_grad and tells(value) and fingerprint(value) not in known
             and not (name in given and given[name].shape == value.shape)]
    if not names:
        return
    settings = [f"{prefix}.frozen_stages={module.frozen_stages}" for prefix, module in detector.named_modules()
                if prefix and getattr(module, "frozen_stages", -1) >= 0]
    stages = list(dict.fromkeys(".".join(name.split(".")[:2]) for name in names))
    raise UserError("model config", ", ".join(settings) or "frozen layers",
                    f"{', '.join(stages[:_SHOWN])} ({len(names)} tensors) would stay at random values for ever: they "
                    "are frozen, and no file gives their weights.",
                    "Name pretrained weights (init_cfg of type Pretrained), start from a checkpoint, or train these "
                    "layers: model.backbone.frozen_stages=-1.")


def _init_weights(detector: Any) -> None:
    from mmcv.utils.logging import logger_initialized

    # mmcv reports the initialisation of every parameter, through a handler of its own that keeps the present stderr.
    logger_initialized.setdefault("mmcv", True)
    logging.getLogger("mmcv").setLevel(logging.WARNING)
    detector.init_weights()


def _names_weights(module: Any) -> bool:
    return any(_is_pretrained(entry) for entry in _entries(module)) or isinstance(
        getattr(module, "pretrained", None), str)


def _forget_weights(module: Any) -> None:
    left = [entry for entry in _entries(module) if not _is_pretrained(entry)]
    if hasattr(module, "init_cfg"):
        module.init_cfg = left or None
    if isinstance(getattr(module, "pretrained", None), str):
        # DetectoRS_ResNet loads it itself (mmdet/models/backbones/detectors_resnet.py:300).
        module.pretrained = None


def _entries(module: Any) -> list[Any]:
    init = getattr(module, "init_cfg", None) or []
    return list(init) if isinstance(init, (list, tuple)) else [init]


def _is_pretrained(entry: Any) -> bool:
    return isinstance(entry, dict) and (entry.get("type") == "Pretrained" or "checkpoint" in entry)


def _covers(given: Mapping[str, Any], prefix: str, module: Any) -> bool:
    names = {f"{prefix}.{name}" if prefix else name: value for name, value in module.named_parameters()}
    return all(name in given and given[name].shape == value.shape for name, value in names.items())


def _concerns_weights(node: Any) -> bool:
    if isinstance(node, (list, tuple)):
        return any(map(_concerns_weights, node))
    if not isinstance(node, dict):
        return False
    frozen = node.get("frozen_stages")
    return (_is_pretrained(node) or any(isinstance(node.get(key), str) for key in ("pretrained", "teacher_ckpt"))
            or isinstance(frozen, int) and frozen >= 0 or any(map(_concerns_weights, node.values())))
