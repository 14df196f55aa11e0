"""CenterNet: a box for each local maximum of a map of middles."""

from typing import Any, ClassVar

from core.detectors.adapter import Exported
from core.detectors.dense import DenseAdapter
from core.detectors.graph import untraced
from core.detectors.outputs import BOX_OUTPUTS
from core.detectors.patches import COORDINATES, DENSE_HEAD, REPLACED, WITH_POSTPROCESSING, Patch
from core.detectors.suppression import LEAST_SCORE
from core.detectors.test_cfg import COUNT, UNREAD, Rule, Table


def middles(head: Any, feature: Any) -> tuple[Any, Any, Any]:
    """Return what CenterNetHead.forward_single of mmdet 2.28.2 does, the sigmoid left out of NNCF's graph."""
    logits, sides, offset = head.heatmap_head(feature), head.wh_head(feature), head.offset_head(feature)
    with untraced():
        return logits.sigmoid(), sides, offset


class CenterNet(DenseAdapter):
    """One level; MMDetection suppresses nothing where no test-time augmentation is merged."""

    name: ClassVar[str] = "CenterNet"
    heads: ClassVar[tuple[str, ...]] = ("CenterNetHead",)
    decoding: ClassVar[tuple[str, ...]] = (*DenseAdapter.decoding, "decode_heatmap")
    # The head decodes without a coder.
    coders: ClassVar[tuple[str, ...]] = ()
    patches: ClassVar[tuple[Patch, ...]] = (
        *DENSE_HEAD,
        Patch("CenterNetHead", "forward_single", "neighbours would have the same of 256 scores, so that each of them "
              "were a local maximum", REPLACED, function=middles),
        Patch("CenterNetHead", "_get_bboxes_single", COORDINATES, postprocessing=WITH_POSTPROCESSING))
    suppresses: ClassVar[bool] = False
    test_cfg: ClassVar[Table] = {
        "topk": COUNT, "local_maximum_kernel": Rule(lambda value: COUNT.accepts(value) and value % 2 == 1,
                                                    "It is an odd number from 1.", "Write 3.", required=True),
        "max_per_img": UNREAD}
    raw_outputs: ClassVar[tuple[str, ...]] = ("center_heatmap_preds", "wh_preds", "offset_preds")

    def score_threshold(self, detector: Any) -> float:
        """Return next to 0: MMDetection returns a maximum whatever its score."""
        return LEAST_SCORE

    def iou_threshold(self, detector: Any) -> float:
        """Return 1: no box is dropped for another."""
        return 1.0

    def max_detections(self, detector: Any) -> int:
        return int(detector.test_cfg.topk)

    def exported_forward(self, detector: Any) -> Exported:
        def forward(img: Any, **ignored: Any) -> Any:
            (heat,), (sides,), (offset,) = self.head_outputs(detector, img)
            with untraced():
                return boxes_at_maxima(heat[0], sides[0], offset[0], img, detector.test_cfg)

        return forward, BOX_OUTPUTS


def boxes_at_maxima(heat: Any, sides: Any, offset: Any, img: Any, test_cfg: Any) -> tuple[Any, Any]:
    """Return boxes [1, topk, 5] and labels [1, topk].

    Args:
        heat: Scores [classes, h, w].
        sides: Width and height in pixels of the map [2, h, w].
        offset: From a pixel's corner to the middle [2, h, w].
        img: [1, 3, H, W].
        test_cfg: The head's.
    """
    import torch
    from torch.nn.functional import max_pool2d

    kernel = int(test_cfg.local_maximum_kernel)
    heat = heat * (max_pool2d(heat[None], kernel, 1, (kernel - 1) // 2)[0] == heat).to(heat.dtype)
    height, width = heat.shape[1:]
    scores, places = heat.reshape(-1).topk(int(test_cfg.topk))
    labels = torch.div(places, height * width, rounding_mode="floor")
    places = places % (height * width)
    corners = torch.stack([places % width, torch.div(places, width, rounding_mode="floor")], dim=1)
    middle = corners.to(heat.dtype) + offset.reshape(2, -1)[:, places].transpose(0, 1)
    half = sides.reshape(2, -1)[:, places].transpose(0, 1) / 2
    scale = (torch._shape_as_tensor(img)[2:] / torch._shape_as_tensor(heat)[1:]).flip(0).repeat(2).to(heat.dtype)
    boxes = torch.cat([middle - half, middle + half], dim=1) * scale
    return torch.cat([boxes, scores[:, None]], dim=1)[None], labels[None]


FAMILY = CenterNet()
