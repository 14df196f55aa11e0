"""Functions of mmcv and MMDetection that ONNX does not have, or that do not run everywhere, and what takes their place.

A stand-in is installed for good and used in an export, or where the function itself cannot run. Where it samples
between pixels the export needs ONNX's opset 16.
"""

import functools
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

SAMPLING_OPSET = 16
"""The first with GridSample, and with a RoIAlign like mmcv's."""
# As ONNX numbers its types.
_INT64 = 7
# Corners, in pixels, of a region beyond all images.
_NOWHERE = (-1e5, -1e5, -1e5 + 1, -1e5 + 1)
# Classes of modules that sample between pixels.
_SAMPLERS = ("RoIAlign", "DeformConv2d", "ModulatedDeformConv2d", "SAConv2d", "TOODHead",
             "MultiScaleDeformableAttention")


_any_size: ContextVar[bool] = ContextVar("any_size", default=False)
"""Whether what is exported is for images of any size."""


@contextmanager
def for_any_size(dynamic: bool) -> Iterator[None]:
    """Let a block's export keep heights and widths as part of its graph where ``dynamic``, else as numbers.

    A graph that computes them has several times as many operators for each deformable convolution.
    """
    token = _any_size.set(dynamic)
    try:
        yield
    finally:
        _any_size.reset(token)


def _sides(features: Any) -> tuple[Any, Any]:
    """Return height and width of ``features`` [N, C, H, W]."""
    height, width = features.shape[2:]
    return (height, width) if _any_size.get() else (int(height), int(width))


def deformable_convolution(features: Any, offset: Any, weight: Any, stride: Any = 1, padding: Any = 0,
                           dilation: Any = 1, groups: int = 1, deform_groups: int = 1, *ignored: Any) -> Any:
    """Return what mmcv's deform_conv2d returns, by grid_sample and a convolution of 1x1.

    Args:
        features: [N, C, H, W].
        offset: [N, deform_groups * kernel * 2, h, w]: y and x in pixels for each place of the kernel.
        weight: [O, C / groups, kernel height, kernel width].
        stride: A number or one for each of height and width, as padding and dilation.
        padding: Of zeros.
        dilation: Between the places of the kernel.
        groups: Of the convolution.
        deform_groups: Parts of the channels that have offsets of their own.
        ignored: How mmcv splits the work.
    """
    return modulated_deformable_convolution(features, offset, None, weight, None, stride, padding, dilation, groups,
                                            deform_groups)


def modulated_deformable_convolution(features: Any, offset: Any, mask: Any, weight: Any, bias: Any, stride: Any = 1,
                                     padding: Any = 0, dilation: Any = 1, groups: int = 1,
                                     deform_groups: int = 1) -> Any:
    """Return what mmcv's modulated_deform_conv2d returns; ``mask`` [N, deform_groups * kernel, h, w] weighs samples.

    mmcv does not ask whether offsets and mask have the result's height and width: it reads as many of an image's
    numbers as that takes, from the first one on (ops/csrc/pytorch/cpu/modulated_deform_conv.cpp,
    modulated_deformable_im2col_cpu_kernel). DyHead gives it those of another level.
    """
    from torch.nn.functional import conv2d
    from torch.nn.modules.utils import _pair

    kernel, count = tuple(weight.shape[2:]), int(offset.shape[0])
    size = [(side + 2 * pad - step * (reach - 1) - 1) // by + 1 for side, pad, step, reach, by in zip(
        _sides(features), _pair(padding), _pair(dilation), kernel, _pair(stride))]
    if _sides(offset) != tuple(size):
        offset, mask = (read.reshape(count, -1)[:, :read.shape[1] * size[0] * size[1]].reshape(count, -1, *size)
                        for read in (offset, mask))
    samples = _samples(features, offset, mask, kernel, stride, padding, dilation, deform_groups)
    return conv2d(samples, weight.reshape(weight.shape[0], -1, 1, 1), bias, groups=groups)


def displaced(features: Any, offset: Any, weight: Any, stride: int, padding: int, dilation: int, groups: int,
              deform_groups: int) -> Any:
    """Return what deform_conv2d returns where each channel has a kernel of its own of the one value 1, as in TOOD."""
    return _samples(features, offset, None, (1, 1), stride, padding, dilation, deform_groups)


