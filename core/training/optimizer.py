"""The optimizer of a config."""

import copy
from typing import Any


def build_optimizer(network: Any, settings: dict[str, Any]) -> Any:
    """Build the optimizer as MMDetection does, also where modules of a compressed network share parameters.

    Args:
        network: What is trained.
        settings: The config's ``optimizer``; it is left as it is.
    """
    from mmdet.core import build_optimizer as build

    settings = copy.deepcopy(settings)
    if settings.get("paramwise_cfg"):
        # mmcv goes through the modules then, and would put a shared parameter into two groups, which torch refuses.
        settings["paramwise_cfg"].setdefault("bypass_duplicate", True)
    return build(network, settings)


def optimizer_hook(config: Any) -> Any:
    """Return what mmcv's runner registers as its optimizer hook: MMDetection's choice for ``fp16`` and ranks."""
    from mmcv.runner import Fp16OptimizerHook, OptimizerHook

    from core.training.distributed import ranks

    settings = dict(config.get("optimizer_config") or {})
    if config.get("fp16") is not None:
        return Fp16OptimizerHook(**settings, **config["fp16"], distributed=ranks() > 1)
    return settings if "type" in settings else OptimizerHook(**settings)
