"""YOLOv3: boxes, objectness and classes in one map a level."""

from typing import Any, ClassVar

from core.detectors.adapter import Exported
from core.detectors.dense import DenseAdapter
from core.detectors.graph import metas_of_any_size, untraced
from core.detectors.outputs import BOX_OUTPUTS
from core.detectors.suppression import LEAST_SCORE, suppress
from core.detectors.test_cfg import DENSE, SCORE, Rule, Table


class YOLOv3(DenseAdapter):
    """Anchors on three levels that are joined, so the sides of the input are multiples of the coarsest stride."""

    name: ClassVar[str] = "YOLOv3"
    heads: ClassVar[tuple[str, ...]] = ("YOLOV3Head",)
    coders: ClassVar[tuple[str, ...]] = ("YOLOBBoxCoder",)
    obstacle: ClassVar[str] = (
        "YOLOV3Head: boxes and scores leave one convolution in one tensor, so a quantizer on the scores would quantize "
        "the coordinates too")
    input_divisor: ClassVar[int] = 32
    test_cfg: ClassVar[Table] = {**DENSE, "conf_thr": Rule(SCORE.accepts, SCORE.rule, "Write such as 0.005.")}
    raw_outputs: ClassVar[tuple[str, ...]] = ("pred_maps",)

    def trial_size(self, model: Any) -> tuple[int, int]:
        return 128, 128

    def exported_forward(self, detector: Any) -> Exported:
        def forward(img: Any, **ignored: Any) -> Any:
            head = detector.bbox_head
            outputs = head(detector.extract_feat(img))
            with untraced():
                boxes, scores = head.onnx_export(*outputs, metas_of_any_size(img), with_nms=False)
                return suppress(boxes, scores, head.test_cfg, 0)

        return forward, BOX_OUTPUTS

    def score_threshold(self, detector: Any) -> float:
        """Return next to 0: the graph compares ``score_thr`` with the class alone, before objectness lowers it."""
        return LEAST_SCORE


FAMILY = YOLOv3()
