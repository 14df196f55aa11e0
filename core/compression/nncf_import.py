"""The one door through which NNCF comes in, so that its absence has one message."""

import logging
from typing import Any

from core.errors import UserError

SUPPORTED_VERSION = "2.0.0"


def import_nncf() -> Any:
    """Return the module ``nncf`` with ``nncf.torch`` loaded.

    Raises:
        UserError: NNCF is not installed, or is of another version than the supported one.
    """
    try:
        import nncf
    except ImportError as error:
        raise UserError("nncf_config", "is set", "It needs NNCF, which is not installed.",
                        f"Install it (pip install nncf=={SUPPORTED_VERSION}) or take nncf_config out of the config "
                        "for plain training.") from error
    from nncf.version import __version__

    if __version__ != SUPPORTED_VERSION:
        raise UserError("NNCF", f"version {__version__}", f"This integration is made for {SUPPORTED_VERSION}.",
                        f"Install it: pip install nncf=={SUPPORTED_VERSION}.")
    import nncf.torch  # noqa: F401  registers the PyTorch operators

    logging.getLogger("nncf").setLevel(logging.WARNING)
    return nncf
