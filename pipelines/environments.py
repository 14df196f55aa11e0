"""The environments of this machine that stand in for the images."""

import os
from collections.abc import Mapping
from pathlib import Path

from components import images
from core.base.errors import UserError

ENVIRONMENTS_VARIABLE = "MMDET_COMPRESS_ENVS"


def environment_folder(name: str, root: Path) -> Path:
    """Return the folder of the environment ``name``: in ``$MMDET_COMPRESS_ENVS``, or in the project's ``.envs``."""
    return Path(os.environ.get(ENVIRONMENTS_VARIABLE) or root / ".envs").absolute() / name


def environment_python(image: str, root: Path) -> Path:
    """Return the Python of the environment that ``image`` stands for.

    Raises:
        UserError: The image is not one of ours, or its environment is not set up.
    """
    name = images.environments().get(image)
    if name is None:
        raise UserError("image", image, "Only the images named in components/images.py stand for an environment.",
                        "Use --runner docker for other images.")
    folder = environment_folder(name, root)
    python = folder / "bin" / "python"
    if not os.access(python, os.X_OK):
        raise UserError("environment", folder, f"It is not set up, and the {name} stages run in it.",
                        "Run 'make setup'.")
    return python


def child_environment(python: Path, root: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a stage's process, which runs ``python`` on the code in ``root``."""
    path = os.pathsep.join([str(python.parent), *filter(None, [os.environ.get("PATH")])])
    # Waiting OpenMP threads that spin slow everything several times where cores are shared; and every import of mmcv
    # 1.7 announces version 2.
    quiet = {"OMP_WAIT_POLICY": "PASSIVE", "PYTHONWARNINGS": "ignore:On January 1:UserWarning"}
    return {**quiet, **os.environ, **variables, "PATH": path, "PYTHONPATH": str(root),
            "PYTHONUNBUFFERED": "1"}
