"""Methods and functions of MMDetection that NNCF must not trace as they are, each with its reason."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

UNTRACED = "untraced"
OPERATOR = "operator"
REPLACED = "replaced"

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
            NNCF neither quantizes inside nor prunes through, and ``REPLACED`` puts ``function`` in its place.
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
    """A function that a module of MMDetection calls by this name, kept out of the graph."""

    module: str
    name: str
    reason: str = COORDINATES


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
    Patch("FCNMaskHead", "loss", TRAINING_ONLY),
    Patch("FCNMaskHead", "get_targets", TRAINING_ONLY),
    Patch("FCNMaskHead", "get_seg_masks", "pastes masks into images of any size, " + COORDINATES),
    Patch("FCNMaskHead", "onnx_export", COORDINATES),
)
"""Of every second stage."""

DENSE_FUNCTIONS = (UntracedFunction("mmdet.models.dense_heads.base_dense_head", "filter_scores_and_topk"),)
ROI_FUNCTIONS = (
    UntracedFunction("mmdet.models.roi_heads.standard_roi_head", "bbox2roi"),
    UntracedFunction("mmdet.models.roi_heads.test_mixins", "bbox2roi"),
    UntracedFunction("mmdet.models.roi_heads.bbox_heads.bbox_head", "multiclass_nms"),
)
