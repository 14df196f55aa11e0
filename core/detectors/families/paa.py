"""PAA and LAD: scores are roots of products with the predicted overlap, and neighbours vote on the final boxes."""

from typing import Any, ClassVar

from core.detectors.adapter import Exported
from core.detectors.dense import DenseAdapter
from core.detectors.graph import metas_of_any_size, untraced
from core.detectors.outputs import BOX_OUTPUTS
from core.detectors.patches import DENSE_HEAD, Patch
from core.detectors.suppression import suppress
from core.detectors.teacher import TEACHER
from core.detectors.test_cfg import DENSE, LIMIT, UNREAD, Table

# As PAAHead.score_voting of mmdet 2.28.2 has them.
_LEAST_OVERLAP, _WIDTH = 0.01, 0.025


class PAA(DenseAdapter):
    """One anchor a place; LAD learns from a second such detector, which stays out of the network."""

    name: ClassVar[str] = "PAA"
    heads: ClassVar[tuple[str, ...]] = ("PAAHead", "LADHead")
    sigmoid_alone: ClassVar[bool] = True
    decoding: ClassVar[tuple[str, ...]] = (*DenseAdapter.decoding, "score_voting")
    patches: ClassVar[tuple[Patch, ...]] = (*DENSE_HEAD, *TEACHER)
    # The head has a setting of that name, which counts.
    test_cfg: ClassVar[Table] = {**DENSE, "nms_pre": LIMIT, "score_voting": UNREAD}
    raw_outputs: ClassVar[tuple[str, ...]] = ("cls_scores", "bbox_preds", "score_factors")

    def exported_forward(self, detector: Any) -> Exported:
        def forward(img: Any, **ignored: Any) -> Any:
            head = detector.bbox_head
            outputs = head(detector.extract_feat(img))
            with untraced():
                boxes, scores = head.onnx_export(*outputs, img_metas=metas_of_any_size(img), with_nms=False)
                scores = scores.sqrt()
                threshold = self.score_threshold(detector)
                rows, labels = suppress(boxes, scores, head.test_cfg, threshold)
                return (voted(rows, labels, boxes, scores, threshold) if head.with_score_voting else rows), labels

        return forward, BOX_OUTPUTS


def voted(rows: Any, labels: Any, boxes: Any, scores: Any, threshold: float) -> Any:
    """Return rows [1, M, 5] with each box the mean of the candidates of its class, weighed by overlap and score.

    Args:
        rows: What suppression left.
        labels: [1, M].
        boxes: Candidates [1, N, 4].
        scores: [1, N, classes].
        threshold: Scores up to it have no vote.
    """
    import torch

    found = rows[0, :, None, :4]
    sides = (torch.min(found[..., 2:], boxes[..., 2:]) - torch.max(found[..., :2], boxes[..., :2])).clamp(min=0)
    shared = sides[..., 0] * sides[..., 1]
    union = (_areas(found) + _areas(boxes) - shared).clamp(min=1e-6)
    overlaps = shared / union
    own = scores[0].transpose(0, 1)[labels[0]]
    votes = torch.exp(-(1 - overlaps) ** 2 / _WIDTH) * own
    votes = votes * ((overlaps > _LEAST_OVERLAP) & (own > threshold)).to(votes.dtype)
    total = votes.sum(dim=1, keepdim=True)
    means = torch.matmul(votes, boxes[0]) / total.clamp(min=1e-12)
    # A box of no area overlaps nothing; padding stays padding.
    means = torch.where(total > 0, means, rows[0, :, :4])
    return torch.cat([means, rows[0, :, 4:]], dim=1)[None]


def _areas(boxes: Any) -> Any:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


FAMILY = PAA()
