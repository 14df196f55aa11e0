"""Whether this machine's GPUs can run what is installed: torch knows no GPU family made after it."""

import logging
import os
import re
from collections.abc import Iterable

from core.base.errors import UserError

MOST_GPUS = 8
# ``cpu`` or ``cuda`` in our images.
VARIANT_VARIABLE = "MMDET_COMPRESS_VARIANT"
# What mmcv's operators and NNCF's extensions are compiled for in the CUDA image, e.g. ``7.0;7.5;8.0;8.6;9.0``.
ARCHITECTURES_VARIABLE = "MMDET_COMPRESS_CUDA_ARCHITECTURES"

Capability = tuple[int, int]
logger = logging.getLogger(__name__)


def check_count(count: int) -> None:
    """Raise UserError where one node does not have so many GPUs."""
    if not 0 <= count <= MOST_GPUS:
        raise UserError("parameter gpus", count, f"A stage runs in one pod, so it can have 0 to {MOST_GPUS} GPUs.",
                        "Choose a number in this range; 0 works on the CPU.")


def require_gpus(count: int, thing: str = "GPU") -> None:
    """Check that ``count`` GPUs are there, and that torch and the compiled operators have code for each.

    Raises:
        UserError: One is missing, or is of a kind that cannot be used; says which can.
    """
    if os.environ.get(VARIANT_VARIABLE) == "cpu":
        raise UserError(thing, "asked for in the image's CPU variant", "It has no code for GPUs.",
                        "Use the CUDA variant (make image-cuda, --train-image), or gpus=0.")
    import torch

    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found < count:
        raise UserError(thing, f"{found} of {count} found by torch {torch.__version__}", "They must be there, with a "
                        "driver for its CUDA.", "Give the container GPUs and see that 'nvidia-smi' lists them, or ask "
                        "for fewer with the parameter gpus.")
    from mmcv import ops

    if ops.get_compiling_cuda_version() == "not available":
        raise UserError(thing, "asked for where mmcv-full was compiled without CUDA", "Its operators work on the CPU "
                        "alone.", "Use the CUDA variant of the train image (make image-cuda), compile mmcv-full with "
                        "FORCE_CUDA=1 and nvcc 12, or work with gpus=0.")
    for number in range(count):
        require_usable(f"{thing} ({torch.cuda.get_device_name(number)})", torch.cuda.get_device_capability(number),
                       torch.cuda.get_arch_list(), torch.__version__)


def require_usable(thing: str, capability: Capability, architectures: Iterable[str], version: str) -> None:
    """Check that a GPU of this compute capability runs code of these architectures.

    Args:
        thing: The GPU, for messages.
        capability: Its compute capability.
        architectures: As ``torch.cuda.get_arch_list`` gives them: ``sm_86`` is machine code, ``compute_86`` PTX.
        version: torch's.

    Raises:
        UserError: There is no code for it.
    """
    known = list(architectures)
    compiled = [f"sm_{item.replace('.', '')}" for item in re.split("[; ]+", os.environ.get(ARCHITECTURES_VARIABLE, ""))
                if item]
    for whose, codes in ((f"torch {version}", known), ("mmcv-full and NNCF", compiled or known)):
        if not runs(capability, codes):
            shown = ", ".join(_number(_parts(code)[1]) for code in codes)
            raise UserError(thing, f"compute capability {_number(capability)}", f"{whose} here has code for {shown}, "
                            "which runs on GPUs of the same first number and an equal or higher second one.",
                            "Use such a GPU, e.g. V100 (7.0), T4 (7.5), A100 (8.0), A10 (8.6), L4 (8.9) or H100 (9.0). "
                            "Or work on the CPU: gpus=0.")
    if f"sm_{capability[0]}{capability[1]}" not in known:
        logger.warning("%s, compute capability %s, is newer than torch %s and runs the code made for an older GPU of "
                       "its family", thing, _number(capability), version)


def runs(capability: Capability, architectures: Iterable[str]) -> bool:
    """Return whether any of the architectures' code runs on a GPU of this compute capability.

    Machine code runs within its major version from its minor one on, PTX on everything newer (NVIDIA's CUDA C++
    Programming Guide, Binary and PTX Compatibility).
    """
    return any(number <= capability and (kind == "compute" or number[0] == capability[0])
               for kind, number in map(_parts, architectures))


def _parts(name: str) -> tuple[str, Capability]:
    kind, _, digits = name.partition("_")
    return kind, (int(digits[:-1]), int(digits[-1]))


def _number(capability: Capability) -> str:
    return ".".join(map(str, capability))
