"""Load a PyTorch checkpoint as data: tensors and plain containers, and never a call of somebody's choosing."""

import pickle
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from core.errors import UserError

_STORAGES = ("Float", "Double", "Half", "BFloat16", "Byte", "Char", "Short", "Int", "Long", "Bool")
_ALLOWED = {
    "collections": {"OrderedDict", "defaultdict"},
    "torch": {f"{kind}Storage" for kind in _STORAGES} | {"Size", "device"},
    "torch._utils": {"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter"},
    "numpy": {"ndarray", "dtype"},
    "numpy.core.multiarray": {"_reconstruct", "scalar"},
    "_codecs": {"encode"},
}
# mmcv's own containers are read as plain dictionaries: their class would bring behaviour along.
_AS_DICT = {("mmcv.utils.config", "ConfigDict"), ("addict.addict", "Dict")}


class DataDict(dict):
    """Stands in for a dictionary class from outside: keeps its items, has none of its behaviour."""

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.update(state)


class _Refused(Exception):
    """A global that no checkpoint of weights needs."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _AS_DICT:
            return DataDict
        if name in _ALLOWED.get(module, ()):
            return super().find_class(module, name)
        raise _Refused(f"{module}.{name}")


def _load(file: Any, **options: Any) -> Any:
    return _Unpickler(file, **options).load()


# What torch.load asks of its pickle_module.
_RESTRICTED_PICKLE = SimpleNamespace(Unpickler=_Unpickler, load=_load, UnpicklingError=pickle.UnpicklingError,
                                     __name__="restricted")


def load_restricted(path: Path) -> Any:
    """Return what ``torch.save`` wrote to ``path``, on the CPU, without running code from the file.

    Raises:
        UserError: The file is absent, is not a checkpoint, is cut off, or holds something other than tensors,
            numpy arrays and plain containers.
    """
    import torch

    path = Path(path)
    if not path.is_file():
        raise UserError("checkpoint", path, "It must be a file.", "Give the path of a .pth file, or none to train one.")
    try:
        return torch.load(str(path), map_location="cpu", pickle_module=_RESTRICTED_PICKLE)
    except _Refused as error:
        raise UserError("checkpoint", path,
                        f"It holds {error}, but only tensors, numpy arrays and plain containers are read from a "
                        "checkpoint, because loading anything else can run code.",
                        "Save it again with torch.save({'state_dict': model.state_dict(), 'meta': {...}}).") from error
    except (pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError, KeyError, AttributeError, TypeError,
            ValueError, IndexError, UnicodeDecodeError, AssertionError) as error:
        raise UserError("checkpoint", path, f"It cannot be read as a PyTorch checkpoint ({_first_line(error)}).",
                        "Check that the download is complete and that the file was written by torch.save.") from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
