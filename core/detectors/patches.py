"""Methods and functions of MMDetection that NNCF must not trace as they are, each with its reason."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.detectors.attention import dynamic_convolution, reduced_attention
from core.detectors.graph import untraced

UNTRACED = "untraced"
OPERATOR = "operator"
REPLACED = "replaced"
AS_PARENT = "as parent"

ALWAYS = (True, False)
WITH_POSTPROCESSING = (True,)
WITHOUT_POSTPROCESSING = (False,)

TRAINING_ONLY = "runs in training only; its operators would shift the numbers by which NNCF finds its quantizers"
COORDINATES = "works on coordinates and indices, which 8 bits cannot hold"


@dataclass(frozen=True)
class Patch:
    """One method that NNCF must not trace as it is.

    NNCF places a quantizer on an operator by its address (scope, name, call number), so what runs outside the graph
    must do so in training, testing and tracing alike.

    Attributes:
        owner: Class, with its subclasses, whose instances within a detector are patched.
        method: Dotted path from the instance to the method.
        reason: Why.
        action: ``UNTRACED`` keeps all of it out of the graph, ``OPERATOR`` makes it one operator of the graph, which
            NNCF neither quantizes inside nor prunes through, ``REPLACED`` puts ``function`` in its place, and
            ``AS_PARENT`` makes the whole instance one of its parent's class, whose method it then has.
        postprocessing: The values of ``nncf_compress_postprocessing`` it applies to.
        but_not: Subclass of ``owner`` that is left alone.
        function: Computes the same as the method, part of it untraced; it takes the instance first.
    """

    owner: str
    method: str
    reason: str
    action: str = UNTRACED
    postprocessing: tuple[bool, ...] = ALWAYS
    but_not: str = ""
    function: Callable[..., Any] | None = None


@dataclass(frozen=True)
class UntracedFunction:
    """A function that a module calls by this name, kept out of the graph, or one operator of it."""

    module: str
    name: str
    reason: str = COORDINATES
    action: str = UNTRACED


def modulated(layer: Any, features: Any) -> Any:
    """Return what ModulatedDeformConv2dPack.forward of mmcv 1.7.2 does, offsets and mask left out of the graph."""
    import torch
    from mmcv.ops import modulated_deform_conv

    predicted = layer.conv_offset(features)
    with untraced():
        first, second, mask = torch.chunk(predicted, 3, dim=1)
        offset, mask = torch.cat((first, second), dim=1), mask.sigmoid()
    return modulated_deform_conv.modulated_deform_conv2d(
        features, offset, mask, layer.weight, layer.bias, layer.stride, layer.padding, layer.dilation, layer.groups,
        layer.deform_groups)


def attended(head: Any, feature: Any) -> tuple[Any, Any]:
    """Return what SABLHead.attention_pool of mmdet 2.28.2 does, the shares of attention left out of the graph."""
    across, along = head.reg_conv_att_x(feature), head.reg_conv_att_y(feature)
    with untraced():
        across, along = across.sigmoid(), along.sigmoid()
        across, along = across / across.sum(dim=2).unsqueeze(2), along / along.sum(dim=3).unsqueeze(3)
    return (feature * across).sum(dim=2), (feature * along).sum(dim=3)


def dropped(layer: Any, feature: Any) -> Any:
    """Return what DropPath.forward of mmcv 1.7.2 does: in training a branch is left out at random.

    It divides by Tensor.div, which NNCF 2.0.0 does not know: what comes of it would be no part of the graph, and the
    sum of branches another operator than in testing.
    """
    import torch

    if not layer.training or not layer.drop_prob:
        return feature
    kept = 1 - layer.drop_prob
    drawn = kept + torch.rand((feature.shape[0],) + (1,) * (feature.ndim - 1), dtype=feature.dtype,
                              device=feature.device)
    return feature / kept * drawn.floor()


_ATTENTION = "attention: products of activations and a softmax, which 8 bits ruin"
_BETWEEN_PIXELS = "samples between pixels, for which NNCF and OpenVINO have no operator of 8 bits"

_WEIGHTS_MADE = "products of activations, one the other's weights"

LAYERS = (
    Patch("ModulatedDeformConv2dPack", "forward", COORDINATES, REPLACED, function=modulated),
    Patch("NormedLinear", "forward", "normalises its weights and its input in passing", action=OPERATOR),
    Patch("NormedConv2d", "forward", "normalises its weights and its input in passing", action=OPERATOR),
    Patch("DropPath", "forward", "NNCF loses its trace in training", REPLACED, function=dropped),
    Patch("CARAFEPack", "kernel_normalizer", "a softmax over weights of neighbours, which 8 bits do not keep"),
    Patch("SpatialReductionAttention", "attn.forward", _ATTENTION, REPLACED, function=reduced_attention),
    Patch("DynamicConv", "forward", _WEIGHTS_MADE, REPLACED, function=dynamic_convolution),
    Patch("SAConv2d", "forward", "its convolutions have weights made in passing, and one switches between them",
          action=OPERATOR),
)
"""Of every detector, wherever the layer is."""

LAYER_FUNCTIONS = (
    UntracedFunction("core.detectors.attention", "spatial_attention", _ATTENTION, OPERATOR),
    UntracedFunction("core.detectors.attention", "dynamic_products", _WEIGHTS_MADE, OPERATOR),
    UntracedFunction("mmcv.ops.deform_conv", "deform_conv2d", _BETWEEN_PIXELS, OPERATOR),
    UntracedFunction("mmcv.ops.modulated_deform_conv", "modulated_deform_conv2d", _BETWEEN_PIXELS, OPERATOR),
    UntracedFunction("mmcv.ops.carafe", "carafe", "sums neighbours by weights of their own for each pixel", OPERATOR),
)
"""Of every detector, whatever calls them."""


DENSE_HEAD = (
    Patch("BaseDenseHead", "loss", TRAINING_ONLY),
    Patch("BaseDenseHead", "get_bboxes", "the whole of post-processing", postprocessing=WITHOUT_POSTPROCESSING),
    Patch("BaseDenseHead", "prior_generator.grid_priors", COORDINATES, postprocessing=WITH_POSTPROCESSING),
    Patch("BaseDenseHead", "bbox_coder.decode", COORDINATES, postprocessing=WITH_POSTPROCESSING),
    Patch("BaseDenseHead", "_bbox_post_process", COORDINATES, postprocessing=WITH_POSTPROCESSING),
    Patch("BaseDenseHead", "onnx_export", COORDINATES, but_not="RPNHead"),
    Patch("Scale", "forward", "the learned factor on box distances in FCOS and ATSS: " + COORDINATES, action=OPERATOR),
)
"""Of every head on a feature pyramid, the first stage of two-stage detectors included."""

ROI_HEAD = (
    Patch("BaseRoIExtractor", "forward", "which levels it reads depends on the proposals, and RoIAlign loses the trace",
          action=OPERATOR),
    Patch("BBoxHead", "loss", TRAINING_ONLY),
    Patch("BBoxHead", "get_targets", TRAINING_ONLY),
    Patch("BBoxHead", "get_bboxes", "the whole of post-processing", postprocessing=WITHOUT_POSTPROCESSING),
    Patch("BBoxHead", "bbox_coder.decode", COORDINATES, postprocessing=WITH_POSTPROCESSING),
    Patch("BBoxHead", "onnx_export", COORDINATES),
    Patch("SABLHead", "loss", TRAINING_ONLY),
    Patch("SABLHead", "get_targets", TRAINING_ONLY),
    Patch("SABLHead", "get_bboxes", "the whole of post-processing", postprocessing=WITHOUT_POSTPROCESSING),
    Patch("SABLHead", "bbox_coder.decode", COORDINATES),
    Patch("SABLHead", "refine_bboxes", "regions of the next stage: " + COORDINATES),
    Patch("SABLHead", "regress_by_class", "regions of the next stage: " + COORDINATES),
    Patch("SABLHead", "attention_pool", "attention whose parts sum to 1, which 8 bits do not keep", REPLACED,
          function=attended),
    Patch("FCNMaskHead", "loss", TRAINING_ONLY),
    Patch("FCNMaskHead", "get_targets", TRAINING_ONLY),
    Patch("FCNMaskHead", "get_seg_masks", "pastes masks into images of any size, " + COORDINATES),
    Patch("FCNMaskHead", "onnx_export", COORDINATES),
)
"""Of every second stage."""


def dense_functions(*modules: str) -> tuple[UntracedFunction, ...]:
    """Return the choice of candidates as every dense head has it, and as ``modules`` of ``dense_heads`` import it."""
    return tuple(UntracedFunction(f"mmdet.models.dense_heads.{module}", "filter_scores_and_topk")
                 for module in ("base_dense_head", *modules))


DENSE_FUNCTIONS = dense_functions()
ROI_FUNCTIONS = (
    UntracedFunction("mmdet.models.roi_heads.standard_roi_head", "bbox2roi"),
    UntracedFunction("mmdet.models.roi_heads.test_mixins", "bbox2roi"),
    UntracedFunction("mmdet.models.roi_heads.bbox_heads.bbox_head", "multiclass_nms"),
    UntracedFunction("mmdet.models.roi_heads.bbox_heads.sabl_head", "multiclass_nms"),
)
