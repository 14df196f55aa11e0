"""Load a PyTorch checkpoint as data: tensors and plain containers, and never a call of somebody's choosing."""

import os
import pickle
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.foreign_file import CUT_ZIP, kind_of_file, open_foreign
from core.base.text import shown
from core.checkpoint.plain_pickle import Refused

MOST_BYTES = 8 << 30
"""The largest detectors of MMDetection take a quarter of it, with their optimizer."""
# What reading a damaged file can raise for reasons that lie in the file.
_DAMAGE = (pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, struct.error, EOFError, ArithmeticError,
           AssertionError, AttributeError, LookupError, MemoryError, NotImplementedError, RuntimeError, TypeError,
           ValueError)
_SAVE = "Save it again with torch.save({'state_dict': model.state_dict(), 'meta': {...}})."


def load_restricted(path: Path) -> Any:
    """Return what ``torch.save`` wrote to ``path``, on the CPU, without running code from the file.

    Raises:
        UserError: The file is absent, is not a checkpoint, is cut off, or holds something other than tensors,
            numpy arrays and plain containers; names what it is, where that is known.
    """
    from core.checkpoint.torch_file import ZIP_BEGINNING, read_torch_file

    path = Path(path)
    with open_foreign(path, "checkpoint", MOST_BYTES) as file:
        size = os.fstat(file.fileno()).st_size
        kind = kind_of_file(file)
        file.seek(0)
        if kind == CUT_ZIP or file.read(len(ZIP_BEGINNING)) != ZIP_BEGINNING and kind != "a pickle":
            raise UserError("checkpoint", path, f"It is {kind or 'a file of an unknown kind'}, and a checkpoint is "
                            "what torch.save writes.", "Download or copy the checkpoint again, or give another one.")
        file.seek(0)
        try:
            return read_torch_file(file, size)
        except Refused as error:
            raise UserError("checkpoint", path,
                            f"It holds {shown(error)}, but only tensors, numpy arrays, plain containers, dates and "
                            "times are read from a checkpoint, because loading anything else can run code.",
                            _SAVE) from error
        except EOFError as error:
            raise UserError("checkpoint", path, f"It is cut off after {size:,} bytes.",
                            "Check that the download or the copy is complete.") from error
        except _DAMAGE as error:
            raise UserError("checkpoint", path, f"It cannot be read as a PyTorch checkpoint ({shown(error)}).",
                            "Check that the download is complete and that the file was written by torch.save."
                            ) from error
