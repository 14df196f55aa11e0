"""``evaluation.json`` of the evaluate stage: a checkpoint measured in PyTorch."""

from typing import Literal

from pydantic import Field

from core.results.accuracy import CorruptImage, DetectionMetrics
from core.results.record import Quantity, Record, Sha256, Text


class CheckpointFacts(Record):
    """The checkpoint that was measured."""

    checkpoint_sha256: Sha256
    """Of the file."""
    algorithms: tuple[str, ...]
    """NNCF's algorithms in it; empty for a plain one."""
    nncf_config_sha256: str
    """Of its `nncf_config`; empty for a plain one."""


class Evaluation(Record):
    """`evaluation.json` of the evaluate stage: a checkpoint measured in PyTorch on the test split."""

    version: Literal[1] = Field(alias="schema")
    """Version of this format."""
    kind: Literal["pytorch"]
    """What was measured in."""
    metrics: DetectionMetrics
    """Its accuracy."""
    seconds: Quantity
    """Wall time of inference and scoring."""
    corrupt_images: tuple[CorruptImage, ...]
    """Images left out."""
    warnings: tuple[Text, ...]
    """Sentences about the data set."""
    data_digest: str
    """Of the data set."""
    versions: dict[str, str]
    """Package to version: torch, mmcv, mmdet, and nncf where it was used."""
    model: CheckpointFacts
    """What was measured."""
