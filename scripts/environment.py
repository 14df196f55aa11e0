"""The project's Python environment and the locks that define it."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER_VARIABLE = "MMDET_COMPRESS_VENV"
PYTHON = "3.11"
IMAGES = ROOT / "images"
# Holds what the builds of the others need.
BUILD_LOCK = IMAGES / "train" / "requirements-build.txt"
NNCF_LOCK = IMAGES / "train" / "requirements-nncf.txt"
LOCKS = (
    IMAGES / "train" / "requirements.txt",
    NNCF_LOCK,
    IMAGES / "openvino" / "requirements.txt",
    IMAGES / "development" / "requirements-authoring.txt",
    IMAGES / "development" / "requirements-test.txt",
)
# Compiled in this order, each held to the versions of those before it: one resolution for both images and a laptop.
RESOLUTION = (BUILD_LOCK, *LOCKS[:2], IMAGES / "openvino" / "requirements-build.txt", *LOCKS[2:])
OVERRIDES = IMAGES / "overrides.txt"
# Modules whose import proves the installation.
IMPORTS = ("cv2", "mmcv.ops", "mmdet.apis", "openvino", "kfp")
# What opencv-python loads, and Debian's packages of it, which a server without a desktop lacks.
LIBRARIES = {"libGL.so.1": "libgl1", "libgthread-2.0.so.0": "libglib2.0-0"}
# Room that installing takes, in 1e9 bytes, temporary files included.
GIGABYTES = 14
# CUDA's libraries, which the torch of a wheel index of one's own brings or does not need.
CUDA_PACKAGES = ("nvidia-", "triton")
