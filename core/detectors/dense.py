"""Heads on a feature pyramid whose post-processing is MMDetection's common one (BaseDenseHead)."""

from typing import Any, ClassVar

from core.detectors.adapter import Adapter, Exported, Forward, is_one_of
from core.detectors.decoding import candidates_by
from core.detectors.graph import image_metas, metas_of_any_size, untraced
from core.detectors.outputs import BOX_OUTPUTS
from core.detectors.patches import DENSE_FUNCTIONS, DENSE_HEAD, Patch, UntracedFunction
from core.detectors.suppression import LEAST_SCORE, suppress
from core.detectors.test_cfg import DENSE, Table

_TRIED_SIZE = (320, 320)


class DenseAdapter(Adapter):
    """A single-stage detector that decodes boxes by its bbox coder and keeps the best of each level.

    Attributes:
        raw_outputs: Names of the lists of maps that the head returns.
        score_factors: Whether the third of them multiplies the scores: centerness, or the predicted overlap.
        sigmoid_alone: Whether MMDetection finds boxes as if the loss were of a sigmoid, whatever it is.
    """

    decoding: ClassVar[tuple[str, ...]] = (
        "get_bboxes", "_get_bboxes_single", "_bbox_post_process", "simple_test", "simple_test_bboxes", "onnx_export")
    coders: ClassVar[tuple[str, ...]] = ("DeltaXYWHBBoxCoder",)
    patches: ClassVar[tuple[Patch, ...]] = DENSE_HEAD
    untraced_functions: ClassVar[tuple[UntracedFunction, ...]] = DENSE_FUNCTIONS
    test_cfg: ClassVar[Table] = DENSE
    raw_outputs: ClassVar[tuple[str, ...]] = ("cls_scores", "bbox_preds")
    score_factors: ClassVar[bool] = False
    sigmoid_alone: ClassVar[bool] = False

    def problem(self, detector: Any) -> str:
        head = detector.bbox_head
        coder = getattr(head, "bbox_coder", None)
        if self.coders and not is_one_of(coder, self.coders):
            return (f"The exported graph of {self.name} decodes boxes by {' or '.join(self.coders)}, and the head has "
                    f"{type(coder).__name__}.")
        if getattr(getattr(head, "loss_cls", None), "custom_cls_channels", False):
            return f"{type(head.loss_cls).__name__} makes scores of its own kind, which the exported graph does not."
        if self.score_factors and not head.use_sigmoid_cls:
            return "The exported graph multiplies scores of a sigmoid (loss_cls.use_sigmoid=True), not of a softmax."
        if self.sigmoid_alone and not head.use_sigmoid_cls:
            return (f"MMDetection takes the scores of {type(head).__name__} from a sigmoid even where its loss is of a "
                    "softmax, and counts the background as a class; the exported graph does not "
                    "(loss_cls.use_sigmoid=True).")
        return ""

    def last_stage(self, test_cfg: Any) -> Any:
        return test_cfg

    def head_outputs(self, detector: Any, img: Any) -> Any:
        """Return what the head returns of images [N, 3, H, W]."""
        return detector.bbox_head(detector.extract_feat(img))

    def exported_outputs(self, detector: Any, img: Any) -> Any:
        """Return the same in an exported graph, of one image [1, 3, H, W] that may end in padding."""
        return self.head_outputs(detector, img)

    def traced_forward(self, detector: Any, postprocessing: bool) -> Forward:
        def forward(img: Any, **ignored: Any) -> Any:
            outputs = self.head_outputs(detector, img)
            if not postprocessing:
                return self.raw_levels(outputs)
            return detector.bbox_head.get_bboxes(*outputs, img_metas=image_metas(img), rescale=False)

        return forward

    def exported_forward(self, detector: Any) -> Exported:
        def forward(img: Any, **ignored: Any) -> Any:
            head = detector.bbox_head
            outputs = self.head_outputs(detector, img)
            with untraced():
                boxes, scores = self.candidates(head, outputs, metas_of_any_size(img))
                return suppress(boxes, scores, head.test_cfg, self.score_threshold(detector))

        return forward, BOX_OUTPUTS

    def candidates(self, head: Any, outputs: Any, metas: list[dict[str, Any]]) -> tuple[Any, Any]:
        """Return boxes [1, N, 4] and scores [1, N, classes] of the best of each level."""
        return candidates_by(head.bbox_coder, head, outputs, metas)

    def score_threshold(self, detector: Any) -> float:
        """Return ``score_thr``, or next to 0 where the graph has applied it already."""
        return LEAST_SCORE if self.score_factors else super().score_threshold(detector)

    def raw_levels(self, outputs: Any) -> tuple[Any, ...]:
        """Return the lists of maps that ``raw_outputs`` names, of what the head returns."""
        return tuple(outputs)

    def raw_forward(self, detector: Any) -> Exported:
        """Return a forward function that ends at the head; what the head returns is kept as it is.

        Outputs are ``cls_scores_0`` of the first level, ``bbox_preds_0`` and so on, ``score_factors_0`` where there is
        centerness or objectness, ``pred_maps_0`` where all is in one map.
        """
        import torch

        def forward(img: Any, **ignored: Any) -> tuple[Any, ...]:
            outputs = self.exported_outputs(detector, img)
            return tuple(level for levels in self.raw_levels(outputs) for level in levels)

        with torch.no_grad():
            outputs = self.raw_levels(self.head_outputs(detector, torch.zeros(1, 3, *_TRIED_SIZE)))
        names = self.raw_outputs
        return forward, tuple(f"{name}_{level}" for name, levels in zip(names, outputs) for level in range(len(levels)))
