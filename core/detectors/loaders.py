"""mmcv's, mmdet's and torch's own loaders, replaced by ours in this process.

What a config names reaches a loader long after the config was read: a hook resumes before the first epoch, a transform
opens its first image in a worker, ``test_cfg.nms.type`` is evaluated in the first forward. So the replacements stay for
the life of the process once :func:`install` put them in; ``docs/security.md`` lists them with the places they answer.
"""

import contextlib
import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.config.data_only import data_from_yaml
from core.config.python_text import MAX_TEXT_BYTES
from core.detectors.closed_room import may_write, outside
from core.detectors.pretrained import VARIABLE, read_weights

FAULTS = (ArithmeticError, AssertionError, AttributeError, ImportError, IndexError, KeyError, NotImplementedError,
          RuntimeError, TypeError, ValueError)
"""What building something from a config can raise for reasons that lie in the config."""
_NMS_TYPES = ("nms", "soft_nms", "nms_match", "nms_rotated")
_SERVICE_HOOKS = ("ClearMLLoggerHook", "DvcliveLoggerHook", "MlflowLoggerHook", "MMDetWandbHook", "NeptuneLoggerHook",
                  "PaviLoggerHook", "SegmindLoggerHook", "WandbLoggerHook")
# Arguments of hooks that name a place to write to (mmcv/runner/hooks: checkpoint.py:56, evaluation.py:96,
# profiler.py:66, logger/text.py:62, logger/tensorboard.py:27, and the profiler's trace handler).
_WRITTEN_BY_HOOKS = ("out_dir", "log_dir", "json_trace_path", "dir_name", "tmpdir")


@dataclass(frozen=True)
class LoadedWeights:
    """What was read from weights that a config names."""

    name: str
    contents: dict[str, Any]


class _Here(threading.local):
    """What holds for the present thread: where published weights are kept, and who notes what is loaded."""

    kept: str | None = None
    record: list[LoadedWeights] | None = None


_here = _Here()
_install_lock = threading.Lock()
_installed: list[tuple[Any, str, Any]] = []
"""What was replaced: the object that holds it, its name there and what it was."""


def install() -> None:
    """Replace the loaders, once; mmcv and mmdet are imported before, so that no module keeps an original."""
    with _install_lock:
        if not _installed:
            import mmdet.apis
            import mmdet.core
            import mmdet.datasets
            import mmdet.models  # noqa: F401

            _replace_functions()
            _replace_members()


@contextlib.contextmanager
def originals() -> Iterator[None]:
    """Put the originals back for the block: tests compare with what mmcv itself does to files they trust."""
    with _install_lock:
        replaced = [(holder, name, _member(holder, name)) for holder, name, _ in _installed]
        _put_back(_installed)
        try:
            yield
        finally:
            _put_back(replaced)


@contextlib.contextmanager
def weights_kept_in(location: str) -> Iterator[None]:
    """Let the block find published weights in ``location``, see ``core.detectors.pretrained.weights_file``."""
    outer, _here.kept = _here.kept, location
    try:
        yield
    finally:
        _here.kept = outer


@contextlib.contextmanager
def record_weights() -> Iterator[list[LoadedWeights]]:
    """Give a list to which the weights that are loaded within the block are added."""
    outer, _here.record = _here.record, []
    try:
        yield _here.record
    finally:
        _here.record = outer


def _replace_functions() -> None:
    """Replace functions wherever a module has them, under whatever name, and in mmcv's registries."""
    import mmcv
    import mmcv.runner.checkpoint
    import mmcv.runner.utils

    ours: dict[int, Any] = {
        id(mmcv.build_from_cfg): _build_from_registry,
        id(mmcv.import_modules_from_strings): _refusing("import of modules by name", "Modules are imported by "
                                                        "statements, not by names from a config."),
        id(mmcv.runner.utils.obj_from_dict): _refusing("obj_from_dict", "A `type` is looked up in a registry."),
        id(mmcv.runner.checkpoint.load_url): _load_url}
    for module in list(sys.modules.values()):
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if id(value) in ours:
                _put(module, name, ours[id(value)])
            elif isinstance(value, mmcv.Registry) and id(value.build_func) in ours:
                _put(value, "build_func", ours[id(value.build_func)])