def _samples(features: Any, offset: Any, mask: Any, kernel: tuple[int, int], stride: Any, padding: Any, dilation: Any,
             deform_groups: int) -> Any:
    """Return [N, C * places of the kernel, h, w], the samples of a channel beside one another."""
    import torch
    from torch.nn.functional import grid_sample
    from torch.nn.modules.utils import _pair

    (stride_y, stride_x), (pad_y, pad_x), (step_y, step_x) = _pair(stride), _pair(padding), _pair(dilation)
    # In a trace these are tensors, of which ONNX's convolution must know the first two.
    count, channels, places = int(features.shape[0]), int(features.shape[1]), kernel[0] * kernel[1]
    (height, width), (rows, columns) = _sides(features), _sides(offset)
    offset = offset.reshape(count * deform_groups, places, 2, rows, columns)
    place = torch.arange(places)
    top = (torch.arange(rows) * stride_y - pad_y)[:, None] + (place // kernel[1] * step_y)[:, None, None]
    left = (torch.arange(columns) * stride_x - pad_x)[None] + (place % kernel[1] * step_x)[:, None, None]
    # grid_sample's places go from -1 to 1 between the outer edges of the border's pixels.
    y = (2 * (offset[:, :, 0] + top.to(offset)) + 1) / height - 1
    x = (2 * (offset[:, :, 1] + left.to(offset)) + 1) / width - 1
    grid = torch.stack([x, y], dim=-1).reshape(count * deform_groups, places * rows, columns, 2)
    samples = grid_sample(features.reshape(count * deform_groups, channels // deform_groups, height, width), grid,
                          "bilinear", "zeros", align_corners=False)
    if mask is not None:
        samples = samples * mask.reshape(count * deform_groups, 1, places * rows, columns)
    return samples.reshape(count, channels * places, rows, columns)


def masked_convolution(features: Any, mask: Any, weight: Any, bias: Any, padding: Any = 0, stride: Any = 1) -> Any:
    """Return what mmcv's masked_conv2d returns, which has no CPU implementation: 0 where ``mask`` [1, H, W] is."""
    from torch.nn.functional import conv2d

    return conv2d(features, weight, bias, stride, padding) * mask[:, None].to(features.dtype)


def reassembled(features: Any, masks: Any, kernel: int, groups: int, scale: int) -> Any:
    """Return what mmcv's carafe returns, which has no CPU implementation.

    Args:
        features: [N, C, H, W].
        masks: Weights of the neighbours [N, groups * kernel * kernel, scale * H, scale * W].
        kernel: Neighbours along a side.
        groups: Parts of the channels that have weights of their own.
        scale: How many times larger the result is along a side.
    """
    from torch.nn.functional import unfold

    count, channels = int(features.shape[0]), int(features.shape[1])
    height, width = _sides(features)
    near = unfold(features, kernel, padding=kernel // 2).reshape(count, groups, channels // groups, kernel ** 2,
                                                                 height, width).permute(0, 1, 4, 5, 2, 3)
    weights = masks.reshape(count, groups, kernel ** 2, height, scale, width, scale).permute(0, 1, 3, 5, 2, 4, 6)
    found = near.matmul(weights.reshape(count, groups, height, width, kernel ** 2, scale ** 2))
    found = found.reshape(count, groups, height, width, channels // groups, scale, scale)
    return found.permute(0, 1, 4, 2, 5, 3, 6).reshape(count, channels, height * scale, width * scale)


def standardised(weight: Any, eps: float = 1e-5) -> Any:
    """Return what mmcv's conv_ws_2d makes of a weight [O, I, H, W]: each filter has mean 0 and deviation 1.

    In an exported graph it is a constant, as nothing of it depends on the image.
    """
    with _constant():
        filters = weight.view(weight.shape[0], -1)
        mean, deviation = (value.view(-1, 1, 1, 1) for value in (filters.mean(dim=1), filters.std(dim=1)))
        return (weight - mean) / (deviation + eps)


def standardised_convolution(features: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
                             dilation: Any = 1, groups: int = 1, eps: float = 1e-5) -> Any:
    """Return what mmcv's conv_ws_2d returns."""
    from torch.nn.functional import conv2d

    return conv2d(features, standardised(weight, eps), bias, stride, padding, dilation, groups)


@contextmanager
def _constant() -> Iterator[None]:
    """Run a block outside a graph that torch traces: what it computes is a constant there."""
    import torch

    state = torch._C._get_tracing_state()
    torch._C._set_tracing_state(None)
    try:
        yield
    finally:
        torch._C._set_tracing_state(state)


def mean_of_sigmoids(first: Any, second: Any) -> Any:
    """Return what MMDetection's sigmoid_geometric_mean returns, which is a function of autograd's own kind."""
    return (first.sigmoid() * second.sigmoid()).sqrt()


STAND_INS: dict[tuple[str, str], Callable[..., Any]] = {
    ("mmcv.ops.deform_conv", "deform_conv2d"): deformable_convolution,
    ("mmcv.ops.saconv", "deform_conv2d"): deformable_convolution,
    ("mmdet.models.dense_heads.tood_head", "deform_conv2d"): displaced,
    ("mmcv.ops.modulated_deform_conv", "modulated_deform_conv2d"): modulated_deformable_convolution,
    ("mmcv.ops.masked_conv", "masked_conv2d"): masked_convolution,
    ("mmcv.ops.carafe", "carafe"): reassembled,
    ("mmcv.cnn.bricks.conv_ws", "conv_ws_2d"): standardised_convolution,
    ("mmdet.models.dense_heads.tood_head", "sigmoid_geometric_mean"): mean_of_sigmoids,
}
"""Modules and the names by which they call a function, to what an export has in its place."""


# Of these mmcv has no CPU implementation.
_NOT_ON_CPU = (masked_convolution, reassembled)


def roi_align_node(g: Any, features: Any, rois: Any, output_size: tuple[int, int], spatial_scale: float,
                   sampling_ratio: int, pool_mode: str, aligned: bool) -> Any:
    """Write mmcv's RoIAlign into an ONNX graph of opset 16.

    mmcv's own way is for opset 11, where a region counts for one pixel of the features or more, as it does not in mmcv.
    """
    import torch
    from torch.onnx.symbolic_helper import _slice_helper

    images = g.op("Reshape", _slice_helper(g, rois, axes=[1], starts=[0], ends=[1]),
                  g.op("Constant", value_t=torch.tensor([-1])))
    corners = _slice_helper(g, rois, axes=[1], starts=[1], ends=[5])
    if aligned and sampling_ratio <= 0:
        # Where the number of samples follows the region, one without area has none: mmcv finds 0 in it and OpenVINO
        # 0 / 0. In a place that no map reaches it finds 0, too. Not aligned, a region has a pixel or more in both.
        sides = g.op("Sub", _slice_helper(g, rois, axes=[1], starts=[3], ends=[5]),
                     _slice_helper(g, rois, axes=[1], starts=[1], ends=[3]))
        real = g.op("Greater", g.op("ReduceMin", sides, axes_i=[1]), g.op("Constant", value_t=torch.tensor(0.0)))
        corners = g.op("Where", real, corners, g.op("Constant", value_t=torch.tensor([_NOWHERE])))
    return g.op("RoiAlign", features, corners, g.op("Cast", images, to_i=_INT64),
                output_height_i=output_size[0], output_width_i=output_size[1],
                spatial_scale_f=spatial_scale, sampling_ratio_i=max(0, sampling_ratio), mode_s=pool_mode,
                coordinate_transformation_mode_s="half_pixel" if aligned else "output_half_pixel")


def _without_border(decode: Callable[..., Any]) -> Callable[..., Any]:
    """Let CenterNet decode the boxes of an image that RandomCenterCropPad has given no border."""
    def run(head: Any, heat: Any, sides: Any, offset: Any, meta: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        return decode(head, heat, sides, offset, {"border": (0, 0, 0, 0), **meta}, *args, **kwargs)

    return run


def _on_present_device(valid_flags: Callable[..., Any]) -> Callable[..., Any]:
    """Let RepPoints be trained on a CPU: it does not say which device its flags are to be on."""
    def run(generator: Any, sizes: Any, shape: Any, device: str = "") -> Any:
        import torch

        return valid_flags(generator, sizes, shape, device or ("cuda" if torch.cuda.is_available() else "cpu"))

    return run


def _returning_itself(train: Callable[..., Any]) -> Callable[..., Any]:
    """Let ``train`` and ``eval`` of a detector with a teacher return it, as any other module's do."""
    def run(detector: Any, mode: bool = True) -> Any:
        train(detector, mode)
        return detector

    return run


def _in_an_export_constant(get_weight: Callable[..., Any]) -> Callable[..., Any]:
    """Let mmcv's ConvAWS2d standardise its weight once, and not in the exported graph."""
    def run(layer: Any, weight: Any) -> Any:
        with _constant():
            return get_weight(layer, weight)

    return run


_METHODS = (
    ("mmcv.cnn.bricks.conv_ws", "ConvAWS2d", "_get_weight", _in_an_export_constant),
    ("mmdet.models.dense_heads.centernet_head", "CenterNetHead", "_get_bboxes_single", _without_border),
    ("mmdet.core.anchor.point_generator", "MlvlPointGenerator", "valid_flags", _on_present_device),
    ("mmdet.models.detectors.kd_one_stage", "KnowledgeDistillationSingleStageDetector", "train", _returning_itself),
)


def install_stand_ins() -> None:
    """Let the functions of ``STAND_INS`` be exported, and run on a CPU; otherwise they stay what they are."""
    for (place, name), stand_in in STAND_INS.items():
        module = importlib.import_module(place)
        function = getattr(module, name)
        if not hasattr(function, "_stands_in"):
            setattr(module, name, _exportable(function, stand_in))
    importlib.import_module("mmcv.ops.roi_align").RoIAlignFunction.symbolic = staticmethod(roi_align_node)
    for place, owner, name, completed in _METHODS:
        kind = getattr(importlib.import_module(place), owner)
        method = getattr(kind, name)
        if not hasattr(method, "_stands_in"):
            replaced = functools.wraps(method)(completed(method))
            replaced._stands_in = True  # type: ignore[attr-defined]
            setattr(kind, name, replaced)


def _exportable(function: Callable[..., Any], stand_in: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        import torch

        missing = stand_in in _NOT_ON_CPU and not args[0].is_cuda
        return (stand_in if missing or torch.onnx.is_in_onnx_export() else function)(*args, **kwargs)

    run._stands_in = True  # type: ignore[attr-defined]
    return run


def least_opset(network: Any) -> int:
    """Return the ONNX operator set that a network's samplers need; 0 where it has none."""
    found = any(base.__name__ in _SAMPLERS for module in network.modules() for base in type(module).__mro__)
    return SAMPLING_OPSET if found else 0
