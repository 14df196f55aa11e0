"""The random generators of this process, kept and restored."""

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from core.base.errors import UserError


def random_state(devices: bool = True) -> dict[str, Any]:
    """Return the state of Python's, NumPy's and torch's generators as plain data, tensors and arrays.

    Those of the GPUs belong to it where ``devices`` is set: a loader's worker must not touch them.
    """
    state = {"python": random.getstate(), "numpy": np.random.get_state(), "torch": torch.get_rng_state()}
    if devices and torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_random_state(state: Mapping[str, Any]) -> None:
    """Put every generator back where :func:`random_state` found it; raise UserError where ``state`` is none of its."""
    try:
        random.setstate(state["python"])
        np.random.set_state(state["numpy"])
        torch.set_rng_state(state["torch"])
        if "cuda" in state and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["cuda"])
    except (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise UserError("training state", "its random generators", f"They cannot be restored ({error}).",
                        "Delete this state; an older one, or the beginning, is taken then.") from error
