"""YOLOv3: boxes, objectness and classes in one map a level."""

from typing import Any, ClassVar

from core.detectors.adapter import Exported
from core.detectors.decoding import rows_of
from core.detectors.dense import DenseAdapter
from core.detectors.graph import untraced
from core.detectors.outputs import BOX_OUTPUTS
from core.detectors.suppression import LEAST_SCORE, suppress
from core.detectors.test_cfg import DENSE, SCORE, UNREAD, Rule, Table

# Places that the graph suppresses, the best of all levels, where the config says nothing; MMDetection takes all.
_MAX_CANDIDATES = 3000


class YOLOv3(DenseAdapter):
    """Anchors on three levels that are joined, so the sides of the input are multiples of the coarsest stride."""

    name: ClassVar[str] = "YOLOv3"
    heads: ClassVar[tuple[str, ...]] = ("YOLOV3Head",)
    coders: ClassVar[tuple[str, ...]] = ("YOLOBBoxCoder",)
    obstacle: ClassVar[str] = (
        "YOLOV3Head: boxes and scores leave one convolution in one tensor, so a quantizer on the scores would quantize "
        "the coordinates too")
    input_divisor: ClassVar[int] = 32
    limit: ClassVar[str] = (f"of all places of an image the {_MAX_CANDIDATES:,} that score best are suppressed, or "
                            "`deploy_nms_pre` where the config has it (-1: all)")
    # MMDetection reads nms_pre in its own ONNX export alone.
    test_cfg: ClassVar[Table] = {**DENSE, "nms_pre": UNREAD,
                                 "conf_thr": Rule(SCORE.accepts, SCORE.rule, "Write such as 0.005.")}
    raw_outputs: ClassVar[tuple[str, ...]] = ("pred_maps",)

    def trial_size(self, model: Any) -> tuple[int, int]:
        return 128, 128

    def exported_forward(self, detector: Any) -> Exported:
        def forward(img: Any, **ignored: Any) -> Any:
            head = detector.bbox_head
            (maps,) = head(detector.extract_feat(img))
            with untraced():
                limit = {"deploy_nms_pre": head.test_cfg.get("deploy_nms_pre", _MAX_CANDIDATES)}
                return suppress(*joined(head, maps), type(head.test_cfg)({**head.test_cfg, **limit}), 0)

        return forward, BOX_OUTPUTS

    def score_threshold(self, detector: Any) -> float:
        """Return next to 0: the graph compares ``score_thr`` with the class alone, before objectness lowers it."""
        return LEAST_SCORE


def joined(head: Any, maps: list[Any]) -> tuple[Any, Any]:
    """Return boxes [1, N, 4] and scores [1, N, classes] of all places of maps [1, A * (5 + classes), h, w]."""
    import torch

    cfg, boxes, scores = head.test_cfg, [], []
    priors = head.prior_generator.grid_priors([level.shape[-2:] for level in maps], device=maps[0].device)
    for level, anchors, stride in zip(maps, priors, head.featmap_strides):
        rows = rows_of(level, head.num_attrib)
        places = torch.cat([rows[..., :2].sigmoid(), rows[..., 2:4]], dim=-1)
        boxes.append(head.bbox_coder.decode(anchors[None], places, stride))
        sure, classes = rows[..., 4:5].sigmoid(), rows[..., 5:].sigmoid()
        sure = sure * (sure >= cfg.get("conf_thr", -1)).to(sure.dtype)
        scores.append(classes * (classes > cfg.score_thr).to(classes.dtype) * sure)
    return torch.cat(boxes, dim=1), torch.cat(scores, dim=1)


FAMILY = YOLOv3()
