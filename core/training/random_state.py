"""The random generators of this process: kept, restored, and set aside while one sample is made."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from core.base.errors import UserError


def random_state() -> dict[str, Any]:
    """Return the state of Python's, NumPy's and torch's generators as plain data, tensors and arrays."""
    import random

    import numpy as np
    import torch

    state = {"python": random.getstate(), "numpy": np.random.get_state(), "torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_random_state(state: Mapping[str, Any]) -> None:
    """Put every generator back where :func:`random_state` found it.

    Raises:
        UserError: ``state`` is no such state.
    """
    import random

    import numpy as np
    import torch

    try:
        random.setstate(state["python"])
        np.random.set_state(state["numpy"])
        torch.set_rng_state(state["torch"])
        if torch.cuda.is_available() and "cuda" in state:
            torch.cuda.set_rng_state_all(state["cuda"])
    except (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise UserError("training state", "its random generators", f"They cannot be restored ({error}).",
                        "Delete this state; an older one, or the beginning, is taken then.") from error


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run a block on generators that begin at ``seed`` (32 bits), and leave the process's own untouched."""
    import random

    import numpy as np
    import torch

    kept = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    # Not torch.manual_seed, which would move the generators of every GPU, too.
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])
        torch.set_rng_state(kept[2])
