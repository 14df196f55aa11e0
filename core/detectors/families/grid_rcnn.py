"""Grid R-CNN: the sides of a box lie where a grid of points is found in it."""

from typing import Any, ClassVar

from core.detectors.families.faster_rcnn import FasterRCNN
from core.detectors.graph import untraced
from core.detectors.patches import COORDINATES, TRAINING_ONLY, Patch


class GridRCNN(FasterRCNN):
    """A second stage finds classes in regions, and a third the places of their boxes; masks are refused."""

    name: ClassVar[str] = "Grid R-CNN"
    heads: ClassVar[tuple[str, ...]] = ("GridRoIHead",)
    obstacle: ClassVar[str] = "GridRoIHead: boxes are placed after suppression, where the graph would end"
    patches: ClassVar[tuple[Patch, ...]] = (
        *FasterRCNN.patches, Patch("GridHead", "loss", TRAINING_ONLY), Patch("GridHead", "get_targets", TRAINING_ONLY),
        Patch("GridHead", "get_bboxes", COORDINATES), Patch("GridRoIHead", "_random_jitter", TRAINING_ONLY))

    def problem(self, detector: Any) -> str:
        if detector.roi_head.with_mask:
            return "Masks of Grid R-CNN are made of other boxes than it returns, which the exported graph does not."
        if detector.roi_head.with_shared_head:
            return ("MMDetection takes points from other features in training, behind shared_head, than in testing, "
                    "before it.")
        return super().problem(detector)

    def raw_boxes(self, roi_head: Any, features: Any, rois: Any) -> list[Any]:
        found = [output for output in super().raw_boxes(roi_head, features, rois) if output is not None]
        return [*found, _heat(roi_head, features, rois)]

    def boxes_in(self, roi_head: Any, features: Any, metas: list[dict[str, Any]], proposals: Any) -> tuple[Any, Any]:
        import torch

        boxes, labels = super().boxes_in(roi_head, features, metas, proposals)
        with untraced():
            rois = torch.cat([torch.zeros_like(boxes[0, :, :1]), boxes[0, :, :4]], dim=1)
        heat = _heat(roi_head, features, rois)
        with untraced():
            placed = placed_boxes(roi_head.grid_head, boxes[0, :, :4], heat)
            return torch.cat([placed[None], boxes[..., 4:]], dim=-1), labels


def _heat(roi_head: Any, features: Any, rois: Any) -> Any:
    extractor = roi_head.grid_roi_extractor
    return roi_head.grid_head(extractor(features[:extractor.num_inputs], rois))["fused"]


def placed_boxes(head: Any, boxes: Any, heat: Any) -> Any:
    """Return boxes [K, 4] as GridHead.get_bboxes of mmdet 2.28.2 places them, which cuts off copies of them alone.

    Args:
        head: Says where in the whole of a region the map of each point lies.
        boxes: [K, 4], whose doubled extents are the regions.
        heat: [K, points, h, w], before the sigmoid.
    """
    import torch

    points, height, width = (int(size) for size in heat.shape[1:])
    scores, places = heat.reshape(-1, points, height * width).sigmoid().max(dim=-1)
    parts = torch.tensor(head.sub_regions)
    x = (places % width + parts[:, 0]).to(scores.dtype)
    y = (torch.div(places, width, rounding_mode="floor") + parts[:, 1]).to(scores.dtype)
    sides, middle = boxes[:, 2:] - boxes[:, :2], (boxes[:, :2] * 3 - boxes[:, 2:]) / 2
    x = (x + 0.5) / width * sides[:, :1] + middle[:, :1]
    y = (y + 0.5) / height * sides[:, 1:] + middle[:, 1:]
    size = head.grid_size
    edges = ((x, slice(0, size)), (y, slice(0, None, size)), (x, slice(points - size, None)),
             (y, slice(size - 1, None, size)))
    return torch.stack([(at[:, part] * scores[:, part]).sum(dim=1) / scores[:, part].sum(dim=1)
                        for at, part in edges], dim=1)


FAMILY = GridRCNN()
