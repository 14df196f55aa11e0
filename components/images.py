"""The container images the stages run in, named in this one place.

An image is named by its environment variable, else by the digest that ``make push`` wrote to ``images/digests.json``,
else by registry and tag. The command line of ``pipelines/compress.py`` goes before all of them.
"""

import os
from pathlib import Path

from core.base.json_file import read_json

REGISTRY = "mmdet-compress"
TAG = "0.1.0"
TRAIN_VARIABLE = "MMDET_COMPRESS_TRAIN_IMAGE"
OPENVINO_VARIABLE = "MMDET_COMPRESS_OPENVINO_IMAGE"
DIGESTS = Path(__file__).resolve().parents[1] / "images" / "digests.json"


def tagged(name: str, registry: str = REGISTRY) -> str:
    """Return the name by tag of the image ``train`` or ``openvino``, as ``make images`` calls it."""
    return f"{registry}/{name}:{TAG}"


def _chosen(name: str, variable: str) -> str:
    released: dict[str, str] = (read_json(DIGESTS, "image digests", "Run `make push` again.")
                                if DIGESTS.is_file() else {})
    return os.environ.get(variable) or released.get(name) or tagged(name)


TRAIN = _chosen("train", TRAIN_VARIABLE)
OPENVINO = _chosen("openvino", OPENVINO_VARIABLE)


def use(train: str = "", openvino: str = "") -> None:
    """Name other images; to be called before the components are imported, which look here once."""
    global TRAIN, OPENVINO
    TRAIN, OPENVINO = train or TRAIN, openvino or OPENVINO


def environments() -> dict[str, str]:
    """Return the name of the environment, as in ``images/``, that each image stands for."""
    return {TRAIN: "train", OPENVINO: "openvino"}
