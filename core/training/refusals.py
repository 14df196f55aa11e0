"""What a config asks of training and cannot get, found before anything is built."""

import importlib.util
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from core.base.errors import UserError
from core.base.faults import Faults
from core.base.suggest import did_you_mean
from core.base.text import bounded_repr, shown
from core.config.decisions import Situation, is_file_name, refusals
from core.detectors.pretrained import weights_file, weights_location
from core.training.settings import evaluation_settings, loader_settings, log_settings, training_length, workflow_of

# Hooks that need a package of their own.
_PACKAGES = {
    "TensorboardLoggerHook": "tensorboard", "WandbLoggerHook": "wandb", "MMDetWandbHook": "wandb",
    "MlflowLoggerHook": "mlflow", "NeptuneLoggerHook": "neptune", "DvcliveLoggerHook": "dvclive",
    "ClearMLLoggerHook": "clearml", "SegmindLoggerHook": "segmind", "PaviLoggerHook": "pavi",
    "MemoryProfilerHook": "memory_profiler"}
# Transforms that need one (mmdet/datasets/pipelines/instaboost.py and transforms.py).
_TRANSFORM_PACKAGES = {"InstaBoost": "instaboostfast", "Albu": "albumentations"}
_REFUSED_HOOKS = {
    "RFSearchHook": "It changes the network's layers, and a checkpoint's config would describe another network.",
    "ClosureHook": "Its functions are code, and a config is data.",
    "EvalHook": "The validation is the key evaluation.", "DistEvalHook": "The validation is the key evaluation."}

_DICTIONARIES = ("auto_scale_lr", "checkpoint_config", "data", "evaluation", "log_config", "lr_config",
                 "momentum_config", "optimizer", "optimizer_config", "runner")


def require_obeyed(config: Any, gpus: int | None = None) -> None:
    """Check that all a config asks of training is done.

    Args:
        config: A resolved mmcv Config.
        gpus: GPUs to train on; None takes this machine's.

    Raises:
        UserError: All of :func:`refused_of`.
    """
    import torch

    if gpus is None:
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    faults = Faults()
    faults.add(*refused_of(config, gpus))
    faults.stop()


def refused_of(config: Any, gpus: int | None) -> list[UserError]:
    """Return all that is refused of a config: keys, their values, and types that no registry has.

    Args:
        config: A resolved mmcv Config.
        gpus: GPUs to train on, None where that is not known.
    """
    misshapen = list(_misshapen(config))
    if misshapen:
        # The other checks look into what stands there.
        return misshapen
    found = refusals(config, Situation(gpus, bool(config.get("nncf_config"))))
    unsound = any(error.thing.startswith("config, evaluation") for error in found)
    for check in (training_length, workflow_of, loader_settings, *(() if unsound else (evaluation_settings,))):
        try:
            check(config)
        except UserError as error:
            found.append(error)
    found.extend(_unregistered(config))
    found.extend(_named_by_hooks(config))
    found.extend(_without_package("data", config.get("data")))
    # Those of `checkpoint_config` and `evaluation` are keys of the table.
    for key in ("data", "custom_hooks", "log_config"):
        found.extend(_file_clients(key, config.get(key)))
    return list({str(error): error for error in found}.values())


def _misshapen(config: Any) -> Iterator[UserError]:
    """Yield what is not a dictionary, or a list of dictionaries, where training expects one."""
    found = {key: config.get(key) for key in _DICTIONARIES}
    hooks = {"custom_hooks": config.get("custom_hooks")}
    if isinstance(found["log_config"], Mapping):
        hooks["log_config.hooks"] = found["log_config"].get("hooks")
    for place, value in hooks.items():
        parts = value if isinstance(value, (list, tuple)) else [value]
        found.update({f"{place}.{number}": part for number, part in enumerate(parts)})
    for place, value in found.items():
        if value is not None and not isinstance(value, Mapping):
            yield UserError(f"config, {place}", bounded_repr(value, 80), "It is a dictionary.",
                            "Write it as MMDetection's own configs do.")
        elif value is not None:
            for name in ("type", "constructor"):
                if value.get(name) is not None and not isinstance(value[name], str):
                    yield UserError(f"config, {place}.{name}", bounded_repr(value[name], 80),
                                    "It is a name in a registry.", "Write the name as text.")
    workflow = config.get("workflow")
    if workflow is not None and not isinstance(workflow, (list, tuple)):
        yield UserError("config, workflow", bounded_repr(workflow, 80), "It is a list.", "Write [('train', 1)].")


def _unregistered(config: Any) -> Iterator[UserError]:
    """Yield what names a type that is not registered, or gives one an argument that it does not take."""
    # MMDetection's own hooks are registered where they are defined, some with the data sets.
    import mmdet.apis  # noqa: F401
    from mmcv.runner.hooks import HOOKS
    from mmcv.runner.optimizer.builder import OPTIMIZER_BUILDERS, OPTIMIZERS

    yield from _hooks("custom_hooks", config.get("custom_hooks") or ())
    yield from _hooks("log_config.hooks", log_settings(config)["hooks"], interval=1)
    for place, default in (("optimizer_config", "OptimizerHook"), ("checkpoint_config", "CheckpointHook")):
        settings = config.get(place)
        if settings is not None:
            yield from _fit(place, {"type": default, **settings}, HOOKS)
    for place, suffix in (("lr_config", "LrUpdaterHook"), ("momentum_config", "MomentumUpdaterHook")):
        settings = dict(config.get(place) or {})
        policy = settings.pop("policy", None)
        if isinstance(policy, str):
            # As mmcv's register_lr_hook: 'step' stands for StepLrUpdaterHook, mixed case stays.
            kind = (policy.title() if policy == policy.lower() else policy) + suffix
            yield from _fit(place, {**settings, "type": kind}, HOOKS)
        elif config.get(place) is not None:
            yield UserError(f"config, {place}", bounded_repr(config[place], 80), "It needs a policy.",
                            "Write such as policy='step'.")
    optimizer = dict(config.get("optimizer") or {})
    constructor = optimizer.pop("constructor", "DefaultOptimizerConstructor")
    optimizer.pop("paramwise_cfg", None)
    if constructor not in OPTIMIZER_BUILDERS:
        yield _unknown("optimizer.constructor", constructor, OPTIMIZER_BUILDERS)
    yield from _fit("optimizer", optimizer, OPTIMIZERS, params=())


