"""The container images the stages run in, named in this one place."""

import os
from typing import Dict

REGISTRY = "mmdet-compress"
TAG = "0.1.0"
TRAIN_VARIABLE = "MMDET_COMPRESS_TRAIN_IMAGE"
OPENVINO_VARIABLE = "MMDET_COMPRESS_OPENVINO_IMAGE"

TRAIN = os.environ.get(TRAIN_VARIABLE) or f"{REGISTRY}/train:{TAG}"
OPENVINO = os.environ.get(OPENVINO_VARIABLE) or f"{REGISTRY}/openvino:{TAG}"


def environments() -> Dict[str, str]:
    """Return the name of the environment, as in ``images/`` and ``.envs/``, that each image stands for."""
    return {TRAIN: "train", OPENVINO: "openvino"}
