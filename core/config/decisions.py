"""What becomes of each key of an MMDetection config: the table that decides, and that docs/config_keys.md is made from.

Below a key that the table takes apart (``evaluation``, ``data.train``, ...) every key must be in it; what stands below
``model`` is for MMDetection's own builder, and other names at the top of a config are variables of the file.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from core.base.errors import UserError
from core.base.suggest import did_you_mean
from core.base.text import bounded_repr


class Decision(StrEnum):
    """What becomes of a key."""

    OBEYED = "obeyed"
    REFUSED = "refused"
    """The run stops before training."""
    NO_EFFECT = "no effect here"
    """Something else decides; the key may stay."""


@dataclass(frozen=True)
class Situation:
    """What a key's decision may depend on beside its value.

    Attributes:
        gpus: GPUs to train on, None where that is not known.
    """

    gpus: int | None = None
    compressed: bool = False


Check = Callable[[Any, Situation], str]
"""Returns why a value is refused, an empty text where it is not."""


@dataclass(frozen=True)
class Key:
    """A key and what becomes of it.

    Attributes:
        path: The key with those above it, between dots.
        why: What it does, or why it does nothing or is refused.
        check: Refuses some values of an obeyed key; ``why`` says which.
    """

    path: str
    decision: Decision
    why: str
    check: Check | None = None


METRICS = ("bbox", "segm", "proposal", "proposal_fast", "mAP")
# What MMDetection's COCO data sets give of a metric (mmdet/datasets/coco.py, evaluate_det_segm).
METRIC_ITEMS = ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m", "mAP_l", "AR@100", "AR@300", "AR@1000", "AR_s@1000",
                "AR_m@1000", "AR_l@1000")
_MOST_THREADS = 1 << 16
_ONE_SET = "Validation and test are measured as one data set each."
_O, _R, _N = Decision.OBEYED, Decision.REFUSED, Decision.NO_EFFECT


def _metric(value: Any, situation: Situation) -> str:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or not names or not all(name in METRICS for name in names):
        return f"It is one of {', '.join(METRICS)}, or a list of them."
    return "mAP, Pascal VOC's, stands alone." if "mAP" in names and len(names) > 1 else ""


def _fp16(value: Any, situation: Situation) -> str:
    if value is None:
        return ""
    if situation.compressed:
        return "NNCF 2.0.0's quantizers and masks are trained in single precision."
    return "Half precision is trained on a GPU; this run has none." if situation.gpus == 0 else ""


def _must(accepts: Callable[[Any], bool], rule: str) -> Check:
    """Return a check that refuses what is neither None nor accepted."""
    return lambda value, situation: "" if value is None or accepts(value) else rule


def _one_of(*names: str) -> Check:
    return _must(lambda value: isinstance(value, str) and value in names, f"It is one of {', '.join(names)}.")


def _whole(value: Any, least: int) -> bool:
    return type(value) is int and value >= least


def _fraction(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 1


def _list_of(accepts: Callable[[Any], bool], rule: str, or_one: bool = False) -> Check:
    """Return a check that refuses what is no list of accepted items, or with ``or_one`` one of them."""
    return _must(lambda value: bool(value) and all(map(accepts, value)) if isinstance(value, (list, tuple))
                 else or_one and accepts(value), rule)


def _changes(value: Any) -> bool:
    """Return whether a value is a list of places, rising, and of the intervals from there on."""
    pairs = isinstance(value, (list, tuple)) and all(
        isinstance(pair, (list, tuple)) and len(pair) == 2 and _whole(pair[0], 0) and _whole(pair[1], 1)
        for pair in value)
    return pairs and all(before[0] < after[0] for before, after in zip(value, value[1:]))


def is_file_name(template: Any) -> bool:
    """Return whether a hook's ``filename_tmpl`` names files of its own folder, with a number and nothing else in it."""
    return isinstance(template, str) and template.count("{}") == 1 and not set("{}/\\\0") & set(
        template.replace("{}", ""))


_only_disk = _must(lambda value: value == {"backend": "disk"}, "Checkpoints are written to a folder.")


def _below(place: str, decision: Decision, why: str, *names: str) -> tuple[Key, ...]:
    """Return the keys of these names below a place, all with the same decision."""
    return tuple(Key(f"{place}.{name}", decision, why) for name in names)


