"""Fit a config to a data set, and take its NNCF part out."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.base.errors import UserError
from core.base.text import bounded_repr
from core.config.keys import NNCF_KEYS
from core.config.loading import pipelines
from core.config.plain_data import plain_data

if TYPE_CHECKING:
    from mmcv import Config

    from core.data.dataset import Dataset, Split

# What mmdet 2.28's CocoDataset takes; the location of the data itself is given by the data set.
_COCO_ARGUMENTS = ("type", "ann_file", "img_prefix", "classes", "pipeline", "test_mode", "filter_empty_gt",
                   "file_client_args")
_NEEDS_OTHER_DATA = ("proposal_file", "seg_prefix")
# Parts of a model whose num_classes does not count the data set's classes: pretraining, class-agnostic proposals,
# stuff segmentation.
_OTHER_CLASSES = ("backbone", "rpn_head", "semantic_head")


def set_classes(cfg: "Config", classes: Sequence[str]) -> None:
    """Set every ``num_classes`` in the model's heads to the number of ``classes``, in place."""
    _set_num_classes(cfg["model"], len(classes))


def _set_num_classes(node: Any, number: int) -> None:
    if isinstance(node, (list, tuple)):
        for item in node:
            _set_num_classes(item, number)
    elif isinstance(node, dict):
        if "num_classes" in node:
            node["num_classes"] = number
        for key, item in node.items():
            if key not in _OTHER_CLASSES:
                _set_num_classes(item, number)


def classes_of(cfg: "Config") -> tuple[str, ...]:
    """Return the class names that the config's training data declare, () where they declare none.

    Raises:
        UserError: ``classes`` is not a list of names.
    """
    declared = next((leaf["classes"] for leaf in _leaves(cfg["data"]["train"]) if leaf.get("classes")), ())
    names = (declared,) if isinstance(declared, str) else declared
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise UserError("config, data.train.classes", bounded_repr(declared, 80), "It is a list of class names.",
                        "Write the names, or leave the key out to take the data's classes.")
    return tuple(names)


def metrics_of(cfg: "Config") -> list[str]:
    """Return what a config's validation measures: its ``evaluation.metric``.

    Of data sets that are not COCO's that is ``bbox``, or Pascal VOC's ``mAP`` where it is asked for.
    """
    evaluation = cfg.get("evaluation")
    given = (evaluation.get("metric") if isinstance(evaluation, Mapping) else None) or "bbox"
    names = [given] if isinstance(given, str) else list(given)
    return names if _is_coco(cfg) or names == ["mAP"] else ["bbox"]


def _is_coco(cfg: "Config") -> bool:
    return "CocoDataset" in [leaf.get("type") for leaf in _leaves(cfg["data"].get("test"))]


def fit_to_data(config: "Config", dataset: "Dataset") -> None:
    """Give a config the classes and the splits of a data set, in place; errors as :func:`set_data`."""
    set_classes(config, dataset.classes)
    set_data(config, dataset)


def set_data(cfg: "Config", dataset: "Dataset") -> None:
    """Point data.train, data.val and data.test at the splits of ``dataset``, in place.

    Pipelines and wrappers (RepeatDataset, ClassBalancedDataset, MultiImageMixDataset) stay. Where the data are the
    config's own, each entry of data.train has its own annotations; else a concatenation becomes one data set, since
    both of its parts would be the same one. Another dataset type becomes CocoDataset and the
    evaluation metric ``bbox``; ``mAP``, Pascal VOC's, stays. Without a val split data.val is removed; where only the
    config has none, it gets the test pipeline.

    Raises:
        UserError: Parts of a concatenation have different pipelines, or a part needs proposals or segmentation maps;
            masks are to be learned or measured, and a box has none.
    """
    data, metrics, evaluation = cfg["data"], metrics_of(cfg), cfg.get("evaluation")
    if isinstance(evaluation, dict) and not _is_coco(cfg):
        evaluation["metric"] = metrics[0]
    if "segm" in metrics and dataset.val is not None and dataset.val.masks < dataset.val.boxes:
        raise UserError(f"data, split {dataset.val.name!r}", f"{dataset.val.masks} of {dataset.val.boxes} boxes have a "
                        "mask", "evaluation.metric of the config is of masks, so every box must have one.",
                        "Give COCO annotations with `segmentation`, or write evaluation.metric='bbox'.")
    if dataset.train.parts and sum(map(_count_of_files, _leaves(data["train"]))) == len(dataset.train.parts):
        data["train"] = _with_parts(data["train"], dataset.train, dataset.classes, "data.train",
                                    iter(dataset.train.parts))
    else:
        data["train"] = _pointed(data["train"], dataset.train, dataset.classes, "data.train")
    if dataset.val is None:
        data.pop("val", None)
    else:
        pattern = data["val"] if any(pipelines(data.get("val"))) else copy.deepcopy(data["test"])
        data["val"] = _pointed(pattern, dataset.val, dataset.classes, "data.val")
    data["test"] = _pointed(data["test"], dataset.test, dataset.classes, "data.test")


