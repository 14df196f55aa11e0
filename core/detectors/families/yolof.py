"""YOLOF: anchors on a single level, scores joined with an objectness within the head."""

from typing import ClassVar

from core.detectors.dense import DenseAdapter


class YOLOF(DenseAdapter):
    """Anchors on one level of stride 32."""

    name: ClassVar[str] = "YOLOF"
    heads: ClassVar[tuple[str, ...]] = ("YOLOFHead",)


FAMILY = YOLOF()
