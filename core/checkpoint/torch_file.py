"""torch.save's two file formats, read without torch.load.

torch 1.8.1's own reader trusts a file where it should not: a storage may claim more elements than its record has, which
are then read from beyond it; a tensor may claim more than its storage, which then grows; and an archive of TorchScript
is loaded as a program. The formats: torch/serialization.py, _save and _legacy_save.
"""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from core.checkpoint.plain_pickle import Constructor, Names, Refused, load_plain, load_plain_bytes
from core.checkpoint.plain_values import plain_names

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_STORAGES = {"FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16",
             "BFloat16Storage": "bfloat16", "ByteStorage": "uint8", "CharStorage": "int8", "ShortStorage": "int16",
             "IntStorage": "int32", "LongStorage": "int64", "BoolStorage": "bool"}
# A pickle describes tensors, and is small; the tensors are beside it.
MOST_PICKLE_BYTES = 1 << 28
MOST_STORAGES = 1_000_000
# Expanded tensors have more elements than their storage, but a small file must not fill the memory.
MOST_EXPANDED_ELEMENTS = 1 << 20
MOST_DIMENSIONS = 32


def read_torch_file(path: Path) -> Any:
    """Return what ``torch.save`` wrote, tensors on the CPU.

    Raises:
        Refused: It holds something that is no data.
        zipfile.BadZipFile, pickle.UnpicklingError, EOFError, ValueError and others: It is damaged.
    """
    with open(path, "rb") as file:
        if zipfile.is_zipfile(file):
            return _Archive(file).read()
        file.seek(0)
        return _read_legacy(file, path.stat().st_size)


