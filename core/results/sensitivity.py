"""``sensitivity.json``: what compressing each part of a model costs, one part at a time."""

from typing import Annotated, Literal

from pydantic import Field

from core.results.record import Count, Fraction, MeasuredDifference, MeasuredFraction, Quantity, Record, Sha256, Text


class GroupCost(Record):
    """What it costs to compress one group of layers and nothing else."""

    kind: Literal["quantization", "pruning"]
    """What was done: the quantizers of a layer put in, or filters removed from layers that are pruned together."""
    name: Text
    """The first of its layers, as the module is called in the detector."""
    layers: tuple[Text, ...]
    """Its layers in the graph; one that runs on several pyramid levels is there once for each."""
    scopes: tuple[Text, ...]
    """Entries of `ignored_scopes` by which NNCF leaves it out."""
    error: Quantity
    """Root mean square of what changes in the raw outputs, over their standard deviation; where they become NaN or
    infinite, 1e100, above any other."""
    map_drop: MeasuredDifference
    """mAP lost on some images; null where it was not measured, as of all but the groups of the largest errors."""


class Sensitivity(Record):
    """`sensitivity.json`: groups of quantizers and of filters, those that cost most first."""

    version: Literal[1] = Field(alias="schema")
    """Version of this format."""
    kind: Literal["sensitivity"]
    """What was measured."""
    onnx_sha256: Sha256
    """Of the model.onnx that it was measured on, in OpenVINO."""
    images: Annotated[int, Field(ge=1)]
    """Images of the training split that the error is over."""
    map_images: Count
    """Images of the validation split (of the test split where there is none) that mAP is over."""
    map: MeasuredFraction
    """mAP on them with nothing compressed."""
    map_quantized: MeasuredFraction
    """mAP on them with all quantizers; null where there are none."""
    pruning_level: Fraction
    """Share of the filters that was removed from a group."""
    groups: tuple[GroupCost, ...]
    """The groups, by falling error, quantizers first."""
    ignored_scopes: tuple[Text, ...]
    """Entries that leave out the quantizers whose errors, squared, make half of the sum, at most 10 groups."""

    def of(self, kind: str) -> tuple[GroupCost, ...]:
        """Return the groups of one kind."""
        return tuple(group for group in self.groups if group.kind == kind)