def _hooks(place: str, hooks: Any, **given: Any) -> Iterator[UserError]:
    from mmcv.runner.hooks import HOOKS
    from mmcv.runner.priority import get_priority

    for number, hook in enumerate([hooks] if isinstance(hooks, Mapping) else hooks):
        where = f"{place}.{number}"
        kind = hook.get("type") if isinstance(hook, Mapping) else None
        package = _PACKAGES.get(kind)
        if kind in _REFUSED_HOOKS:
            yield UserError(f"config, {where}", kind, _REFUSED_HOOKS[kind], "Remove it.")
        elif package and importlib.util.find_spec(package) is None:
            yield UserError(f"config, {where}", kind, f"It needs the package {package}, which is not installed here.",
                            f"Install {package}, or remove the hook.")
        else:
            settings = dict(hook) if isinstance(hook, Mapping) else {}
            try:
                get_priority(settings.pop("priority", "NORMAL"))
            except (KeyError, TypeError, ValueError) as error:
                yield UserError(f"config, {where}.priority", bounded_repr(hook["priority"], 40),
                                f"mmcv refuses it: {error}.",
                                "Write a number from 0 to 100 or a name such as 'NORMAL'.")
            yield from _fit(where, settings, HOOKS, **given)


def _named_by_hooks(config: Any) -> Iterator[UserError]:
    """Yield the files that custom hooks name and cannot have."""
    hooks = config.get("custom_hooks") or ()
    for number, hook in enumerate([hooks] if isinstance(hooks, Mapping) else hooks):
        if not isinstance(hook, Mapping):
            continue
        place = f"config, custom_hooks.{number}"
        if hook.get("filename_tmpl") is not None and not is_file_name(hook["filename_tmpl"]):
            yield UserError(f"{place}.filename_tmpl", bounded_repr(hook["filename_tmpl"], 80), "Checkpoints are "
                            "written to the work folder alone.", "Write a name with {} in it, such as 'epoch_{}.pth'.")
        if hook.get("resume_from") is not None:
            try:
                weights_file(hook["resume_from"], weights_location(config), f"{place}.resume_from")
            except UserError as error:
                yield error


def _without_package(place: str, node: Any) -> Iterator[UserError]:
    """Yield every transform below a place whose package is not installed."""
    for inner, value in _below(place, node):
        kind = value.get("type") if isinstance(value, Mapping) else None
        package = _TRANSFORM_PACKAGES.get(kind) if isinstance(kind, str) else None
        if package and importlib.util.find_spec(package) is None:
            yield UserError(f"config, {inner}", kind, f"It needs the package {package}, which is not installed "
                            "here.", f"Install {package}, or remove the transform.")


def _file_clients(place: str, node: Any) -> Iterator[UserError]:
    """Yield every ``file_client_args`` below a place that is not of files on a disk."""
    for inner, value in _below(place, node):
        if inner.endswith(".file_client_args") and value not in (None, {}, {"backend": "disk"}):
            yield UserError(f"config, {inner}", bounded_repr(value, 80), "Images and annotations are files: this "
                            "program fetches what lies elsewhere before it is read.", "Write "
                            "file_client_args=dict(backend='disk') or leave it out, and give the location as data.")


def _below(place: str, node: Any) -> Iterator[tuple[str, Any]]:
    """Yield the dotted place and the value of everything below a node."""
    items = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, (list, tuple)) else ()
    for key, value in items:
        yield f"{place}.{key}", value
        yield from _below(f"{place}.{key}", value)


def _fit(place: str, settings: Mapping[str, Any], registry: Any, **given: Any) -> Iterator[UserError]:
    """Yield what keeps ``settings`` from being built: its type, or an argument; ``given`` ones come from the code."""
    kind = settings.get("type")
    if not isinstance(kind, str) or kind not in registry:
        yield _unknown(f"{place}.type", kind, registry)
        return
    arguments = {key: value for key, value in settings.items() if key != "type"}
    unknown = {*arguments, *given}
    # Along the class's bases, as far as keywords are handed on.
    for base in inspect.getmro(registry.get(kind)):
        if "__init__" in vars(base):
            parameters = inspect.signature(base.__init__).parameters.values()
            unknown -= {item.name for item in parameters
                        if item.kind in (item.POSITIONAL_OR_KEYWORD, item.KEYWORD_ONLY)}
            if not any(item.kind is item.VAR_KEYWORD for item in parameters):
                break
    else:
        unknown = set()
    for name in sorted(unknown & arguments.keys()):
        yield UserError(f"config, {place}", f"unknown key {name}", f"{kind} does not take it.", "Remove it.")


def _unknown(place: str, kind: Any, registry: Any) -> UserError:
    names = list(registry.module_dict)
    return UserError(f"config, {place}", bounded_repr(kind, 60),
                     f"No {registry.name} of mmcv or MMDetection has this name.",
                     did_you_mean(shown(kind, 60), names, "Use one of theirs."))
