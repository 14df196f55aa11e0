"""What compressing each part of a model costs: one part at a time, in OpenVINO, on images of its data.

First the error of the raw outputs, which a few images show exactly; of the parts with the largest errors then mAP.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.base.digest import sha256_file
from core.base.progress import progress
from core.openvino.ir import MODEL_ONNX
from core.openvino.parts import Images, Part, PartedModel, error_of
from core.results.sensitivity import GroupCost, Sensitivity

if TYPE_CHECKING:
    from core.data.dataset import Dataset

IMAGES = 16
MAP_IMAGES = 50
WORST = 20
PRUNING_LEVEL = 0.4
MOST_IGNORED = 10


def measure_sensitivity(onnx_dir: Path, data: "Dataset", images: int = IMAGES, map_images: int = MAP_IMAGES,
                        worst: int = WORST, pruning_level: float = PRUNING_LEVEL) -> Sensitivity:
    """Compress each group of quantizers and of filters by itself, and measure what that changes.

    Args:
        onnx_dir: Folder with model.onnx and spec.json, as export wrote it; quantizers are those of a quantized model.
        data: The data set: errors are over its training images, mAP over validation, or test where there is none.
        images: How many images the errors are over.
        map_images: How many images mAP is over.
        worst: Of how many groups of each kind mAP is measured.
        pruning_level: Share of a group's filters that is removed.

    Raises:
        UserError: The model is damaged, finds no boxes or has nothing to compress, or no image can be read.
    """
    model = PartedModel(onnx_dir, data.classes, pruning_level)
    few, many = Images(data.train, images, model.spec), Images(data.val or data.test, map_images, model.spec)
    whole, costs = model.map(many), []
    # Boxes of NaN find nothing.
    for kind in ("quantization", "pruning"):
        ranked = ranked_by_error(model, model.of(kind), few)
        with progress(min(worst, len(ranked)), f"{kind}: mAP", "groups") as bar:
            for place, (part, error) in enumerate(ranked):
                drop = math.nan
                if place < worst:
                    drop = whole - (model.compressed_map(many, part) or 0.0)
                    bar.update()
                costs.append(GroupCost(kind=kind, name=part.module, layers=part.layers, scopes=part.scopes,
                                       error=error, map_drop=drop))
    quantizers = model.of("quantization")
    quantized = (model.compressed_map(many, *quantizers) or 0.0) if quantizers else math.nan
    return Sensitivity(version=1, kind="sensitivity", onnx_sha256=sha256_file(Path(onnx_dir) / MODEL_ONNX),
                       images=len(few.inputs), map_images=len(many.inputs), map=whole, map_quantized=quantized,
                       pruning_level=pruning_level, groups=tuple(costs),
                       ignored_scopes=tuple(_worth_ignoring(costs)))


def ranked_by_error(model: PartedModel, parts: Sequence[Part], images: Images) -> list[tuple[Part, float]]:
    """Return parts with the error of the raw outputs where each is compressed by itself, the largest first."""
    original = model.raw(images)
    found = []
    with progress(len(parts), "sensitivity", "groups") as bar:
        for part in parts:
            with model.compressed(part):
                found.append((part, error_of(model.raw(images), original)))
            bar.update()
    return sorted(found, key=lambda item: -item[1])


def _worth_ignoring(costs: Sequence[GroupCost]) -> Iterator[str]:
    """Yield the scopes of the quantizers whose errors, squared, make half of the sum.

    Errors of different layers add up like independent noise: by their squares.
    """
    squares = [(cost.error ** 2, cost) for cost in costs if cost.kind == "quantization"]
    left = sum(square for square, _ in squares) / 2
    for square, cost in squares[:MOST_IGNORED]:
        if left <= 0:
            return
        yield from cost.scopes
        left -= square