def _loader(name: str, which: str) -> tuple[Key, ...]:
    where = f"data.{name}"
    return (Key(where, _O, f"Arguments of the {which} loader, over those of `data`."),
            *_below(where, _O, "As in MMDetection.", "samples_per_gpu", "workers_per_gpu", "persistent_workers",
                    "pin_memory", "prefetch_factor", "timeout",
                    *(("shuffle", "drop_last", "class_aware_sampler") if name == "train_dataloader" else ())))


def _split(name: str) -> tuple[Key, ...]:
    where = f"data.{name}"
    replaced = "Where the run is given a data set, that one is read in its place; else as in MMDetection."
    own_format = "Belongs to the format of the config's own data; a given data set is read as COCO annotations."
    return (
        Key(where, _O, "The data set: its pipeline and wrappers, and its files where the run is given no other."),
        *_below(where, _O, replaced, "type", "ann_file", "img_prefix", "data_root", "classes"),
        *_below(where, _O, "As in MMDetection.", "pipeline", "test_mode", "filter_empty_gt", "file_client_args",
                "dataset", "datasets", "times", "oversample_thr", "skip_type_keys", "max_refetch"),
        *((Key(f"{where}.samples_per_gpu", _O, "Images a batch."),) if name != "train" else ()),
        *_below(where, _N, own_format, *(("separate_eval",) if name == "train" else ()), "img_subdir", "ann_subdir",
                "ins_ann_file", "label_file", "hierarchy_file", "meta_file", "image_level_ann_file",
                "get_supercategory", "load_from_file", "get_metas", "palette", "filter_empty"),
        *(() if name == "train" else (Key(f"{where}.separate_eval", _O, "False: several data sets are measured as one; "
                                          "True, a figure for each, is refused.",
                                          _must(lambda value: not value, _ONE_SET)),)),
        Key(f"{where}.min_size", _R, "Small boxes of XML files are trained on like others."),
        *_below(where, _R, "Only images, boxes and masks come with a data set here.", "proposal_file", "seg_prefix",
                "seg_suffix"),
        Key(f"{where}.dynamic_scale", _R, "MMDetection itself has given it up."))