def _replace_members() -> None:
    """Replace what is looked up in a class or module when it is used."""
    import mmcv.fileio.io
    import mmcv.ops
    import torch
    from mmcv.runner import CheckpointLoader
    from mmdet.datasets.pipelines import Albu
    from mmdet.models.roi_heads.roi_extractors.base_roi_extractor import BaseRoIExtractor

    _put(CheckpointLoader, "load_checkpoint", staticmethod(_load_checkpoint))
    _put(CheckpointLoader, "_schemes", {"": _load_checkpoint})
    _put(torch, "load", functools.partial(_torch_load, torch.load))
    _put(torch.jit, "load", _refusing("torch.jit.load", "TorchScript is a program."))
    _put(torch.hub, "load_state_dict_from_url", _load_url)
    _put(torch.utils.model_zoo, "load_url", _load_url)
    for name in ("load", "download_url_to_file"):
        _put(torch.hub, name, _refusing(f"torch.hub.{name}", "Nothing is downloaded from the internet."))
    _put(mmcv.Config, "fromfile", staticmethod(_config_from_file))
    _put(mmcv.Registry, "get", _registry_get(mmcv.Registry.get))
    _put(mmcv.FileClient, "__new__", _file_client(mmcv.FileClient.__new__))
    _put(mmcv.fileio.io, "file_handlers", _handlers(mmcv.fileio.io.file_handlers))
    # A module's own `eval` goes before the builtin one. The attribute mmcv.ops.nms is the function.
    _put(sys.modules["mmcv.ops.nms"], "eval", _nms_of_type)
    _put(Albu, "albu_builder", _albumentation(Albu.albu_builder))
    _put(BaseRoIExtractor, "build_roi_layers", _roi_layers(BaseRoIExtractor.build_roi_layers))


def _put(holder: Any, name: str, value: Any) -> None:
    _installed.append((holder, name, _member(holder, name)))
    setattr(holder, name, value)


def _member(holder: Any, name: str) -> Any:
    # Not getattr: it would bind a classmethod.
    return vars(holder).get(name, _ABSENT)


def _put_back(members: list[tuple[Any, str, Any]]) -> None:
    for holder, name, value in reversed(members):
        if value is _ABSENT:
            delattr(holder, name)
        else:
            setattr(holder, name, value)


_ABSENT = object()


def _refuse(thing: str, value: object, rule: str, hint: str = "Remove it from the config.") -> None:
    with outside():
        raise UserError(thing, f"{value!s:.200}", rule, hint)


def _refusing(thing: str, rule: str) -> Callable[..., Any]:
    def refuse(*arguments: Any, **options: Any) -> Any:
        _refuse("config", thing, rule)

    return refuse


def _load_checkpoint(filename: str, map_location: Any = None, logger: Any = None) -> dict[str, Any]:
    """Stand for ``CheckpointLoader.load_checkpoint`` and all its schemes; tensors come on the CPU."""
    with outside():
        contents = read_weights(filename, os.environ.get(VARIABLE, "") if _here.kept is None else _here.kept)
    if _here.record is not None:
        _here.record.append(LoadedWeights(filename, contents))
    return contents


def _load_url(url: str, *arguments: Any, **options: Any) -> dict[str, Any]:
    return _load_checkpoint(url)


def _torch_load(original: Callable[..., Any], f: Any, *arguments: Any, **options: Any) -> Any:
    """Stand for ``torch.load``: a file is read by the restricted reader."""
    if sys._getframe(1).f_globals.get("__name__", "").partition(".")[0] == "torch":
        # torch's own reduction of a storage within a pickle that is being read already (torch/storage.py).
        return original(f, *arguments, **options)
    from core.checkpoint.restricted import load_restricted

    if not isinstance(f, (str, os.PathLike)):
        _refuse("torch.load", f"a {type(f).__name__}", "Checkpoints are read from files, as data.")
    with outside():
        return load_restricted(Path(f))


def _config_from_file(filename: Any, *arguments: Any, **options: Any) -> Any:
    """Stand for ``Config.fromfile``: the file, such as a teacher's config, is read as data."""
    from core.config.loading import load_config

    with outside():
        return load_config(filename)


def _registry_get(original: Callable[..., Any]) -> Callable[..., Any]:
    def get(registry: Any, key: Any) -> Any:
        if not isinstance(key, str):
            _refuse("config", f"type={key!s:.80}", f"A type is a name in the registry {registry.name}.")
        try:
            return original(registry, key)
        except AttributeError:
            # "somewhere.Name": mmcv asks the parent of a registry that has none (mmcv/utils/registry.py:228).
            return None

    return get


def _build_from_registry(cfg: Any, registry: Any, default_args: Mapping[str, Any] | None = None) -> Any:
    """Stand for ``build_from_cfg``: a type is a name in ``registry``, never a class, a function or a path to one."""
    if not isinstance(cfg, dict):
        raise TypeError(f"cfg must be a dict, but is a {type(cfg).__name__}")
    arguments = {**(default_args or {}), **cfg}
    if "type" not in arguments:
        raise KeyError(f"a part of the registry {registry.name} has no `type`")
    kind = arguments.pop("type")
    found = registry.get(kind)
    if found is None:
        raise KeyError(f"{kind!s:.80} is not in the registry {registry.name}")
    if registry.name == "hook":
        _check_hook(kind, arguments)
    try:
        return found(**arguments)
    except FAULTS as error:
        # As mmcv, the message says which class it was.
        again = type(error) if type(error) in FAULTS else RuntimeError
        raise again(f"{found.__name__}: {error}") from error


