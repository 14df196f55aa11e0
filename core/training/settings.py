"""What a config says of training, each key where MMDetection 2.28 reads it."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from core.base.errors import UserError
from core.base.suggest import did_you_mean
from core.base.text import bounded_repr
from core.config.adapt import metrics_of
from core.config.decisions import METRIC_ITEMS

EPOCHS, ITERATIONS = "EpochBasedRunner", "IterBasedRunner"
# mmcv 1.7's names; Runner is its deprecated one.
_LENGTH_KEYS = {EPOCHS: "max_epochs", "Runner": "max_epochs", ITERATIONS: "max_iters"}
# What MMDetection gives its loaders where the config does not (mmdet/apis/train.py, train_detector).
_LOADER_DEFAULTS = {"samples_per_gpu": 2, "workers_per_gpu": 2, "persistent_workers": False}
_FOR_WORKERS = ("persistent_workers", "prefetch_factor")
_LOGGED_EVERY = 50
# Items that pycocotools takes at one threshold, and gives as -1 where that is not among iou_thrs.
_AT_THRESHOLD = {"mAP_50": 0.5, "mAP_75": 0.75}
# Parts of MMDetection's models that make masks.
_MASK_HEADS = ("mask_head", "segm_head", "panoptic_head")


class When(StrEnum):
    """When a compressed model is trained after its initialisation."""

    ALWAYS = "always"
    """For as long as its config says."""
    WHEN_NEEDED = "when_needed"
    """Not where its initialisation is within the limit on the validation split, and for as long as it gains."""
    NEVER = "never"
    """What initialisation gives is the result."""


def check_minutes(minutes: float) -> None:
    """Raise UserError where the minutes between two training states are not a positive number."""
    if not 0 < minutes < float("inf"):
        raise UserError("parameter checkpoint_minutes", minutes, "It must be a number above 0.",
                        "Give minutes, such as 10.")


@dataclass(frozen=True)
class Length:
    """How long a training is.

    Attributes:
        by_epoch: Whether it is counted in epochs.
        number: Epochs, or iterations.
    """

    by_epoch: bool
    number: int


def training_length(config: Any) -> Length:
    """Return how long a config trains: its ``runner``, else ``total_epochs`` as in MMDetection's older configs.

    Raises:
        UserError: Neither says it, both say it and differ, or the runner is not one of mmcv's.
    """
    total, runner = config.get("total_epochs"), config.get("runner")
    if runner is None:
        if total is None:
            raise UserError("config", "neither runner nor total_epochs", "One of them says how long training is.",
                            "Write runner = dict(type='EpochBasedRunner', max_epochs=12).")
        return Length(True, _count(total, "total_epochs"))
    kind = runner.get("type") if isinstance(runner, dict) else None
    if kind not in _LENGTH_KEYS:
        raise UserError("config, runner.type", kind, f"It is one of {', '.join(_LENGTH_KEYS)}.",
                        "Write runner = dict(type='EpochBasedRunner', max_epochs=...).")
    key = _LENGTH_KEYS[kind]
    unknown = sorted(runner.keys() - {"type", key})
    if unknown or key not in runner:
        raise UserError("config, runner", ", ".join(unknown) or f"no {key}", f"A {kind} takes {key} alone.",
                        f"Write runner = dict(type='{kind}', {key}=...); replace an inherited one with _delete_=True.")
    length = Length(kind != ITERATIONS, _count(runner[key], f"runner.{key}"))
    if total is not None and (not length.by_epoch or total != length.number):
        raise UserError("config, total_epochs", total, f"runner says {key}={length.number}, and both must be equal.",
                        "Remove total_epochs.")
    return length


def loader_settings(config: Any, name: str = "train_dataloader", **defaults: Any) -> dict[str, Any]:
    """Return the arguments of a loader: those of ``data``, or of ``data.train_dataloader`` and its like.

    Args:
        name: The loader's key in ``data``.
        defaults: What holds where the config says nothing, in addition to MMDetection's own defaults.

    Raises:
        UserError: A key stands in both places (mmdet/utils/compat_config.py asserts the same), or is for workers where
            there are none (torch refuses the same).
    """
    data, own = config["data"], dict(config["data"].get(name) or {})
    shared = {key: data[key] for key in ("samples_per_gpu", "workers_per_gpu", "persistent_workers") if key in data}
    if "imgs_per_gpu" in data:
        shared["samples_per_gpu"] = data["imgs_per_gpu"]
    if name != "train_dataloader":
        shared = {key: value for key, value in shared.items() if key == "workers_per_gpu"}
    twice = sorted((shared.keys() & own.keys()) - {"workers_per_gpu"})
    if twice:
        raise UserError(f"config, data.{name}.{twice[0]}", own[twice[0]], f"data.{twice[0]} says it, too.",
                        f"Keep data.{name}.{twice[0]} alone.")
    settings = {**_LOADER_DEFAULTS, **defaults, **own, **shared}
    for key in _FOR_WORKERS if settings["workers_per_gpu"] == 0 else ():
        if settings.get(key):
            raise UserError(f"config, {key} of {name}", settings[key], "It is for worker processes, and "
                            "workers_per_gpu is 0.", f"Write data.workers_per_gpu=1, or take {key} out.")
    return settings


def log_settings(config: Any) -> dict[str, Any]:
    """Return ``log_config`` with the text log among its hooks: reports are made from it."""
    given = copy.deepcopy(dict(config.get("log_config") or {}))
    hooks = [dict(hook) for hook in given.get("hooks") or ()]
    if not any(hook.get("type") == "TextLoggerHook" for hook in hooks):
        hooks.insert(0, {"type": "TextLoggerHook"})
    return {"interval": given.get("interval", _LOGGED_EVERY), "hooks": hooks}


def evaluation_settings(config: Any) -> dict[str, Any]:
    """Return the config's ``evaluation`` as MMDetection's hook and data sets take it; its values are known to be sound.

    Raises:
        UserError: Keys do not go together, or not with the model: the hook, and the data set after an epoch, would
            raise other errors or none.
    """
    # None stands for the default in MMDetection's signatures, but of these three it is a value.
    given = {key: value for key, value in (config.get("evaluation") or {}).items()
             if value is not None or key in ("start", "save_best", "rule")}
    metrics = metrics_of(config)
    _require_measurable(metrics, given, config["model"])
    found = {**given, "metric": metrics if len(metrics) > 1 else metrics[0]}
    for key in {"greater_keys", "less_keys", "metric_items"} & given.keys():
        found[key] = [given[key]] if isinstance(given[key], str) else list(given[key])
    if "dynamic_intervals" in given:
        found["dynamic_intervals"] = [tuple(pair) for pair in given["dynamic_intervals"]]
    if "iou_thr" in given:
        thresholds = given["iou_thr"] if isinstance(given["iou_thr"], (list, tuple)) else [given["iou_thr"]]
        found["iou_thr"] = [float(threshold) for threshold in thresholds]
    _require_best(found, "auto" if config.get("nncf_config") else None)
    if "iou_thrs" in given:
        # pycocotools looks thresholds up in an array; of a list it finds none, and mAP at 0.5 is -1.
        found["iou_thrs"] = np.array(given["iou_thrs"], dtype=float)
    return found


def _require_measurable(metrics: list[str], given: dict[str, Any], model: Any) -> None:
    voc = metrics == ["mAP"]
    for key in sorted({"classwise", "iou_thrs", "metric_items", "jsonfile_prefix"} & given.keys() if voc
                      else {"iou_thr"} & given.keys()):
        raise UserError(f"config, evaluation.{key}", bounded_repr(given[key], 80), "MMDetection does not take it for "
                        f"the metric {', '.join(metrics)}.", f"Remove it{'' if voc else ', or write iou_thrs'}.")
    proposals = model.get("type") == "RPN"
    parts = [part for part in (model, model.get("roi_head")) if isinstance(part, dict)]
    masks = any(part.get(name) is not None for part in parts for name in _MASK_HEADS)
    for metric in metrics:
        if metric == "proposal_fast" and not proposals:
            raise UserError("config, evaluation.metric", metric, "It is of proposals, and a detector finds boxes of "
                            "classes.", "Write proposal.")
        if metric == "segm" and not masks:
            raise UserError("config, evaluation.metric", metric, "It is of masks, and this detector finds boxes alone.",
                            "Write bbox.")


def _require_best(settings: dict[str, Any], default: str | None) -> None:
    """Check that ``save_best`` names what the validation gives, which is something, and whether more is better."""
    best, names = settings.get("save_best", default), metric_names(settings)
    if not names:
        raise UserError("config, evaluation.metric_items", bounded_repr(settings["metric_items"], 80),
                        f"None of them is measured at iou_thrs={bounded_repr(settings['iou_thrs'], 80)}.",
                        "Write mAP among them, or their thresholds in iou_thrs.")
    if best is None:
        return
    if best not in ("auto", *names):
        raise UserError("config, evaluation.save_best", best, f"The validation gives {', '.join(names)}.",
                        did_you_mean(best, names, "Name one of these, or 'auto'."))
    given = [*settings.get("greater_keys", []), *settings.get("less_keys", [])]
    name = names[0] if best == "auto" else best
    # mmcv/runner/hooks/evaluation.py, _init_rule
    if settings.get("rule") is None and "greater_keys" in settings and not any(
            key.lower() in name.lower() for key in given):
        raise UserError("config, evaluation.greater_keys", bounded_repr(settings["greater_keys"], 80),
                        f"None of them is a part of {name}, which decides on the best checkpoint.",
                        "Remove them: more is better of every metric; or write rule='greater'.")


def metric_names(settings: Mapping[str, Any]) -> list[str]:
    """Return the names of what MMDetection's data sets measure for ``evaluation``, in their order."""
    metric, items, found = settings["metric"], settings.get("metric_items"), []
    thresholds = settings.get("iou_thrs", tuple(_AT_THRESHOLD.values()))
    items = [items] if isinstance(items, str) else items
    if metric == "mAP":
        return [*(f"AP{int(threshold * 100):02d}" for threshold in settings.get("iou_thr", [0.5])), "mAP"]
    for one in [metric] if isinstance(metric, str) else metric:
        if one == "proposal_fast":
            found += [f"AR@{number}" for number in settings.get("proposal_nums", (100, 300, 1000))]
            continue
        # Those of the first metric count for the others, too (mmdet/datasets/coco.py, evaluate_det_segm).
        items = items or [item for item in METRIC_ITEMS if item.startswith("AR") == (one == "proposal")]
        found += [item if one == "proposal" else f"{one}_{item}" for item in items
                  if item not in _AT_THRESHOLD or _AT_THRESHOLD[item] in thresholds]
    return found