KEYS: tuple[Key, ...] = (
    Key("model", _O, "The detector; built by MMDetection from its registries."),
    Key("train_cfg", _O, "Passed to MMDetection's builder beside `model`, as by older configs."),
    Key("test_cfg", _O, "Passed to MMDetection's builder beside `model`, as by older configs."),
    Key("data", _O, "The loaders and data sets."),
    Key("data.samples_per_gpu", _O, "Images a batch, on each GPU."),
    Key("data.imgs_per_gpu", _O, "Its older name, which counts where both are given."),
    Key("data.workers_per_gpu", _O, "Processes that load images."),
    Key("data.persistent_workers", _O, "Whether they live on between epochs."),
    *_split("train"), *_split("val"), *_split("test"),
    *_loader("train_dataloader", "training"), *_loader("val_dataloader", "validation"),
    *_loader("test_dataloader", "test"),
    Key("optimizer", _O, "The optimizer, `paramwise_cfg` and `constructor` included; its type must be registered."),
    Key("optimizer_config", _O, "Gradient clipping and accumulation; its type must be a registered hook."),
    Key("lr_config", _O, "The learning rate's schedule; its policy must be registered."),
    Key("momentum_config", _O, "The momentum's schedule; its policy must be registered."),
    Key("runner", _O, "How long training is. IterBasedRunner is refused with an nncf_config: NNCF counts epochs.",
        lambda value, situation: "NNCF's schedules count epochs, so a compressed model is trained by EpochBasedRunner."
        if situation.compressed and isinstance(value, Mapping) and value.get("type") == "IterBasedRunner" else ""),
    Key("runner.type", _O, "EpochBasedRunner or IterBasedRunner."),
    Key("runner.max_epochs", _O, "Epochs in all."),
    Key("runner.max_iters", _O, "Iterations in all."),
    Key("total_epochs", _O, "Epochs in all where there is no `runner`; must equal its where there is."),
    Key("workflow", _O, "`[('train', 1)]`, or with `('val', n)` the losses on the validation data, too."),
    Key("checkpoint_config", _O, "What `tools/train.py` keeps in work_dir. A stage of the pipeline keeps one result "
        "and the training state (`training_state`)."),
    *_below("checkpoint_config", _O, "As in mmcv.", "type", "interval", "by_epoch", "save_optimizer", "out_dir",
            "max_keep_ckpts", "save_last", "sync_buffer", "create_symlink"),
    Key("checkpoint_config.filename_tmpl", _O, "As in mmcv; a name without folders.",
        _must(is_file_name, "It is a file's name with {} in it, without folders.")),
    Key("checkpoint_config.meta", _N, "A checkpoint always says its classes, config and versions."),
    Key("checkpoint_config.file_client_args", _O, "Disk alone: checkpoints are written to a folder.", _only_disk),
    Key("log_config", _O, "The logs; a text log is always among them."),
    Key("log_config.interval", _O, "Iterations between two lines."),
    Key("log_config.hooks", _O, "mmcv's logger hooks; one whose package is not installed is refused."),
    Key("log_level", _O, "The level of the runner's log.",
        _one_of("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG")),
    Key("custom_hooks", _O, "Every hook of mmcv's and MMDetection's registries, at its priority. EMA's averages are "
        "what is evaluated, compressed and exported."),
    Key("evaluation", _O, "The validation during training; the last epoch is always scored, too."),
    Key("evaluation.interval", _O, "As in MMDetection.",
        _must(lambda value: _whole(value, 1), "It is a whole number above 0.")),
    Key("evaluation.start", _O, "As in MMDetection; the last epoch is scored though it is before the start.",
        _must(lambda value: _whole(value, 0), "It is a whole number of at least 0.")),
    Key("evaluation.dynamic_intervals", _O, "As in MMDetection.",
        _must(_changes, "It is a list of pairs, a place in training and the interval from there on; places rise.")),
    Key("evaluation.rule", _O, "As in MMDetection.", _one_of("greater", "less")),
    *(Key(f"evaluation.{name}", _O, "As in MMDetection.", _list_of(
        lambda value: isinstance(value, str), "It is a list of names.", or_one=True))
      for name in ("greater_keys", "less_keys")),
    Key("evaluation.classwise", _O, "As in MMDetection; not of metric mAP.",
        _must(lambda value: isinstance(value, bool), "It is True or False.")),
    Key("evaluation.proposal_nums", _O, "Three numbers, 100 among them, where pycocotools takes mAP.",
        _must(lambda value: isinstance(value, (list, tuple)) and len(value) == 3 and all(
            _whole(number, 1) for number in value) and len(set(value)) == 3 and 100 in value,
            "It is three different whole numbers, 100 among them: pycocotools takes mAP there.")),
    Key("evaluation.iou_thr", _O, "As in MMDetection, of metric mAP.",
        _list_of(_fraction, "It is a number above 0 and at most 1, or a list of them.", or_one=True)),
    Key("evaluation.iou_thrs", _O, "As in MMDetection, of other metrics.",
        _list_of(_fraction, "It is a list of numbers above 0 and at most 1.")),
    Key("evaluation.metric_items", _O, f"{', '.join(METRIC_ITEMS)}; not of metric mAP.",
        _list_of(lambda value: value in METRIC_ITEMS, f"It is a list of {', '.join(METRIC_ITEMS)}.", or_one=True)),
    Key("evaluation.scale_ranges", _R, "MMDetection itself fails with it: it rounds a list."),
    *_below("evaluation", _O, "Of `tools/train.py`, in its work folder; a stage of the pipeline writes no such files.",
            "out_dir", "jsonfile_prefix"),
    Key("evaluation.save_best", _O, "The best checkpoint is kept in work_dir; a stage of the pipeline hands it on. A "
        "compressed model can be best only once its schedule has reached its end. Where the key is absent, train and "
        "`tools/train.py` take the last epoch, as MMDetection, and compress the best on val; `None` is the last there, "
        "too. It is auto or a name that the metric gives.",
        _must(lambda value: isinstance(value, str) and bool(value), "It is the name of a metric, or auto.")),
    Key("evaluation.metric", _O, f"{', '.join(METRICS)}; another one is refused, and so is segm of a detector without "
        "masks.", _metric),
    Key("evaluation.by_epoch", _N, "The runner decides, as in MMDetection."),
    *_below("evaluation", _N, "Ranks hand their results over in memory.", "tmpdir", "gpu_collect",
            "broadcast_bn_buffer"),
    Key("evaluation.file_client_args", _O, "Disk alone: checkpoints are written to a folder.", _only_disk),
    Key("fp16", _O, "Training in half precision, on a GPU; refused on a CPU, and with an nncf_config.", _fp16),
    *_below("fp16", _O, "As in mmcv.", "loss_scale", "coalesce", "bucket_size_mb"),
    Key("load_from", _O, "Fine-tuning: all weights are initialised, then those that fit are loaded. With an "
        "nncf_config a plain checkpoint must fit whole, and a compressed one is restored."),
    Key("resume_from", _O, "Weights, optimizer and epoch are restored; with an nncf_config from a compressed "
        "checkpoint."),
    Key("pretrained_weights", _O, "Where published weights lie (`torchvision://`, URLs); the run's `weights`."),
    Key("auto_resume", _O, "`tools/train.py` resumes from work_dir/latest.pth. The pipeline's stages resume by "
        "`training_state`."),
    Key("auto_scale_lr", _O, "MMDetection's linear rule for the batch of all GPUs."),
    Key("auto_scale_lr.enable", _O, "Whether the learning rate is scaled."),
    Key("auto_scale_lr.base_batch_size", _O, "The batch the config's learning rate is for."),
    Key("work_dir", _O, "Where `tools/train.py` writes; the pipeline's stages write where they are told."),
    Key("seed", _O, "`tools/train.py` without `--seed`; the pipeline has a parameter of that name."),
    Key("deterministic", _O, "Whether cuDNN's algorithms are deterministic."),
    Key("cudnn_benchmark", _O, "Whether cuDNN chooses the fastest algorithms."),
    Key("find_unused_parameters", _O, "For several GPUs, as in MMDetection."),
    Key("opencv_num_threads", _O, "As in MMDetection.",
        _must(lambda value: isinstance(value, int) and abs(value) < _MOST_THREADS,
              f"It is a whole number below {_MOST_THREADS}.")),
    Key("mp_start_method", _O, "As in MMDetection.", _one_of("fork", "spawn", "forkserver")),
    Key("custom_imports", _O, "Where the config is trusted (`trust_config`); else refused."),
    Key("dist_params", _N, "NCCL on GPUs, gloo on CPUs."),
    Key("gpu_ids", _N, "The number of GPUs is a parameter (`gpus`)."),
    Key("device", _N, "The number of GPUs is a parameter (`gpus`)."),
    Key("model_wrapper", _R, "MMDetection 2.28 does not read it."),
    Key("nncf_config", _O, "Passed to NNCF unchanged."),
    Key("nncf_compress_postprocessing", _O, "Whether NNCF's graph includes post-processing."),
    Key("nncf_strict", _O, "Whether the run stops where it cannot."),
    Key("min_initial_map_ratio", _O, "Share of the mAP that initialised compression must have kept."),
    Key("fine_tuning", _O, "Whether and how long a compressed model is trained: `when` (always, when_needed, never), "
        "`max_map_drop`, `patience`."))

