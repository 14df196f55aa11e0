"""Checkpoints: what is in one, and how it is written and read."""

import hashlib
import io
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.files import new_file
from core.base.text import bounded_repr, shown
from core.checkpoint.restricted import load_restricted


@dataclass(frozen=True)
class CompressionRecord:
    """What a compressed checkpoint says about its compression.

    Attributes:
        config: The ``nncf_config`` the model was compressed with, as it was given to NNCF.
        state: NNCF's compression state (builder and controller), which restores without initialising.
        postprocessing: Whether post-processing was inside the compressed graph.
    """

    config: dict[str, Any]
    state: dict[str, Any]
    postprocessing: bool = True


@dataclass(frozen=True)
class Checkpoint:
    """A detector's weights with everything needed to test or export it.

    Attributes:
        state_dict: Parameter name to tensor, without a data-parallel prefix.
        classes: Class names in label order; empty when the file does not say.
        config_text: The resolved MMDetection config as data-only text; empty when the file does not say.
        compression: Set when the weights are of a compressed model.
        versions: Versions of torch, mmdet, mmcv and nncf that wrote the file.
        training: ``optimizer``, ``epoch`` and ``iter``, where the checkpoint can be resumed, ``hook_msgs``, what
            mmcv's hooks remember, and ``progress`` (``core.training.progress``), where that is to the bit.
    """

    state_dict: Mapping[str, Any]
    classes: tuple[str, ...] = ()
    config_text: str = ""
    compression: CompressionRecord | None = None
    versions: dict[str, str] = field(default_factory=dict)
    training: dict[str, Any] | None = None


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write ``checkpoint`` to ``path`` in mmcv's layout, atomically."""
    write_checkpoint(checkpoint_bytes(checkpoint), path)


def write_checkpoint(content: bytes, path: Path) -> None:
    """Write what :func:`checkpoint_bytes` made.

    Raises:
        OSError: As the system says it, such as ENOSPC: torch's own writer calls a full disk an unexpected position.
    """
    with new_file(Path(path)) as partial:
        partial.write_bytes(content)


def checkpoint_bytes(checkpoint: Checkpoint) -> bytes:
    """Return ``checkpoint`` as a file's content, in mmcv's layout."""
    import torch

    contents: dict[str, Any] = {
        "meta": {"CLASSES": tuple(checkpoint.classes), "config": checkpoint.config_text,
                 "versions": dict(checkpoint.versions), "time": time.strftime("%Y-%m-%d %H:%M:%S")},
        "state_dict": OrderedDict((name, value.detach().cpu()) for name, value in checkpoint.state_dict.items()),
    }
    if checkpoint.compression is not None:
        contents["nncf"] = {"config": checkpoint.compression.config, "compression_state": checkpoint.compression.state,
                            "postprocessing": checkpoint.compression.postprocessing}
    if checkpoint.training is not None:
        contents["meta"].update(epoch=checkpoint.training["epoch"], iter=checkpoint.training["iter"])
        contents["meta"]["hook_msgs"] = dict(checkpoint.training.get("hook_msgs") or {})
        contents["optimizer"] = checkpoint.training["optimizer"]
        if "progress" in checkpoint.training:
            contents["progress"] = checkpoint.training["progress"]
    buffer = io.BytesIO()
    torch.save(contents, buffer)
    return buffer.getvalue()


def weights_digest(state_dict: Mapping[str, Any]) -> str:
    """Return the SHA-256 over names, types, shapes and bytes of tensors, whatever their order.

    Files of equal weights differ: torch writes memory addresses into them.
    """
    digest = hashlib.sha256()
    for name, value in sorted(state_dict.items()):
        tensor = value.detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint of ours, of MMDetection or a bare state dict.

    Raises:
        UserError: The file cannot be read as data, or holds no weights.
    """
    import torch

    contents = load_restricted(path)
    if not isinstance(contents, dict):
        raise UserError("checkpoint", path, f"It holds a {type(contents).__name__} where a dictionary is expected.",
                        "Save it with torch.save({'state_dict': model.state_dict()}).")
    state_dict = contents.get("state_dict", contents)
    if not isinstance(state_dict, dict) or not state_dict or not all(
            isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in state_dict.items()):
        raise UserError("checkpoint", path, f"It holds no weights (keys: {bounded_repr(list(contents))}).",
                        "Give a checkpoint with a 'state_dict' of tensors.")
    compression, record = None, contents.get("nncf")
    if record is not None:
        if not isinstance(record, dict) or not all(isinstance(record.get(key), dict)
                                                   for key in ("config", "compression_state")):
            raise UserError("checkpoint", path, "Its 'nncf' entry has no config and compression state.",
                            "Compress the model again with this tool.")
        compression = CompressionRecord(record["config"], record["compression_state"],
                                        bool(record.get("postprocessing", True)))
    meta = _entry(contents, "meta", dict, path) or {}
    return Checkpoint(
        state_dict={name.removeprefix("module."): value for name, value in state_dict.items()},
        classes=_classes(meta.get("CLASSES"), path),
        config_text=_entry(meta, "config", str, path) or "",
        compression=compression,
        versions={shown(name): shown(value) for name, value in (_entry(meta, "versions", dict, path) or {}).items()},
        training=_training(contents, meta, path))


def _entry(entries: Mapping[str, Any], key: str, kind: type, path: Path) -> Any:
    """Return an entry of a file, None where it is absent; refuse another type than ``kind``."""
    value = entries.get(key)
    if value is None or isinstance(value, kind):
        return value
    raise UserError("checkpoint", path, f"Its {key!r} is a {type(value).__name__} where a {kind.__name__} is expected.",
                    "Save it again, or leave the entry out.")


def _classes(value: Any, path: Path) -> tuple[str, ...]:
    # No truth is asked of a foreign value: a tensor has none.
    names = () if value is None else (value,) if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise UserError("checkpoint", path, f"Its class names are {bounded_repr(value, 80)}, and must be a list of "
                        "texts.", "Save it again with meta={'CLASSES': [...]}.")
    return tuple(names)


def _training(contents: Mapping[str, Any], meta: Mapping[str, Any], path: Path) -> dict[str, Any] | None:
    if "optimizer" not in contents or "epoch" not in meta:
        return None
    training = {"optimizer": _entry(contents, "optimizer", dict, path), "epoch": _entry(meta, "epoch", int, path),
                "iter": _entry(meta, "iter", int, path), "hook_msgs": _entry(meta, "hook_msgs", dict, path) or {}}
    if None in (training["optimizer"], training["epoch"], training["iter"]):
        raise UserError("checkpoint", path, "It says its epoch, but not the iteration or the optimizer's state.",
                        "Save it again with both, or without 'optimizer'.")
    if "progress" in contents:
        training["progress"] = _entry(contents, "progress", dict, path)
    return training
