"""YOLOX, of which MMDetection has no ONNX export."""

from typing import Any, ClassVar

from core.detectors.adapter import Exported
from core.detectors.dense import DenseAdapter
from core.detectors.graph import untraced
from core.detectors.outputs import BOX_OUTPUTS
from core.detectors.patches import COORDINATES, DENSE_HEAD, WITH_POSTPROCESSING, Patch
from core.detectors.suppression import suppress
from core.detectors.test_cfg import COUNT, NMS, SCORE, Rule, Table

_MAX_CANDIDATES = 1000
# MMDetection keeps any number of boxes; the exported graph has room for so many where the config says nothing.
_MAX_PER_IMAGE = 100


class YOLOX(DenseAdapter):
    """Points on three levels that are joined, so the sides of the input are multiples of the coarsest stride."""

    name: ClassVar[str] = "YOLOX"
    heads: ClassVar[tuple[str, ...]] = ("YOLOXHead",)
    decoding: ClassVar[tuple[str, ...]] = (*DenseAdapter.decoding, "_bbox_decode", "_bboxes_nms")
    # The head decodes without a coder.
    coders: ClassVar[tuple[str, ...]] = ()
    patches: ClassVar[tuple[Patch, ...]] = (
        *DENSE_HEAD, Patch("YOLOXHead", "_bbox_decode", COORDINATES, postprocessing=WITH_POSTPROCESSING),
        Patch("YOLOXHead", "_bboxes_nms", COORDINATES, postprocessing=WITH_POSTPROCESSING))
    input_divisor: ClassVar[int] = 32
    limit: ClassVar[str] = (f"of all places of an image the {_MAX_CANDIDATES:,} that score best are suppressed, and "
                            f"`max_per_img` boxes are kept, {_MAX_PER_IMAGE} where the config has none")
    test_cfg: ClassVar[Table] = {"score_thr": SCORE, "nms": NMS,
                                 "max_per_img": Rule(COUNT.accepts, COUNT.rule, COUNT.hint)}
    raw_outputs: ClassVar[tuple[str, ...]] = ("cls_scores", "bbox_preds", "score_factors")

    def trial_size(self, model: Any) -> tuple[int, int]:
        return 128, 128

    def max_detections(self, detector: Any) -> int:
        return int(detector.test_cfg.get("max_per_img", _MAX_PER_IMAGE))

    def exported_forward(self, detector: Any) -> Exported:
        return lambda img, **ignored: self._detect(detector, img), BOX_OUTPUTS

    def _detect(self, detector: Any, img: Any) -> tuple[Any, Any]:
        import torch

        head, cfg = detector.bbox_head, detector.bbox_head.test_cfg
        outputs = head(detector.extract_feat(img))
        limits = {"deploy_nms_pre": _MAX_CANDIDATES, "max_per_img": self.max_detections(detector)}
        with untraced():
            classes, boxes, objectness = [torch.cat(_rows(maps), dim=1) for maps in outputs]
            priors = torch.cat(head.prior_generator.grid_priors(
                [level.shape[-2:] for level in outputs[0]], dtype=boxes.dtype, device=boxes.device, with_stride=True))
            scores = classes.sigmoid() * objectness.sigmoid()
            # As in PyTorch, a box counts for its best class alone.
            scores = scores * (scores == scores.max(dim=-1, keepdim=True)[0]).to(scores.dtype)
            return suppress(head._bbox_decode(priors, boxes), scores, type(cfg)({**cfg, **limits}), cfg.score_thr)


def _rows(maps: list[Any]) -> list[Any]:
    """Return maps [N, C, H, W] as [N, H * W, C]."""
    return [level.permute(0, 2, 3, 1).reshape(level.shape[0], -1, level.shape[1]) for level in maps]


FAMILY = YOLOX()
