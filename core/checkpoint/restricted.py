"""Load a PyTorch checkpoint as data: tensors and plain containers, and never a call of somebody's choosing."""

import pickle
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.checkpoint.plain_pickle import Refused
from core.checkpoint.torch_file import read_torch_file

# What reading a damaged file can raise for reasons that lie in the file.
_DAMAGE = (pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, struct.error, EOFError, ArithmeticError,
           AssertionError, AttributeError, LookupError, MemoryError, NotImplementedError, RuntimeError, TypeError,
           ValueError)


def load_restricted(path: Path) -> Any:
    """Return what ``torch.save`` wrote to ``path``, on the CPU, without running code from the file.

    Raises:
        UserError: The file is absent, is not a checkpoint, is cut off, or holds something other than tensors,
            numpy arrays and plain containers.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError("checkpoint", path, "It must be a file.", "Give the path of a .pth file, or none to train one.")
    try:
        return read_torch_file(path)
    except Refused as error:
        raise UserError("checkpoint", path,
                        f"It holds {error}, but only tensors, numpy arrays and plain containers are read from a "
                        "checkpoint, because loading anything else can run code.",
                        "Save it again with torch.save({'state_dict': model.state_dict(), 'meta': {...}}).") from error
    except _DAMAGE as error:
        raise UserError("checkpoint", path, f"It cannot be read as a PyTorch checkpoint ({_first_line(error)}).",
                        "Check that the download is complete and that the file was written by torch.save.") from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
