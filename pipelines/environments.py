"""The Python of this machine that stands in for the images."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from components import images
from core.base.errors import UserError


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
    # OpenMP threads that wait spinning slow everything several times where cores are shared, and threads that sleep at
    # once cost a training 40 % where they are not: a short spin costs neither (docs/benchmarks.md). And every import of
    # mmcv 1.7 announces version 2.
    quiet = {"GOMP_SPINCOUNT": "1000", "PYTHONWARNINGS": "ignore:On January 1:UserWarning"}
    return {**quiet, **os.environ, **variables, "PATH": path, "PYTHONPATH": str(root),
            "PYTHONUNBUFFERED": "1"}