def _leaves(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, (list, tuple)):
        return [leaf for item in node for leaf in _leaves(item)]
    if not isinstance(node, dict):
        return []
    inner = [node[key] for key in ("dataset", "datasets") if key in node]
    return _leaves(inner) if inner else [node]


def _count_of_files(leaf: dict[str, Any]) -> int:
    files = leaf.get("ann_file")
    return len(files) if isinstance(files, (list, tuple)) else 1


def _with_parts(node: Any, split: "Split", classes: Sequence[str], where: str, files: Iterator[Path]) -> Any:
    """Return ``node`` with the next of ``files`` in each data set, depth first, as ``resolve_config_data`` counts."""
    if isinstance(node, (list, tuple)):
        return [_with_parts(item, split, classes, f"{where}[{index}]", files) for index, item in enumerate(node)]
    inner = [key for key in ("dataset", "datasets") if key in node]
    for key in inner:
        node[key] = _with_parts(node[key], split, classes, f"{where}.{key}", files)
    if inner:
        return node
    several = isinstance(node.get("ann_file"), (list, tuple))
    own = [str(next(files)) for _ in range(_count_of_files(node))]
    _pointed(node, split, classes, where)
    node["ann_file"] = own if several else own[0]
    return node


def _pointed(node: Any, split: "Split", classes: Sequence[str], where: str) -> dict[str, Any]:
    if not isinstance(node, (list, tuple, dict)):
        raise UserError(f"config, {where}", bounded_repr(node, 60), "A data set is a dict with a type.",
                        "Write one such as dict(type='CocoDataset', pipeline=train_pipeline).")
    if isinstance(node, (list, tuple)) or "datasets" in node:
        parts = node["datasets"] if isinstance(node, dict) else node
        found = [list(pipelines(part)) for part in parts]
        if not found or any(other != found[0] for other in found):
            raise UserError(f"config, {where}", f"a concatenation of {len(found)} data sets with different pipelines",
                            "One data set is given, so one pipeline must be meant.", "Keep one of the data sets.")
        return _pointed(parts[0], split, classes, where)
    if "dataset" in node:
        node["dataset"] = _pointed(node["dataset"], split, classes, f"{where}.dataset")
        return node
    for key in _NEEDS_OTHER_DATA:
        if node.get(key) is not None:
            raise UserError(f"config, {where}.{key}", node[key], "Only images and boxes come with a data set here.",
                            "Choose a detector that needs no precomputed proposals or segmentation maps.")
    for key in [key for key in node if key not in _COCO_ARGUMENTS]:
        node.pop(key)
    if split.masks < split.boxes and any(step.get("with_mask") for step in node.get("pipeline", ())):
        raise UserError(f"data, split {split.name!r}", f"{split.masks} of {split.boxes} boxes have a mask",
                        f"{where}.pipeline of the config loads masks, so every box must have one.",
                        "Give COCO annotations with `segmentation`, or a detector that learns from boxes.")
    if any(step.get("denorm_bbox") for step in node.get("pipeline", ())):
        if not str(node.get("type")).startswith("OpenImages"):
            raise UserError(f"config, {where}.pipeline", "LoadAnnotations, denorm_bbox=True",
                            "It multiplies boxes by the image's size, and those of a COCO data set are in pixels.",
                            "Remove denorm_bbox.")
        # OpenImages' boxes are fractions of the image, and those of the data set that is given are not.
        node["pipeline"] = [{key: value for key, value in step.items() if key != "denorm_bbox"}
                            for step in node["pipeline"]]
    # mmdet joins file names to the prefix as a path, but some pipelines concatenate text.
    folder = str(split.image_root).rstrip("/") + "/"
    node.update(type="CocoDataset", ann_file=str(split.annotation_file), img_prefix=folder, classes=tuple(classes))
    return node


def plain_config(cfg: "Config") -> "Config":
    """Return a copy of ``cfg`` without ``nncf_config`` and the keys that go with it."""
    plain = copy.deepcopy(cfg)
    for key in NNCF_KEYS:
        plain.pop(key, None)
    return plain


def nncf_config_of(cfg: "Config") -> dict[str, Any] | None:
    """Return ``nncf_config`` as a plain dict, None where it is absent or empty; raise UserError where it is no dict."""
    value = cfg.get("nncf_config")
    if value is None or value == {}:
        return None
    if not isinstance(value, dict):
        raise UserError("config, nncf_config", bounded_repr(value, 80), "It is passed to NNCF unchanged, as a dict.",
                        "Write a dict, or leave the key out for no compression.")
    return plain_data(value, "config, nncf_config")


def algorithms_of(config: Any) -> tuple[str, ...]:
    """Return the names of the NNCF algorithms of a config, in order."""
    nncf_config = config.get("nncf_config") or {}
    compression = nncf_config.get("compression") or []
    return tuple(item["algorithm"] for item in (compression if isinstance(compression, list) else [compression]))
