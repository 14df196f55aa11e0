"""torch.save's two file formats, read without torch.load.

torch's own reader trusts a file where it should not: ``torch.load`` imports and calls what the pickle names, bounds
neither memory nor time, and loads an archive of TorchScript as a program. The formats: torch/serialization.py, _save
and _legacy_save.
"""

import zipfile
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO

from core.base.text import bounded_repr
from core.checkpoint.plain_pickle import Constructor, Names, Refused, call, load_plain, load_plain_bytes
from core.checkpoint.plain_values import plain_names
from core.storage.zip_index import ZipEntry, open_zip

ZIP_BEGINNING = b"PK\x03\x04"
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_STORAGES = {"FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16",
             "BFloat16Storage": "bfloat16", "ByteStorage": "uint8", "CharStorage": "int8", "ShortStorage": "int16",
             "IntStorage": "int32", "LongStorage": "int64", "BoolStorage": "bool"}
# Bytes whose tensors say themselves of which type they are (torch 2).
_UNTYPED = "UntypedStorage"
# What a value of a checkpoint may be, beside those of tensors: it is a name alone.
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
        Refused: It holds something that is no data.
        zipfile.BadZipFile, pickle.UnpicklingError, EOFError, ValueError and others: It is damaged.
    """
    begins = file.read(len(ZIP_BEGINNING))
    file.seek(0)
    # As torch tells them apart: a zip archive may also begin behind something else.
    return _Archive(file).read() if begins == ZIP_BEGINNING else _read_legacy(file, size)


class _Archive:
    """The zip format: ``<folder>/data.pkl``, and a storage's bytes in ``<folder>/data/<key>``."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._storages: dict[str, Any] = {}
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
        content = self._record("data.pkl", MOST_PICKLE_BYTES)
        return load_plain_bytes(bytes(content), _names(_tensor), self._storage)

    def _entry(self, name: str) -> ZipEntry:
        try:
            return self._entries[f"{self._folder}/{name}"]
        except KeyError:
            raise ValueError(f"a record is missing: {bounded_repr(name)}") from None

    def _record(self, name: str, most: int) -> bytearray:
        """Return a record of at most ``most`` bytes; the index was compared with the file, which has them."""
        entry = self._entry(name)
        if entry.info.file_size > most:
            raise ValueError(f"{name} has {entry.info.file_size:,} bytes where at most {most:,} are read")
        content = bytearray(entry.info.file_size)
        self._file.seek(entry.begin)
        if self._file.readinto(content) != len(content):
            raise EOFError("it is cut off")
        if zlib.crc32(content) != entry.info.CRC:
            raise ValueError(f"the checksum of {name} is another: its bytes have changed")
        return content

    def _storage(self, saved: Any) -> Any:
        kind, key, count = _storage_id(saved)
        if key not in self._storages:
            content = self._record(f"data/{key}", count * _item_size(kind))
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
        kind, key, count = _storage_id(saved)
        if key not in storages:
            claimed += count * _item_size(kind)
            if claimed > size:
                raise EOFError(f"its tensors claim {claimed:,} bytes, and the file has {size:,}")
            storages[key] = _flat_tensor(kind, bytearray(count * _item_size(kind)), count)
        return _checked(storages[key], kind, count)

    contents = load_plain(bounded, _names(_tensor), storage)
    keys = load_plain(bounded, plain)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or sorted(keys) != sorted(storages):
        raise ValueError("its list of storages is not that of its tensors")
    for key in keys:
        _fill(storages[key], bounded)
    return contents


def _fill(flat: Any, file: "_Bounded") -> None:
    count = int.from_bytes(file.read(8), "little")
    if count != flat.numel():
        raise ValueError("a storage has another size than its tensors say")
    content = file.read_large(count * flat.element_size())
    flat.copy_(_flat_tensor(str(flat.dtype).rpartition(".")[2], content, count))


class _Bounded:
    """A file of which no more is asked for than it has: a pickle's lengths are anybody's word."""

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


def _names(make_tensor: Callable[..., Any]) -> Names:
    import torch

    names: dict[tuple[str, str], Any] = dict(plain_names())
    names.update({("torch", name): Constructor(f"torch.{name}") for name in _STORAGES})
    names.update({(module, _UNTYPED): Constructor(f"torch.{_UNTYPED}") for module in ("torch", "torch.storage")})
    names.update({("torch", name): getattr(torch, name) for name in _DTYPES})
    names["torch", "Size"] = Constructor("torch.Size", _size)
    names["torch", "device"] = Constructor("torch.device", _device)
    # torch.__version__ is of a class of its own (torch 1.10 and newer); it is read as plain text.
    names["torch.torch_version", "TorchVersion"] = Constructor("torch.__version__", _version)
    # Only ever the class of a tensor that had attributes, which are left out.
    names.update({(module, name): Constructor(f"torch.{name}") for module, name in (
        ("torch", "Tensor"), ("torch._tensor", "Tensor"), ("torch.nn.parameter", "Parameter"))})
    names.update({("torch._utils", f"_rebuild_{name}"): Constructor(f"torch._utils._rebuild_{name}", make)
                  for name, make in (("tensor", make_tensor), ("tensor_v2", make_tensor), ("tensor_v3", _tensor_v3),
                                     ("parameter", _parameter), ("parameter_with_state", _parameter),
                                     ("device_tensor_from_numpy", _tensor_from_numpy))})
    names["torch._tensor", "_rebuild_from_type_v2"] = Constructor("tensor with attributes", _tensor_with_attributes)
    return names