def workflow_of(config: Any) -> list[tuple[str, int]]:
    """Return ``workflow`` as mmcv's runners want it: pairs of a mode and how many epochs or iterations it lasts.

    Raises:
        UserError: It is not a list of such pairs, none of them trains, or one needs data that are not there.
    """
    given = config.get("workflow", [("train", 1)])
    pairs = [tuple(item) if isinstance(item, (list, tuple)) else item for item in given]
    sound = all(isinstance(item, tuple) and len(item) == 2 and item[0] in ("train", "val") and type(item[1]) is int
                and item[1] > 0 for item in pairs)
    modes = [item[0] for item in pairs] if sound else []
    if modes not in (["train"], ["train", "val"], ["val", "train"]):
        raise UserError("config, workflow", bounded_repr(given, 80), "It is [('train', n)], or that and ('val', n).",
                        "Write workflow = [('train', 1)].")
    if "val" in modes and not config["data"].get("val"):
        raise UserError("config, workflow", "('val', n)", "It needs data.val, and the data set has no val split.",
                        "Give one, or write workflow = [('train', 1)].")
    return pairs


def _count(value: Any, key: str) -> int:
    if type(value) is not int or value < 1:
        raise UserError(f"config, {key}", bounded_repr(value, 40), "It is a whole number above 0.", "Write such as 12.")
    return value
