"""torch.save's two file formats, read without torch.load.

torch's own reader trusts a file where it should not: ``torch.load`` imports and calls what the pickle names, bounds
neither memory nor time, and loads an archive of TorchScript as a program. The formats: torch/serialization.py, _save
and _legacy_save.
"""

import zipfile
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
import torch

from core.base.text import bounded_repr
from core.checkpoint.plain_pickle import Constructor, Names, Refused, call, load_plain, load_plain_bytes
from core.checkpoint.plain_values import PLAIN_NAMES, typed
from core.storage.zip_index import open_zip

ZIP_BEGINNING = b"PK\x03\x04"
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_STORAGES = {"FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16",
             "BFloat16Storage": "bfloat16", "ByteStorage": "uint8", "CharStorage": "int8", "ShortStorage": "int16",
             "IntStorage": "int32", "LongStorage": "int64", "BoolStorage": "bool"}
# Bytes whose tensors say themselves of which type they are (torch 2).
_UNTYPED = "UntypedStorage"
# Data types that a checkpoint may name, in addition to those of its tensors.
_DTYPES = (*_STORAGES.values(), "complex32", "complex64", "complex128", "quint8", "qint8", "qint32")
_DEVICES = ("cpu", "cuda", "mps", "xpu", "meta", "hpu", "xla", "npu", "mlu")
# A pickle describes tensors, and is small; the tensors are beside it.
MOST_PICKLE_BYTES = 1 << 28
MOST_RECORDS, MOST_INDEX_BYTES = 500_000, 64 << 20
# Expanded tensors have more elements than their storage, but a small file must not fill the memory.
MOST_EXPANDED_ELEMENTS = 1 << 20
MOST_DIMENSIONS = 32


def read_torch_file(file: BinaryIO, size: int) -> Any:
    """Return what ``torch.save`` wrote, tensors on the CPU.

    Args:
        file: The file, at its beginning.
        size: Its bytes.

    Raises:
        Refused: It holds something that is not data.
        zipfile.BadZipFile, pickle.UnpicklingError, EOFError, ValueError and others: It is damaged.
    """
    begins = file.read(len(ZIP_BEGINNING))
    file.seek(0)
    # As torch tells them apart: a zip archive may also start behind something else.
    return _Archive(file).read() if begins == ZIP_BEGINNING else _read_legacy(file, size)


class _Archive:
    """The zip format: ``<folder>/data.pkl``, and a storage's bytes in ``<folder>/data/<key>``."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        entries = open_zip(file, MOST_INDEX_BYTES, MOST_RECORDS)[1]
        self._entries = {entry.info.orig_filename: entry for entry in entries}
        pickles = [name for name in self._entries if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError("a zip archive that torch.save did not write")
        self._folder = pickles[0].partition("/")[0]
        if any(name.startswith((f"{self._folder}/code/", f"{self._folder}/constants.pkl")) for name in self._entries):
            raise Refused("a TorchScript program")
        if any(entry.info.compress_type != zipfile.ZIP_STORED or entry.info.flag_bits & 1 for entry in entries):
            raise Refused("compressed or encrypted records")
        if f"{self._folder}/byteorder" in self._entries and bytes(self._record("byteorder", 16)) != b"little":
            raise Refused("big-endian numbers")

    def read(self) -> Any:
        storage = _storages({}, lambda key, most: self._record(f"data/{key}", most))
        return load_plain_bytes(bytes(self._record("data.pkl", MOST_PICKLE_BYTES)), _NAMES, storage)

    def _record(self, name: str, most: int) -> bytearray:
        """Return a record of at most ``most`` bytes; the index was compared with the file, which has them."""
        entry = self._entries.get(f"{self._folder}/{name}")
        if entry is None:
            raise ValueError(f"a record is missing: {bounded_repr(name)}")
        if entry.info.file_size > most:
            raise ValueError(f"{name} has {entry.info.file_size:,} bytes where at most {most:,} are read")
        content = bytearray(entry.info.file_size)
        self._file.seek(entry.begin)
        if self._file.readinto(content) != len(content):
            raise EOFError("it is cut off")
        if zlib.crc32(content) != entry.info.CRC:
            raise ValueError(f"the checksum of {name} is another: its bytes have changed")
        return content


def _read_legacy(file: BinaryIO, size: int) -> Any:
    """Read the older format: three pickles, the contents' pickle, the storages' keys, and their bytes in that order."""
    bounded = _Bounded(file, size)
    if load_plain(bounded, PLAIN_NAMES) != _MAGIC:
        raise ValueError("neither of torch.save's formats")
    if load_plain(bounded, PLAIN_NAMES) != _PROTOCOL:
        raise ValueError("an unknown version of torch.save's format")
    load_plain(bounded, PLAIN_NAMES)
    storages: dict[str, torch.Tensor] = {}
    claimed = 0

    def empty(key: str, count: int) -> bytearray:
        nonlocal claimed
        claimed += count
        if claimed > size:
            raise EOFError(f"its tensors claim {claimed:,} bytes, and the file has {size:,}")
        return bytearray(count)

    contents = load_plain(bounded, _NAMES, _storages(storages, empty))
    keys = load_plain(bounded, PLAIN_NAMES)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or sorted(keys) != sorted(storages):
        raise ValueError("its list of storages is not that of its tensors")
    for flat in (storages[key] for key in keys):
        count = int.from_bytes(bounded.read(8), "little")
        if count != flat.numel():
            raise ValueError("a storage has another size than its tensors say")
        content = bounded.read_large(count * flat.element_size())
        flat.copy_(_flat_tensor(str(flat.dtype).rpartition(".")[2], content, count))
    return contents


class _Bounded:
    """A file of which no more is read than it has: the lengths in a pickle are not trusted."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        self._left = MOST_PICKLE_BYTES

    def read(self, count: int = -1) -> bytes:
        self._left -= count
        if count < 0 or self._left < 0:
            raise ValueError(f"its pickle has more than {MOST_PICKLE_BYTES:,} bytes")
        return bytes(self.read_large(count))

    def read_large(self, count: int) -> bytearray:
        if count > self._size - self._file.tell():
            raise EOFError("it is cut off")
        content = bytearray(count)
        if self._file.readinto(content) != count:
            raise EOFError("it is cut off")
        return content

    def tell(self) -> int:
        return self._file.tell()

    def readline(self) -> bytes:
        return self._file.readline(1 << 10)


