"""RepPoints: a box is the extent of nine points that the head places, and samples at."""

from typing import Any, ClassVar

from core.detectors.decoding import candidates_by
from core.detectors.dense import DenseAdapter
from core.detectors.graph import untraced
from core.detectors.patches import (
    COORDINATES,
    DENSE_HEAD,
    REPLACED,
    WITH_POSTPROCESSING,
    Patch,
    UntracedFunction,
    dense_functions,
)


def placed_points(head: Any, feature: Any) -> tuple[Any, ...]:
    """Return what RepPointsHead.forward_single of mmdet 2.28.2 does, all arithmetic on points left out of the graph."""
    to_class = to_points = feature
    for layer in head.cls_convs:
        to_class = layer(to_class)
    for layer in head.reg_convs:
        to_points = layer(to_points)
    first = head.reppoints_pts_init_out(head.relu(head.reppoints_pts_init_conv(to_points)))
    with untraced():
        base = head.dcn_base_offset.type_as(feature)
        half = head.point_base_scale / 2
        if head.use_grid_points:
            square = feature.new_tensor([-half, -half, half, half]).view(1, 4, 1, 1)
            first, box = head.gen_grid_from_reg(first, square)
        elif not head.center_init:
            first = first + base / base.max() * half
        offset = (1 - head.gradient_mul) * first.detach() + head.gradient_mul * first - base
    scores = head.reppoints_cls_out(head.relu(head.reppoints_cls_conv(to_class, offset)))
    refined = head.reppoints_pts_refine_out(head.relu(head.reppoints_pts_refine_conv(to_points, offset)))
    with untraced():
        refined = head.gen_grid_from_reg(refined, box.detach())[0] if head.use_grid_points else (
            refined + first.detach())
        return (scores, first, refined) if head.training else (scores, head.points2bbox(refined))


class SidesFromPoint:
    """Decodes a box's left, upper, right and lower side, in pixels from a point, in the exported graph."""

    def decode(self, points: Any, sides: Any, max_shape: Any) -> Any:
        """Return boxes [1, N, 4] of points [1, N, 2] within an image of ``max_shape`` (height, width)."""
        import torch

        edge = max_shape.flip(0).repeat(2).to(sides.dtype)
        return torch.min((sides + points.repeat(1, 1, 2)).clamp(min=0), edge)


class RepPoints(DenseAdapter):
    """Points on five levels."""

    name: ClassVar[str] = "RepPoints"
    heads: ClassVar[tuple[str, ...]] = ("RepPointsHead",)
    decoding: ClassVar[tuple[str, ...]] = (*DenseAdapter.decoding, "_bbox_decode", "points2bbox")
    # The head decodes without its coder.
    coders: ClassVar[tuple[str, ...]] = ()
    patches: ClassVar[tuple[Patch, ...]] = (
        *DENSE_HEAD, Patch("RepPointsHead", "forward_single", COORDINATES, REPLACED, function=placed_points),
        Patch("RepPointsHead", "_bbox_decode", COORDINATES, postprocessing=WITH_POSTPROCESSING))
    untraced_functions: ClassVar[tuple[UntracedFunction, ...]] = dense_functions("reppoints_head")

    def candidates(self, head: Any, outputs: Any, metas: list[dict[str, Any]]) -> tuple[Any, Any]:
        classes, boxes = outputs
        boxes = [level * stride for level, stride in zip(boxes, head.point_strides)]
        return candidates_by(SidesFromPoint(), head, (classes, boxes), metas)


FAMILY = RepPoints()
