"""Score a PyTorch detector, plain or compressed, on a split."""

import copy
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from core.base.errors import CandidateFailed
from core.base.progress import progress
from core.checkpoint.versions import versions
from core.config.adapt import algorithms_of, set_data
from core.config.fingerprint import file_digest, json_digest
from core.evaluation.coco_map import score_detections
from core.evaluation.detections import Detections
from core.evaluation.store import write_detections
from core.results.accuracy import DetectionMetrics
from core.results.evaluation import CheckpointFacts, Evaluation
from core.training.device import data_parallel, device
from core.training.distributed import first_rank, from_first_rank, gathered
from core.training.model import restore_detector
from core.training.samples import evaluation_loader

if TYPE_CHECKING:
    from core.data.dataset import Dataset, Split

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScoredNetwork:
    """Metrics of a network on a split, its detections by image id, and the seconds it took."""

    metrics: DetectionMetrics
    detections: dict[int, Detections]
    seconds: float


def evaluate_network(network: Any, config: Any, split: "Split", classes: tuple[str, ...]) -> ScoredNetwork:
    """Run ``network`` over ``split`` through the config's test pipeline and score it with COCO mAP.

    Ranks share the images; every one gets the whole result.

    Raises:
        CandidateFailed: It finds boxes that are NaN.
    """
    started = time.time()
    loader = split_loader(config, split, classes)
    detections = {image: to_detections(per_class)
                  for image, per_class in zip(loader.dataset.img_ids, results_of(network, loader))}
    broken = [image for image, found in detections.items()
              if np.isnan(found.boxes).any() or np.isnan(found.scores).any()]
    if broken:
        raise CandidateFailed("model", f"boxes or scores that are NaN in {len(broken)} of {len(detections)} images of "
                              f"split {split.name}", "Every box must be of numbers.", "Training diverged, or a layer "
                              "overflows in 8 bits: lower optimizer.lr, or name the layer in ignored_scopes.")
    metrics = score_detections(split.annotation_file, detections, classes).metrics if first_rank() else None
    return ScoredNetwork(from_first_rank(metrics), detections, time.time() - started)


def results_of(network: Any, loader: Any) -> list[Any]:
    """Return MMDetection's result of each image of a loader's data set, in its order, in every rank.

    Ranks share the images.
    """
    from mmdet.core import encode_mask_results

    indices = iter(loader.sampler)
    model = data_parallel(network).eval()
    found: dict[int, Any] = {}
    bar = progress(len(loader.sampler), "evaluating", "images")
    for batch in loader:
        with torch.no_grad():
            results = model(return_loss=False, rescale=True, **batch)
        # Samplers even the ranks' shares out: a last image may come twice.
        for result, index in zip(results, indices):
            # MMDetection's data sets want masks run-length encoded.
            found[index] = (result[0], encode_mask_results(result[1])) if isinstance(result, tuple) else result
        bar.update(len(results))
    bar.close()
    everything = gathered(found)
    return [everything[index] for index in range(len(loader.dataset))]


def evaluate_checkpoint(checkpoint: Path, dataset: "Dataset", output: Path, detections: Path) -> DetectionMetrics:
    """Score a checkpoint on the test split; write evaluation.json to ``output`` and what it found to ``detections``."""
    restored = restore_detector(checkpoint, dataset.classes)
    set_data(restored.config, dataset)
    scored = evaluate_network(restored.network.to(device()), restored.config, dataset.test, dataset.classes)
    compression = restored.checkpoint.compression
    measured = CheckpointFacts(
        checkpoint_sha256=file_digest(checkpoint),
        algorithms=tuple(algorithms_of(restored.config)) if compression else (),
        nncf_config_sha256=json_digest(compression.config) if compression else "")
    if first_rank():
        write_detections(detections, scored.detections)
        Evaluation(version=1, kind="pytorch", metrics=scored.metrics, seconds=scored.seconds, corrupt_images=(),
                   warnings=tuple(dataset.warnings), data_digest=dataset.digest, versions=versions(), model=measured
                   ).write(output)
    return scored.metrics


def split_loader(config: Any, split: "Split", classes: tuple[str, ...]) -> Any:
    """Return MMDetection's loader of ``split`` through the config's test pipeline and ``data.test_dataloader``."""
    read_as = copy.deepcopy(config)
    read_as.data.test.update(type="CocoDataset", ann_file=str(split.annotation_file),
                             img_prefix=str(split.image_root), classes=list(classes))
    return evaluation_loader(read_as, "test", split)


def to_detections(per_class: Any) -> Detections:
    """Turn MMDetection's result for an image into Detections.

    Args:
        per_class: A list over classes of [N, 5] arrays (x1, y1, x2, y2, score); with masks a tuple of that and them.
    """
    if isinstance(per_class, tuple):
        per_class = per_class[0]
    boxes = np.concatenate([np.asarray(rows, dtype=np.float32).reshape(-1, 5) for rows in per_class])
    labels = np.concatenate([np.full(len(rows), label, dtype=np.int64) for label, rows in enumerate(per_class)])
    return Detections(boxes=boxes[:, :4], scores=boxes[:, 4], labels=labels)