def _storage_id(saved: Any) -> tuple[str, str, int]:
    """Return type, key and number of elements of a storage's persistent id; an untyped one's type is uint8."""
    if not isinstance(saved, tuple) or len(saved) not in (5, 6) or saved[0] != "storage":
        raise Refused("a persistent id that names no storage")
    kind, key, count = saved[1], saved[2], saved[4]
    if not isinstance(kind, Constructor) or kind.name.rpartition(".")[2] not in (*_STORAGES, _UNTYPED):
        raise Refused("a storage of an unknown type")
    if not isinstance(key, str) or len(key) > 64 or type(count) is not int or not 0 <= count < 1 << 62:
        raise Refused(f"a storage of {bounded_repr(count, 40)} elements")
    if saved[5:] not in ((), (None,)):
        raise Refused("a view of a storage, which torch has not written since 0.4")
    return _STORAGES.get(kind.name.rpartition(".")[2], "uint8"), key, count


def _item_size(kind: str) -> int:
    return {"float64": 8, "int64": 8, "float32": 4, "int32": 4, "float16": 2, "bfloat16": 2, "int16": 2}.get(kind, 1)


def _flat_tensor(kind: str, content: bytearray, count: int) -> Any:
    """Return ``count`` elements as a tensor of one dimension that owns ``content``."""
    import numpy as np
    import torch

    if len(content) != count * _item_size(kind):
        raise ValueError(f"a storage of {count:,} elements has {len(content):,} bytes")
    held = {"bfloat16": "int16", "bool": "uint8"}.get(kind, kind)
    flat = torch.from_numpy(np.frombuffer(content, np.dtype(held).newbyteorder("<")).astype(held, copy=False))
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
    import torch

    kind = str(dtype).rpartition(".")[2] if isinstance(dtype, torch.dtype) else ""
    if kind not in _STORAGES.values() or kind == "bool":
        raise Refused("a tensor of an untyped storage without one of its types")
    if not isinstance(flat, torch.Tensor) or flat.dtype is not torch.uint8 or flat.dim() != 1:
        raise Refused("a tensor that is no view of a storage")
    whole = flat.numel() // _item_size(kind) * _item_size(kind)
    return _tensor(flat[:whole].view(dtype), offset, size, stride, requires_grad)


def _parameter(data: Any, requires_grad: Any = True, hooks: Any = None, state: Any = None) -> Any:
    import torch

    if not isinstance(data, torch.Tensor):
        raise Refused("a parameter that is no tensor")
    return torch.nn.Parameter(data.detach(), requires_grad is True and data.is_floating_point())


def _tensor_from_numpy(data: Any, dtype: Any, device: Any, requires_grad: Any = False) -> Any:
    """Return a tensor of a device that torch saves as a numpy array, such as XLA's; it comes to the CPU."""
    import numpy as np
    import torch

    if not isinstance(data, np.ndarray) or not isinstance(dtype, torch.dtype):
        raise Refused("a tensor of something else than an array and a type")
    tensor = torch.from_numpy(np.array(data)).to(dtype)
    return tensor.requires_grad_(requires_grad is True and tensor.is_floating_point())


def _tensor_with_attributes(make: Any, kind: Any, arguments: Any, state: Any) -> Any:
    import torch

    tensor = call(make, arguments)
    if not isinstance(tensor, torch.Tensor):
        raise Refused("attributes of something else than a tensor")
    return tensor


def _size(sides: Any = ()) -> Any:
    import torch

    if (not isinstance(sides, (tuple, list)) or len(sides) > MOST_DIMENSIONS
            or any(type(side) is not int or not 0 <= side < 1 << 62 for side in sides)):
        raise Refused(f"the tensor size {bounded_repr(sides, 60)}")
    return torch.Size(sides)


def _version(text: Any) -> str:
    if type(text) is not str:
        raise Refused("a version that is no text")
    return text


def _device(name: Any, index: Any = None) -> Any:
    import torch

    kind, _, number = name.partition(":") if isinstance(name, str) else ("", "", "")
    if kind not in _DEVICES or len(number) > 3 or not (number or "0").isdecimal() or not (
            index is None or not number and type(index) is int and 0 <= index < 128):
        raise Refused(f"the device {bounded_repr((name, index), 40)}")
    return torch.device(name) if index is None else torch.device(name, index)
