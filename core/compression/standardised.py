"""Convolutions whose weights are standardised in passing, with their quantizers behind that."""

import functools
import re
from typing import Any

from core.detectors.graph import untraced
from core.detectors.stand_ins import standardised

_STANDARDISED = re.compile(r"ConvA?WS2d\[")
# As NNCF names the layers that it has wrapped; it has no hook for filters in others (torch/pruning/base_algo.py:110).
_WRAPPED = re.compile(r"/NNCF\w+\[[^/]*/[^/]*$")


def register_standardised_convolutions() -> None:
    """Let NNCF quantize mmcv's ConvWS2d and ConvAWS2d, which it knows nothing of.

    Where NNCF wraps a class of users it quantizes the parameter, and OpenVINO runs no convolution in int8 that computes
    with it between the quantizer and the convolution. So what NNCF takes for the weight is the standardised one.
    They are not pruned: without some of its channels a filter would have another mean and deviation. Nor are the
    classes derived from torch's convolutions that NNCF leaves as they are, such as mmcv's Conv2dAdaptivePadding.
    """
    from mmcv.cnn.bricks.conv_ws import ConvAWS2d, ConvWS2d
    from nncf.common.pruning.pruning_node_selector import PruningNodeSelector
    from nncf.torch.layers import NNCF_WRAPPED_USER_MODULES_DICT, register_module
    from nncf.torch.pruning.export_helpers import PTConvolution

    for kind, forward in ((ConvWS2d, _standardising), (ConvAWS2d, _adapting)):
        if kind not in NNCF_WRAPPED_USER_MODULES_DICT:
            register_module()(kind)
            wrapped = NNCF_WRAPPED_USER_MODULES_DICT[kind]
            wrapped.forward, wrapped._custom_forward_fn = forward, _convolved
    if hasattr(PruningNodeSelector._is_module_prunable, "__wrapped__"):
        return
    prunable, accepts = PruningNodeSelector._is_module_prunable, PTConvolution.accept_pruned_input

    @functools.wraps(prunable)
    def asked(selector: Any, graph: Any, node: Any) -> tuple[bool, str | None]:
        if _STANDARDISED.search(node.node_name):
            return False, "its filters are standardised over all of their channels, and would be others without some"
        if not _WRAPPED.search(node.node_name):
            return False, "NNCF does not wrap its layer"
        return prunable(selector, graph, node)

    PruningNodeSelector._is_module_prunable = asked
    PTConvolution.accept_pruned_input = staticmethod(
        lambda node: not _STANDARDISED.search(node.node_name) and accepts(node))


def _standardising(layer: Any, features: Any) -> Any:
    with untraced():
        weight = standardised(layer.weight, layer.eps)
    return _forward_with(layer, weight, features)


def _adapting(layer: Any, features: Any) -> Any:
    with untraced():
        weight = layer._get_weight(layer.weight)
    return _forward_with(layer, weight, features)


def _forward_with(layer: Any, weight: Any, features: Any) -> Any:
    from nncf.torch.layer_utils import ProxyModule, _NNCFModuleMixin

    seen = ProxyModule(layer)
    seen.weight = weight
    return _NNCFModuleMixin.forward(seen, features)


def _convolved(layer: Any, features: Any) -> Any:
    """Return the convolution of what ``layer`` now has for its weight."""
    from torch.nn import functional

    return functional.conv2d(features, layer.weight, layer.bias, layer.stride, layer.padding, layer.dilation,
                             layer.groups)
