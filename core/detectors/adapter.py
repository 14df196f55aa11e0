"""What must be known of a family of heads to compress it and to export it with its post-processing."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from core.base.errors import UserError
from core.detectors.patches import Patch, UntracedFunction
from core.detectors.test_cfg import Table, check_test_cfg

Forward = Callable[..., Any]
Exported = tuple[Forward, tuple[str, ...]]
"""A forward function to export, and the names of its outputs."""


class Adapter(ABC):
    """All that is known of one family of heads.

    Attributes:
        name: What messages call the family.
        heads: Classes of MMDetection whose exported boxes were compared with PyTorch's; a subclass of theirs is of the
            family as long as it defines none of ``decoding`` itself.
        detectors: Classes of detectors that test otherwise than the common ones, which the family's heads need.
        decoding: Methods that turn the head's raw outputs into boxes.
        coders: Classes of bbox coders whose decoding ONNX can express.
        patches: Methods that stay out of NNCF's graph, or are one operator of it.
        untraced_functions: Functions that stay out of NNCF's graph.
        obstacle: Why post-processing cannot be part of NNCF's graph at all; empty where it can.
        input_divisor: What the sides of the input must be multiples of.
        test_cfg: The keys of ``test_cfg`` that the exported graph obeys.
        suppresses: Whether the exported graph ends in a non-maximum suppression.
        limit: How many boxes the exported graph has room for where MMDetection has no limit; empty where there is none.
    """

    name: ClassVar[str]
    heads: ClassVar[tuple[str, ...]]
    detectors: ClassVar[tuple[str, ...]] = ()
    decoding: ClassVar[tuple[str, ...]]
    coders: ClassVar[tuple[str, ...]]
    patches: ClassVar[tuple[Patch, ...]]
    untraced_functions: ClassVar[tuple[UntracedFunction, ...]] = ()
    obstacle: ClassVar[str] = ""
    input_divisor: ClassVar[int] = 1
    suppresses: ClassVar[bool] = True
    limit: ClassVar[str] = ""
    test_cfg: ClassVar[Table]

    @abstractmethod
    def traced_forward(self, detector: Any, postprocessing: bool) -> Forward:
        """Return the forward function that NNCF traces: ``forward(img, **ignored)`` with ``img`` [N, 3, H, W].

        Args:
            detector: One of the family.
            postprocessing: Include box decoding and non-maximum suppression instead of ending at the raw heads.
        """

    @abstractmethod
    def exported_forward(self, detector: Any) -> Exported:
        """Return the forward function to export, with post-processing of standard ONNX operators.

        The function takes ``img`` [1, 3, H, W] and returns ``boxes`` [1, N, 5] (x1, y1, x2, y2, score in pixels of
        ``img``), ``labels`` [1, N] and, for a detector with a mask head, ``masks`` [1, N, h, w]. Rows of score 0 are
        padding.
        """

    @abstractmethod
    def raw_forward(self, detector: Any) -> Exported:
        """Return a forward function that ends at the heads, one output a level.

        Raises:
            UserError: The heads need proposals, which are themselves post-processed.
        """

    @abstractmethod
    def last_stage(self, test_cfg: Any) -> Any:
        """Return the section of a ``test_cfg`` that makes the final boxes."""

    def problem(self, detector: Any) -> str:
        """Return why a detector of the family cannot be exported as it is configured; empty where it can."""
        return ""

    def check(self, detector: Any) -> None:
        """Check that the exported graph finds what the detector finds in PyTorch.

        Raises:
            UserError: A part of it, or a key of its ``test_cfg``, has an effect that the graph would not have.
        """
        problem = self.problem(detector)
        if problem:
            raise UserError("detector", type(detector).__name__, problem,
                            f"The nearest supported family is {self.name} itself, as most of MMDetection's configs "
                            "have it.")
        check_test_cfg(detector.test_cfg, self.rules(detector), self.name)

    def rules(self, detector: Any) -> Table:
        """Return ``test_cfg`` with what the parts of a detector ask of its keys."""
        return self.test_cfg

    def trial_size(self, model: Any) -> tuple[int, int]:
        """Return height and width that keep a trial of the config's ``model`` short."""
        return 128, 160

    def score_threshold(self, detector: Any) -> float:
        """Return the score that a row of the exported output must exceed to be a detection."""
        return float(self.last_stage(detector.test_cfg).score_thr)

    def iou_threshold(self, detector: Any) -> float:
        """Return the overlap above which the lower-scored box is dropped."""
        return float(self.last_stage(detector.test_cfg).nms.iou_threshold)

    def max_detections(self, detector: Any) -> int:
        """Return the number of rows that the exported output has."""
        return int(self.last_stage(detector.test_cfg).max_per_img)


def is_one_of(instance: Any, names: tuple[str, ...]) -> bool:
    """Return whether an object's class is named so; a subclass may decode otherwise and does not count."""
    return type(instance).__name__ in names