def _storages(made: dict[str, torch.Tensor], content: Callable[[str, int], bytearray]) -> Callable[[Any], torch.Tensor]:
    """Return what gives a pickle the storage of a persistent id, as a tensor of one dimension; an untyped one of uint8.

    Args:
        made: The storages so far, by their keys.
        content: Returns a storage's bytes by its key and their number.
    """
    def storage(saved: Any) -> torch.Tensor:
        if not isinstance(saved, tuple) or len(saved) not in (5, 6) or saved[0] != "storage":
            raise Refused("a persistent id that names no storage")
        name, key, count = saved[1], saved[2], saved[4]
        if not isinstance(name, Constructor) or name.name.rpartition(".")[2] not in (*_STORAGES, _UNTYPED):
            raise Refused("a storage of an unknown type")
        if not isinstance(key, str) or len(key) > 64 or type(count) is not int or not 0 <= count < 1 << 62:
            raise Refused(f"a storage of {bounded_repr(count, 40)} elements")
        if saved[5:] not in ((), (None,)):
            raise Refused("a view of a storage, which torch has not written since 0.4")
        kind = _STORAGES.get(name.name.rpartition(".")[2], "uint8")
        if key not in made:
            made[key] = _flat_tensor(kind, content(key, count * _item_size(kind)), count)
        if str(made[key].dtype) != f"torch.{kind}" or made[key].numel() != count:
            raise Refused("one storage with two types or sizes")
        return made[key]

    return storage


def _item_size(kind: str) -> int:
    return {"float64": 8, "int64": 8, "float32": 4, "int32": 4, "float16": 2, "bfloat16": 2, "int16": 2}.get(kind, 1)


def _flat_tensor(kind: str, content: bytearray, count: int) -> Any:
    """Return ``count`` elements as a tensor of one dimension that owns ``content``."""
    if len(content) != count * _item_size(kind):
        raise ValueError(f"a storage of {count:,} elements has {len(content):,} bytes")
    held = {"bfloat16": "int16", "bool": "uint8"}.get(kind, kind)
    flat = torch.from_numpy(np.frombuffer(content, np.dtype(held).newbyteorder("<")).astype(held, copy=False))
    if kind == "bfloat16":
        return flat.view(torch.bfloat16)
    return flat.bool() if kind == "bool" else flat


