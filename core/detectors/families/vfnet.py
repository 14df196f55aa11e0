"""VFNet: distances refined by features that are sampled along the first box's border."""

from typing import Any, ClassVar

from core.detectors.dense import DenseAdapter
from core.detectors.graph import untraced
from core.detectors.patches import COORDINATES, DENSE_HEAD, REPLACED, Patch


def refined_distances(head: Any, feature: Any, scale: Any, scale_refine: Any, stride: int, reg_denom: int) -> Any:
    """Return what VFNetHead.forward_single of mmdet 2.28.2 does, distances and offsets left out of NNCF's graph."""
    to_class = to_box = feature
    for layer in head.cls_convs:
        to_class = layer(to_class)
    for layer in head.reg_convs:
        to_box = layer(to_box)
    logarithms = scale(head.vfnet_reg(head.vfnet_reg_conv(to_box)))
    with untraced():
        distances = logarithms.float().exp() * (reg_denom if head.bbox_norm_type == "reg_denom" else stride)
        offset = head.star_dcn_offset(distances, head.gradient_mul, stride).to(to_box.dtype)
    logarithms = scale_refine(head.vfnet_reg_refine(head.relu(head.vfnet_reg_refine_dconv(to_box, offset))))
    with untraced():
        refined = logarithms.float().exp() * distances.detach()
    scores = head.vfnet_cls(head.relu(head.vfnet_cls_dconv(to_class, offset)))
    return (scores, distances, refined) if head.training else (scores, refined)


class VFNet(DenseAdapter):
    """Points on five levels, a score that has learnt the overlap."""

    name: ClassVar[str] = "VFNet"
    heads: ClassVar[tuple[str, ...]] = ("VFNetHead",)
    sigmoid_alone: ClassVar[bool] = True
    coders: ClassVar[tuple[str, ...]] = ("DistancePointBBoxCoder",)
    patches: ClassVar[tuple[Patch, ...]] = (
        *DENSE_HEAD, Patch("VFNetHead", "forward_single", COORDINATES, REPLACED, function=refined_distances))


FAMILY = VFNet()
