"""RetinaNet and the heads that differ from it in training only: FSAF, FreeAnchor, PISA, and separate batch norms."""

from typing import Any, ClassVar

from core.detectors.dense import DenseAdapter


class RetinaNet(DenseAdapter):
    """Anchors on five levels, a sigmoid or softmax for each class."""

    name: ClassVar[str] = "RetinaNet"
    heads: ClassVar[tuple[str, ...]] = ("RetinaHead", "FSAFHead", "FreeAnchorRetinaHead", "PISARetinaHead",
                                        "RetinaSepBNHead")
    coders: ClassVar[tuple[str, ...]] = ("DeltaXYWHBBoxCoder", "TBLRBBoxCoder")

    def trial_size(self, model: Any) -> tuple[int, int]:
        return 64, 64


FAMILY = RetinaNet()