class _Archive:
    """The zip format: ``<folder>/data.pkl``, and a storage's bytes in ``<folder>/data/<key>``."""

    def __init__(self, file: BinaryIO) -> None:
        self._zip = zipfile.ZipFile(file)
        self._storages: dict[str, Any] = {}
        entries = self._zip.infolist()
        names = [entry.filename for entry in entries]
        pickles = [name for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1 or len(set(names)) != len(names):
            raise ValueError("a zip archive that torch.save did not write")
        self._folder = pickles[0].partition("/")[0]
        if any(name.startswith((f"{self._folder}/code/", f"{self._folder}/constants.pkl")) for name in names):
            raise Refused("a TorchScript program")
        if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
            raise Refused("compressed or encrypted records")
        if f"{self._folder}/byteorder" in names and self._record("byteorder", 16) != b"little":
            raise Refused("big-endian numbers")

    def read(self) -> Any:
        content = self._record("data.pkl", MOST_PICKLE_BYTES)
        return load_plain_bytes(content, _names(_tensor), self._storage)

    def _record(self, name: str, most: int | None = None) -> bytes:
        # Stored records are no longer than the file, whatever its directory says: reading checks length and CRC.
        entry = self._zip.getinfo(f"{self._folder}/{name}")
        if most is not None and entry.file_size > most:
            raise ValueError(f"{name} has {entry.file_size} bytes, at most {most} are read")
        return self._zip.read(entry)

    def _storage(self, saved: Any) -> Any:
        kind, key, count, _ = _storage_id(saved)
        if key not in self._storages:
            content = self._record(f"data/{key}")
            self._storages[key] = _flat_tensor(kind, content, count)
        return _checked(self._storages[key], kind, count)


def _read_legacy(file: BinaryIO, size: int) -> Any:
    """Read the older format: three pickles, the contents' pickle, the storages' keys, and their bytes in that order."""
    plain = plain_names()
    bounded = _Bounded(file, size)
    if load_plain(bounded, plain) != _MAGIC:
        raise ValueError("neither of torch.save's formats")
    if load_plain(bounded, plain) != _PROTOCOL:
        raise ValueError("an unknown version of torch.save's format")
    load_plain(bounded, plain)
    storages: dict[str, Any] = {}
    claimed = 0

    def storage(saved: Any) -> Any:
        nonlocal claimed
        kind, key, count, view = _storage_id(saved)
        if view is not None:
            raise Refused("a view of a storage, which torch has not written since 0.4")
        if key not in storages:
            claimed += count * _item_size(kind)
            if claimed > size:
                raise ValueError(f"its tensors claim {claimed} bytes, and the file has {size}")
            storages[key] = _flat_tensor(kind, bytes(count * _item_size(kind)), count)
        return _checked(storages[key], kind, count)

    contents = load_plain(bounded, _names(_tensor), storage)
    keys = load_plain(bounded, plain)
    if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(storages):
        raise ValueError("its list of storages is not that of its tensors")
    for key in keys:
        _fill(storages[str(key)], bounded)
    return contents


def _fill(flat: Any, file: "_Bounded") -> None:
    count = int.from_bytes(file.read(8), "little")
    if count != flat.numel():
        raise ValueError("a storage has another size than its tensors say")
    content = file.read(count * flat.element_size())
    flat.copy_(_flat_tensor(str(flat.dtype).rpartition(".")[2], content, count))


class _Bounded:
    """A file of which no more is asked for than it has: a pickle's lengths are anybody's word."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size

    def read(self, count: int = -1) -> bytes:
        left = self._size - self._file.tell()
        content = self._file.read(left if count < 0 else min(count, left))
        if len(content) < count:
            raise EOFError("it is cut off")
        return content

    def readline(self) -> bytes:
        return self._file.readline(1 << 16)


def _names(make_tensor: Callable[..., Any]) -> Names:

    names = dict(plain_names())
    names.update({("torch", name): Constructor(f"torch.{name}") for name in _STORAGES})
    names["torch", "Size"] = Constructor("torch.Size", _size)
    names["torch", "device"] = Constructor("torch.device", _device)
    names["torch._utils", "_rebuild_tensor"] = Constructor("tensor", make_tensor)
    names["torch._utils", "_rebuild_tensor_v2"] = Constructor("tensor", make_tensor)
    names["torch._utils", "_rebuild_parameter"] = Constructor("parameter", _parameter)
    return names


def _storage_id(saved: Any) -> tuple[str, str, int, Any]:
    """Return type, key, number of elements and view of a storage's persistent id."""
    if not isinstance(saved, tuple) or len(saved) not in (5, 6) or saved[0] != "storage":
        raise Refused("a persistent id that names no storage")
    kind, key, count = saved[1], saved[2], saved[4]
    if not isinstance(kind, Constructor) or kind.name.rpartition(".")[2] not in _STORAGES:
        raise Refused("a storage of an unknown type")
    if not isinstance(key, str) or len(key) > 64 or type(count) is not int or count < 0:
        raise Refused(f"a storage of {count!r:.40} elements")
    return _STORAGES[kind.name.rpartition(".")[2]], key, count, saved[5] if len(saved) == 6 else None


def _item_size(kind: str) -> int:
    return {"float64": 8, "int64": 8, "float32": 4, "int32": 4, "float16": 2, "bfloat16": 2, "int16": 2}.get(kind, 1)


def _flat_tensor(kind: str, content: bytes, count: int) -> Any:
    """Return ``count`` elements as a tensor of one dimension that owns its memory."""
    import numpy as np
    import torch

    if len(content) != count * _item_size(kind):
        raise ValueError(f"a storage of {count} elements has {len(content)} bytes")
    held = {"bfloat16": "int16", "bool": "uint8"}.get(kind, kind)
    flat = torch.from_numpy(np.frombuffer(content, np.dtype(held).newbyteorder("<")).astype(held))
    if kind == "bfloat16":
        return flat.view(torch.bfloat16)
    return flat.bool() if kind == "bool" else flat


def _checked(flat: Any, kind: str, count: int) -> Any:
    if str(flat.dtype) != f"torch.{kind}" or flat.numel() != count:
        raise Refused("one storage with two types or sizes")
    return flat


def _tensor(flat: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = False, hooks: Any = None,
            metadata: Any = None) -> Any:
    """Return the view of a storage that a tensor is; all of it lies within the storage."""
    import torch

    size, stride = _size(size), _size(stride)
    if not isinstance(flat, torch.Tensor) or flat.dim() != 1 or type(offset) is not int or offset < 0:
        raise Refused("a tensor that is no view of a storage")
    if len(size) != len(stride):
        raise Refused(f"a tensor of size {tuple(size)} and stride {tuple(stride)}")
    elements, last = 1, offset
    for length, step in zip(size, stride):
        elements *= length
        last += max(length - 1, 0) * step
    if elements and last >= flat.numel():
        raise Refused(f"a tensor of size {tuple(size)} in a storage of {flat.numel()} elements")
    if elements > max(flat.numel(), MOST_EXPANDED_ELEMENTS):
        raise Refused(f"a tensor of size {tuple(size)} that repeats {flat.numel()} elements")
    tensor = torch.as_strided(flat, tuple(size), tuple(stride), offset if elements else 0)
    if requires_grad is True and tensor.is_floating_point():
        return tensor.detach().requires_grad_()
    return tensor


def _parameter(data: Any, requires_grad: Any = True, hooks: Any = None) -> Any:
    import torch

    if not isinstance(data, torch.Tensor):
        raise Refused("a parameter that is no tensor")
    return torch.nn.Parameter(data.detach(), requires_grad is True and data.is_floating_point())


def _size(sides: Any = ()) -> Any:
    import torch

    if (not isinstance(sides, (tuple, list)) or len(sides) > MOST_DIMENSIONS
            or any(type(side) is not int or not 0 <= side < 1 << 62 for side in sides)):
        raise Refused(f"the tensor size {sides!r:.60}")
    return torch.Size(sides)


def _device(name: Any, index: Any = None) -> Any:
    import torch

    return torch.device("cpu")
