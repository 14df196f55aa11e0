"""The Python of this machine that stands in for the images."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from components import images
from core.base.errors import UserError

STAGE_SETTINGS = {"GOMP_SPINCOUNT": "3000", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
"""What the libraries below PyTorch read when they are loaded (docs/benchmarks.md): OpenMP's threads spin shortly before
they sleep, and glibc asks for huge pages, without which every step of a training takes thousands of page faults. The
Dockerfiles say the same."""


def environment_python(image: str) -> Path:
    """Return the Python that runs the stages of ``image``: the one that runs this, which `make setup` makes for all.

    Raises:
        UserError: The image is not one of ours.
    """
    if image not in (images.TRAIN, images.OPENVINO):
        raise UserError("image", image, "Only the images named in components/images.py stand for this environment.",
                        "Use --runner docker for other images.")
    return Path(sys.executable)


def child_environment(python: Path, root: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a stage's process, which runs ``python`` on the code in ``root``."""
    path = os.pathsep.join([str(python.parent), *filter(None, [os.environ.get("PATH")])])
    # Every import of mmcv 1.7 announces version 2.
    quiet = {"PYTHONWARNINGS": "ignore:On January 1:UserWarning"}
    return {**STAGE_SETTINGS, **quiet, **os.environ, **variables, "PATH": path, "PYTHONPATH": str(root),
            "PYTHONUNBUFFERED": "1"}