def _tensor(flat: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = False, hooks: Any = None,
            metadata: Any = None) -> Any:
    """Return the view of a storage that a tensor is; all of it lies within the storage."""
    size, stride = _size(size), _size(stride)
    if not isinstance(flat, torch.Tensor) or flat.dim() != 1 or type(offset) is not int or not 0 <= offset < 1 << 62:
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


def _tensor_v3(flat: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, dtype: Any,
               metadata: Any = None) -> Any:
    """Return the view of an untyped storage whose type the tensor tells; its numbers are aligned, as torch's are."""
    kind = str(dtype).rpartition(".")[2] if isinstance(dtype, torch.dtype) else ""
    if kind not in _STORAGES.values() or kind == "bool":
        raise Refused("a tensor of an untyped storage without one of its types")
    if not isinstance(flat, torch.Tensor) or flat.dtype is not torch.uint8 or flat.dim() != 1:
        raise Refused("a tensor that is no view of a storage")
    whole = flat.numel() // _item_size(kind) * _item_size(kind)
    return _tensor(flat[:whole].view(dtype), offset, size, stride, requires_grad)


def _parameter(data: Any, requires_grad: Any = True, hooks: Any = None, state: Any = None) -> Any:
    if not isinstance(data, torch.Tensor):
        raise Refused("a parameter that is not a tensor")
    return torch.nn.Parameter(data.detach(), requires_grad is True and data.is_floating_point())


def _tensor_from_numpy(data: Any, dtype: Any, device: Any, requires_grad: Any = False) -> Any:
    """Return a tensor of a device that torch saves as a numpy array, such as XLA's; it comes to the CPU."""
    if not isinstance(data, np.ndarray) or not isinstance(dtype, torch.dtype):
        raise Refused("a tensor of something else than an array and a type")
    tensor = torch.from_numpy(np.array(data)).to(dtype)
    return tensor.requires_grad_(requires_grad is True and tensor.is_floating_point())


def _tensor_with_attributes(make: Any, kind: Any, arguments: Any, state: Any) -> Any:
    tensor = call(make, arguments)
    if not isinstance(tensor, torch.Tensor):
        raise Refused("attributes of something else than a tensor")
    return tensor


def _size(sides: Any = ()) -> Any:
    if (not isinstance(sides, (tuple, list)) or len(sides) > MOST_DIMENSIONS
            or any(type(side) is not int or not 0 <= side < 1 << 62 for side in sides)):
        raise Refused(f"the tensor size {bounded_repr(sides, 60)}")
    return torch.Size(sides)


def _device(name: Any, index: Any = None) -> Any:
    kind, _, number = name.partition(":") if isinstance(name, str) else ("", "", "")
    if kind not in _DEVICES or len(number) > 3 or not (number or "0").isdecimal() or not (
            index is None or not number and type(index) is int and 0 <= index < 128):
        raise Refused(f"the device {bounded_repr((name, index), 40)}")
    return torch.device(name) if index is None else torch.device(name, index)


_NAMES: Names = {
    **PLAIN_NAMES,
    **{("torch", name): Constructor(f"torch.{name}") for name in _STORAGES},
    **{(module, _UNTYPED): Constructor(f"torch.{_UNTYPED}") for module in ("torch", "torch.storage")},
    **{("torch", name): getattr(torch, name) for name in _DTYPES},
    ("torch", "Size"): Constructor("torch.Size", _size), ("torch", "device"): Constructor("torch.device", _device),
    # torch.__version__ is of a class of its own (torch 1.10 and newer); it is read as plain text.
    ("torch.torch_version", "TorchVersion"): Constructor("torch.__version__",
                                                         typed(str, (str,), "a version that is not text")),
    # Only ever the class of a tensor that had attributes, which are left out.
    **{(module, name): Constructor(f"torch.{name}") for module, name in (
        ("torch", "Tensor"), ("torch._tensor", "Tensor"), ("torch.nn.parameter", "Parameter"))},
    **{("torch._utils", f"_rebuild_{name}"): Constructor(f"torch._utils._rebuild_{name}", make) for name, make in (
        ("tensor", _tensor), ("tensor_v2", _tensor), ("tensor_v3", _tensor_v3), ("parameter", _parameter),
        ("parameter_with_state", _parameter), ("device_tensor_from_numpy", _tensor_from_numpy))},
    ("torch._tensor", "_rebuild_from_type_v2"): Constructor("tensor with attributes", _tensor_with_attributes)}
