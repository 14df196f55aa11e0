"""The detectors' configs made small for trials on random weights."""

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

from core.dry_run.dry_run import REPOSITORY

CONFIGS = REPOSITORY / "configs" / "nncf_compression"
DATA_SETS = ("bccd_", "digits_")
"""How configs for one data set begin."""
# Pascal VOC's; the configs' own num_classes is COCO's 80.
CLASSES = ("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
           "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor")
BATCH = 2
PRUNED_SHARE = 0.4
# Proposals of a two-stage detector in a trial; a thousand of them say no more.
PROPOSALS = 50


def detectors() -> tuple[str, ...]:
    """Return the folders of ``configs/nncf_compression``, one a detector."""
    return tuple(sorted(folder.name for folder in CONFIGS.iterdir() if folder.is_dir()))


def algorithms() -> tuple[str, ...]:
    """Return the names of the configs in these folders that are for no one data set, the most common first."""
    found = Counter(path.stem for path in CONFIGS.glob("*/*.py") if not path.stem.startswith(DATA_SETS))
    return tuple(sorted(found, key=lambda name: (-found[name], name.count("_"), name)))


def config_path(detector: str, algorithm: str) -> Path:
    """Return the file of a detector's config for an algorithm, which not every detector has."""
    return CONFIGS / detector / f"{algorithm}.py"


def trial_config(detector: str, algorithm: str) -> Any:
    """Return the mmcv Config of a detector and an algorithm, made small: input, initialisation, proposals.

    Pruning starts at its final level, which the schedule would reach in later epochs. The number of quantization points
    does not depend on the size.

    Raises:
        UserError: There is no such config.
    """
    from mmdet.models.builder import HEADS

    from core.config.adapt import set_classes
    from core.config.loading import load_config
    from core.detectors.registry import family_of_head

    config = load_config(config_path(detector, algorithm))
    set_classes(config, CLASSES)
    head = config.model.get("roi_head") or config.model.bbox_head
    resize_input(config, *family_of_head(HEADS.get(head.type)).trial_size(config.model))
    shorten_compression(config, BATCH)
    _lower_thresholds(config.model)
    return config


def resize_input(config: Any, height: int, width: int) -> None:
    """Give a config's network an input of this size, in training, testing and compression."""
    config.nncf_config["input_info"]["sample_size"] = [1, 3, height, width]
    config.data.update(samples_per_gpu=BATCH, workers_per_gpu=0)
    for step in itertools.chain(config.data.train.pipeline, config.data.test.pipeline,
                                config.data.test.pipeline[-1].transforms):
        if "img_scale" in step:
            step.update(img_scale=(width, height))
            step.pop("multiscale_mode", None)
        if step["type"] == "Pad":
            step.update(size=(height, width))
            step.pop("size_divisor", None)
    if config.model.type == "YOLOX":
        config.model.update(input_size=(height, width), random_size_range=(height // 32, height // 32))


def shorten_compression(config: Any, samples: int) -> None:
    """Let compression be initialised on ``samples`` images, and pruning start at its final level."""
    compression = config.nncf_config["compression"]
    for part in compression if isinstance(compression, list) else [compression]:
        for initializer in part.get("initializer", {}).values():
            initializer.update({key: samples for key in initializer})
        if part["algorithm"] == "filter_pruning":
            part["pruning_init"] = part["params"]["pruning_target"] = PRUNED_SHARE


def _lower_thresholds(model: Any) -> None:
    """Let random weights find something, and a two-stage detector not much."""
    test = model.test_cfg
    if "rcnn" in test:
        test.rcnn.score_thr = 0.0
        for proposals in (test.rpn, model.train_cfg.rpn_proposal):
            proposals.update(nms_pre=4 * PROPOSALS, max_per_img=PROPOSALS)
        model.train_cfg.rcnn.sampler.num = PROPOSALS
        return
    # Their scores are products of two, of which one begins at a hundredth or less.
    test.score_thr = 1e-5 if model.type in ("YOLOX", "YOLOV3") else 1e-3
    if "conf_thr" in test:
        test.conf_thr = 1e-4
