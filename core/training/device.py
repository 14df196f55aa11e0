"""Where a network runs."""

from typing import Any


def device() -> str:
    """Return the device to train on: the first GPU where there is one, else the CPU."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def data_parallel(network: Any) -> Any:
    """Wrap ``network`` as mmcv expects it: scatters DataContainers, on one GPU or on the CPU."""
    from mmdet.utils import build_dp

    return build_dp(network, device(), device_ids=[0])