_BY_PATH = {key.path: key for key in KEYS}
# Keys whose own keys are all in the table.
_CLOSED = {path.rpartition(".")[0] for path in _BY_PATH} - {""}
_WRAPPED = ("dataset", "datasets")


def refusals(config: Mapping[str, Any], situation: Situation = Situation()) -> list[UserError]:
    """Return every key of a config that is refused, or unknown where all keys are known."""
    return [error for key, value in config.items() if key in _BY_PATH
            for error in _refused(key, key, value, situation)]


def table() -> str:
    """Return the table in Markdown."""
    rows = [f"| `{key.path}` | {key.decision.value} | {key.why} |" for key in KEYS]
    return "\n".join(["| key | | |", "|---|---|---|", *rows]) + "\n"


def _refused(path: str, place: str, value: Any, situation: Situation) -> Iterator[UserError]:
    """Yield what is refused at a key and below it; ``place`` is where it stands, wrappers of data sets included."""
    key = _BY_PATH[path]
    if key.decision is Decision.REFUSED:
        reason = "" if value is None else key.why
    else:
        reason = key.check(value, situation) if key.check else ""
    if reason:
        yield UserError(f"config, {place}", bounded_repr(value, 80), reason, f"Remove the key, or set {place}=None.")
    if path not in _CLOSED:
        return
    parts = value if isinstance(value, (list, tuple)) else [value]
    for part in (part for part in parts if isinstance(part, Mapping)):
        for name, below in part.items():
            inner = f"{path}.{name}"
            if inner not in _BY_PATH:
                known = [other.rpartition(".")[2] for other in _BY_PATH if other.rpartition(".")[0] == path]
                yield UserError(f"config, {place}", f"unknown key {name}", "MMDetection 2.28 has no use for it, so it "
                                "would have no effect.", did_you_mean(name, known, "Remove it."))
            elif name in _WRAPPED and path.startswith("data."):
                yield from _refused(path, f"{place}.{name}", below, situation)
            else:
                yield from _refused(inner, f"{place}.{name}", below, situation)
