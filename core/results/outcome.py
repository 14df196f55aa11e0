"""What a candidate came to by itself: how it was made, or what it failed of."""

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import Field

from core.base.json_file import json_value
from core.results.record import Count, MeasuredFraction, Name, Quantity, Record, Text

OUTCOME_FILE = "outcome.json"
# No artifact of ours that is as short begins as an outcome does.
_MOST_BYTES = 100_000


class Outcome(Record):
    """What a candidate failed of; it stands in the place of everything that its stages would have written."""

    version: Literal[1] = Field(alias="schema")
    """Version of this format."""
    kind: Literal["failed candidate"]
    """What this file is."""
    candidate: Name
    """The candidate's name."""
    stage: Literal["resolve", "compress", "evaluate", "export", "convert", "validate"]
    """The stage that found out."""
    reason: Text
    """What was wrong, as the stage would have said it where it fails a run."""
    seconds: Quantity = 0.0
    """Wall time that the stage worked before it found out; of a training that was resumed, of all its processes."""
    gpus: Count = 0
    """GPUs that it worked on; 0 is the CPU."""

    @property
    def hours(self) -> float:
        """Return hours of the device (``device_hours``)."""
        return device_hours(self.seconds, self.gpus)

    @property
    def digest(self) -> str:
        """Return the SHA-256 of what it says, but for how long that took."""
        said = self.model_copy(update={"seconds": 0.0}).model_dump_json(by_alias=True)
        return hashlib.sha256(said.encode()).hexdigest()

    def put(self, place: Path, folder: bool) -> None:
        """Write the outcome in the place of an artifact, a file or a folder."""
        self.write(place / OUTCOME_FILE if folder else place)

    @classmethod
    def at(cls, place: Path) -> "Outcome | None":
        """Return the outcome that stands in an artifact's place, None where the artifact itself is there."""
        file = place / OUTCOME_FILE if place.is_dir() else place
        if not file.is_file() or file.stat().st_size > _MOST_BYTES:
            return None
        with open(file, "rb") as content:
            if content.read(1) != b"{":
                return None
        try:
            found = json_value(file.read_bytes())
        except ValueError:
            return None
        return cls.read(file) if isinstance(found, dict) and found.get("kind") == "failed candidate" else None


class Making(Record):
    """How a candidate was made, as compress writes it."""

    version: Literal[1] = Field(alias="schema")
    """Version of this format."""
    candidate: Name
    """Its name."""
    fine_tune: Literal["always", "when_needed", "never"]
    """What was asked."""
    decision: Text
    """What was decided of its training and why, a sentence."""
    map_before_compression: MeasuredFraction
    """mAP of the FP32 model on the validation split; null where it was not asked for."""
    map_before_training: MeasuredFraction
    """mAP right after compression was initialised, likewise."""
    epochs: Count
    """Epochs that were trained."""
    planned_epochs: Count
    """Epochs of the config; 0 where its length is in iterations."""
    result_epoch: Count = 0
    """Epoch whose weights are the result, or iteration where those are counted; 0 where nothing was trained."""
    seconds: Quantity
    """Wall time of compress; where it was resumed, of all its processes up to the state that each left."""
    gpus: Count
    """GPUs that it worked on; 0 is the CPU."""
    config: dict[str, str]
    """The candidate's config by reference, as resolve wrote it."""

    @property
    def hours(self) -> float:
        """Return hours of the device (``device_hours``)."""
        return device_hours(self.seconds, self.gpus)


def device_hours(seconds: float, gpus: int) -> float:
    """Return hours of all GPUs together, or of the CPU where there is none."""
    return seconds * max(gpus, 1) / 3600
