"""The versions of the libraries that shape a checkpoint."""

import sys


def versions() -> dict[str, str]:
    """Return the versions of the libraries that shape a checkpoint."""
    import mmcv
    import mmdet
    import torch

    found = {"torch": str(torch.__version__), "mmcv": mmcv.__version__, "mmdet": mmdet.__version__}
    nncf_version = sys.modules.get("nncf.version")
    if nncf_version is not None:
        found["nncf"] = nncf_version.__version__
    return found
