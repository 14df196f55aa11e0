"""Importing mmcv without what it and torch say of themselves whenever they are imported on a machine without a GPU."""

import contextlib
import io
import sys
import warnings

_KNOWN = "No CUDA runtime is found"


def import_mmcv() -> None:
    """Import mmcv; of what is written meanwhile only the known line and the known warning are left out."""
    if "mmcv" in sys.modules:
        return
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), warnings.catch_warnings():
            # mmcv announces its version 2.
            warnings.filterwarnings("ignore", message="On January 1, 2023, MMCV")
            import mmcv  # noqa: F401
    finally:
        sys.stderr.write("".join(line for line in said.getvalue().splitlines(True) if not line.startswith(_KNOWN)))
