"""A compressed model before its first training step: scored, and refused where its initialisation is bad."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.base.errors import CandidateFailed, UserError
from core.base.text import bounded_repr

if TYPE_CHECKING:
    from core.data.dataset import Dataset, Split
    from core.results.accuracy import DetectionMetrics

RATIO_KEY = "min_initial_map_ratio"
# Enough to see a broken initialisation; the training split itself can be of any size.
MOST_TRAINING_IMAGES = 64

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class InitialScore:
    """The accuracy of a compressed model before its first training step.

    Attributes:
        split: Name of the split that was scored.
        metrics: COCO metrics of the compressed model.
        parent_map: mAP of the model before compression on the same images, None where it was not asked for.
    """

    split: str
    metrics: "DetectionMetrics"
    parent_map: float | None

    def to_log(self) -> dict[str, Any]:
        """Return the line of the training log, a validation of epoch 0."""
        values = self.metrics.to_json()
        line = {"mode": "val", "epoch": 0, "map": values["map"], "map50": values["map50"], "split": self.split,
                "images": self.metrics.images}
        return line if self.parent_map is None else {**line, "map_parent": self.parent_map}


def min_initial_map_ratio(config: Any) -> float:
    """Return the config's ``min_initial_map_ratio``, 0 where it is absent; raise UserError as :func:`check_ratio`."""
    return check_ratio(config.get(RATIO_KEY, 0.0), f"config, {RATIO_KEY}")


def check_ratio(value: Any, thing: str) -> float:
    """Return ``value`` as a float; ``thing`` names it in the error that refuses anything but a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise UserError(thing, bounded_repr(value), "It is the share of the FP32 model's mAP that must be left right "
                        "after compression is initialised, a number from 0 (off) to 1.",
                        "Give such a number, e.g. 0.5.")
    return float(value)


def initial_split(dataset: "Dataset", work_dir: Path) -> "Split":
    """Return the images to score before training: the val split, else some of the training split.

    Of the training split at most ``MOST_TRAINING_IMAGES`` are taken, evenly spread; their annotations are written to
    ``work_dir``.
    """
    if dataset.val is not None:
        return dataset.val
    from core.data.dataset import Split
    from core.evaluation.coco_map import read_annotations

    truth = read_annotations(dataset.train.annotation_file)
    every = -(-len(truth["images"]) // MOST_TRAINING_IMAGES)
    images = truth["images"][::every]
    kept = {image["id"] for image in images}
    boxes = [box for box in truth["annotations"] if box["image_id"] in kept]
    file = Path(work_dir) / "initial_images.json"
    file.write_text(json.dumps({**truth, "images": images, "annotations": boxes}))
    logger.info("there is no val split: %d of the %d training images are scored before training", len(images),
                dataset.train.images)
    return Split(dataset.train.name, file, dataset.train.image_root, len(images), len(boxes))


def score(network: Any, config: Any, split: "Split", classes: tuple[str, ...]) -> "DetectionMetrics":
    """Score ``network`` and leave it, and torch's random numbers, as training expects them."""
    import torch

    from core.training.evaluate import evaluate_network

    # A data loader draws its base seed from torch's generator, even where nothing is shuffled.
    with torch.random.fork_rng():
        metrics = evaluate_network(network, config, split, classes).metrics
    network.train()
    return metrics


def require_good_start(initial: InitialScore, ratio: float, checkpoint: Path) -> None:
    """Stop where compression has cost too much accuracy before training even began.

    Raises:
        CandidateFailed: The mAP is below ``ratio`` times the parent's; names both.
    """
    if initial.parent_map is None or not initial.metrics.map < ratio * initial.parent_map:
        return
    raise CandidateFailed("initialised compression", f"mAP {initial.metrics.map:.4f} before training, "
                    f"{initial.parent_map:.4f} without compression",
                    f"At least {ratio:g} of it must be left ({RATIO_KEY}), here that is "
                    f"{ratio * initial.parent_map:.4f}.",
                    "Initialise on more samples (initializer.range.num_init_samples), ignore the layers that suffer "
                    f"(ignored_scopes), or lower {RATIO_KEY}. The initialised model is in {checkpoint}.")