def _check_hook(kind: str, arguments: Any) -> None:
    if kind in _SERVICE_HOOKS:
        _refuse("config, hooks", kind, "It sends the training's log to a service.",
                "Read the training log that this program writes, or pass its lines on yourself.")
    for name, value in arguments.items() if isinstance(arguments, dict) else ():
        if name in _WRITTEN_BY_HOOKS and value is not None and not may_write(value):
            _refuse(f"config, {kind}.{name}", value, "Training writes to its own work folder alone.")
        _check_hook(f"{kind}.{name}", value)


def _file_client(original: Callable[..., Any]) -> Callable[..., Any]:
    def new(cls: Any, backend: str | None = None, prefix: str | None = None, **options: Any) -> Any:
        if backend not in (None, "disk") or prefix is not None or options:
            _refuse("config, file client", prefix if backend is None else backend, "Images and annotations are files: "
                    "this program fetches what lies elsewhere before it is read.",
                    "Write file_client_args=dict(backend='disk') or leave it out, and give the location as data.")
        return original(cls, backend="disk")

    return staticmethod(new)


def _handlers(originals: Mapping[str, Any]) -> dict[str, Any]:
    """Return mmcv's readers of files by suffix: pickles are written but not read, YAML makes plain data alone."""
    from mmcv.fileio.handlers import PickleHandler, YamlHandler

    class WrittenPickle(PickleHandler):
        """Writes pickles; does not read them."""

        def load_from_fileobj(self, file: Any, **options: Any) -> Any:
            _refuse("config, file", getattr(file, "name", "a pickle"), "A pickle can run code, so it is not read.",
                    "Give the data in JSON.")

        def load_from_path(self, filepath: Any, **options: Any) -> Any:
            return self.load_from_fileobj(filepath)

    class PlainYaml(YamlHandler):
        """Reads YAML of plain data: mmcv's own loader makes Python objects."""

        def load_from_fileobj(self, file: Any, **options: Any) -> Any:
            with outside():
                return data_from_yaml(file.read(MAX_TEXT_BYTES + 1), "YAML file of a config")

    ours = {"pickle": WrittenPickle(), "pkl": WrittenPickle(), "yaml": PlainYaml(), "yml": PlainYaml()}
    return {suffix: ours.get(suffix, handler) for suffix, handler in originals.items()}


def _nms_of_type(kind: Any) -> Callable[..., Any]:
    """Stand for ``eval`` in mmcv's batched_nms (mmcv/ops/nms.py:345)."""
    import mmcv.ops

    if kind not in _NMS_TYPES:
        _refuse("config, nms.type", kind, f"It is one of {', '.join(_NMS_TYPES)}.", "Write one of these.")
    return getattr(mmcv.ops, kind)


def _albumentation(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def build(self: Any, cfg: Any) -> Any:
        import inspect

        import albumentations

        kind = cfg.get("type") if isinstance(cfg, dict) else cfg
        found = getattr(albumentations, kind, None) if isinstance(kind, str) else None
        kinds = (albumentations.BasicTransform, albumentations.BaseCompose, albumentations.BboxParams)
        if not inspect.isclass(found) or not issubclass(found, kinds) or found.__name__ == "Lambda":
            _refuse("config, Albu", kind, "A type is the name of a transform of albumentations.", "Correct the name.")
        if "read_fn" in inspect.signature(found.__init__).parameters:
            _refuse("config, Albu", kind, "It reads images of its own by name.", "Choose another transform.")
        return original(self, cfg)

    return build


def _roi_layers(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def build(self: Any, layer_cfg: Any, featmap_strides: Any) -> Any:
        import mmcv.ops
        import torch

        kind = layer_cfg.get("type") if isinstance(layer_cfg, dict) else layer_cfg
        found = getattr(mmcv.ops, kind, None) if isinstance(kind, str) else None
        if not isinstance(found, type) or not issubclass(found, torch.nn.Module):
            _refuse("config, roi_layer.type", kind, "It is a layer of mmcv.ops, such as RoIAlign.", "Correct the name.")
        return original(self, layer_cfg, featmap_strides)

    return build


def check_nms_types(node: Any) -> None:
    """Refuse what batched_nms would refuse with the first image: an ``nms`` of an unknown type anywhere in a config."""
    if isinstance(node, dict):
        suppression = node.get("nms")
        if isinstance(suppression, dict) and "type" in suppression:
            _nms_of_type(suppression["type"])
    for item in node.values() if isinstance(node, dict) else node if isinstance(node, (list, tuple)) else ():
        check_nms_types(item)
