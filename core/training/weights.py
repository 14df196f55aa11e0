"""Fine-tuning's start: a checkpoint's weights go where they fit, as MMDetection loads them."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from core.base.errors import UserError
from core.base.suggest import listed
from core.checkpoint.checkpoint import Checkpoint
from core.checkpoint.dtypes import check_dtypes

EMA_PREFIX = "ema_"
# mmcv's loader does not count it as missing (mmcv/runner/checkpoint.py, load_state_dict): old files lack it.
_UNCOUNTED = "num_batches_tracked"
MOST_LISTED = 40

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedWeights:
    """Which of a model's entries a checkpoint has set.

    Attributes:
        loaded: How many of them.
        misfits: The others, each with the reason; they are as they were before.
        unused: The checkpoint's entries that the model does not have.
    """

    loaded: int
    misfits: tuple[str, ...]
    unused: tuple[str, ...]


def load_what_fits(detector: Any, checkpoint: Checkpoint, source: object, copies: bool = False) -> LoadedWeights:
    """Load the entries that fit ``detector`` in name and shape; the others stay as they are.

    Old names that MMDetection's modules still know are translated by them, as in ``mmcv.runner.load_checkpoint``.

    Args:
        source: Where it lies, for messages.
        copies: Whether the copies of EMA hooks are loaded, too.

    Raises:
        UserError: An entry that fits is of another kind of number.
    """
    own: Mapping[str, Any] = detector.state_dict()
    given = dict(checkpoint.state_dict) if copies else without_ema(checkpoint.state_dict)
    # torch takes a counter of shape (1,) for one of shape ().
    odd = {name for name, value in given.items() if name in own and value.shape != own[name].shape
           and not (own[name].dim() == 0 and value.numel() == 1)}
    fitting = {name: value for name, value in given.items() if name not in odd}
    check_dtypes({name: value for name, value in fitting.items() if name in own}, own, source)
    try:
        found = detector.load_state_dict(fitting, strict=False)
    except RuntimeError as error:
        raise UserError("checkpoint", source, "An entry of an old name does not fit: "
                        + " ".join(line.strip() for line in str(error).splitlines()[1:4]),
                        "Give a checkpoint of this detector.") from error
    missing = [name for name in found.missing_keys if name not in odd and _UNCOUNTED not in name]
    misfits = [f"{name} (shape {tuple(given[name].shape)}, the model's is {tuple(own[name].shape)})" for name in own
               if name in odd] + [f"{name} (missing)" for name in missing]
    # Batch norm makes up the counters that a file lacks.
    loaded = [name for name in own if name not in odd.union(missing) and (_UNCOUNTED not in name or name in given)]
    return LoadedWeights(len(loaded), tuple(misfits), tuple(found.unexpected_keys))


def fine_tune_from(detector: Any, checkpoint: Checkpoint, source: object) -> None:
    """Load what fits into an initialised ``detector`` and log what does not.

    Raises:
        UserError: Nothing fits.
    """
    result = load_what_fits(detector, checkpoint, source)
    if not result.loaded:
        raise UserError("load_from", source, f"None of its {len(checkpoint.state_dict)} entries fits this model in "
                        f"name and shape; the model's first are {', '.join(list(detector.state_dict())[:3])}.",
                        "Give a checkpoint of this detector or of a part of it.")
    logger.info("%d of the model's %d weights are loaded from %s", result.loaded, len(detector.state_dict()), source)
    if result.misfits:
        logger.warning("left as they were initialised, as a head for other classes should be: %s",
                       listed(result.misfits, most=MOST_LISTED))
    if result.unused:
        logger.warning("entries of %s that this model does not have: %s", source,
                       listed(result.unused, most=MOST_LISTED))


def without_ema(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``state_dict`` without the copies that MMDetection's EMA hooks keep beside the weights.

    A saved model's own entries are the averaged ones; the copies hold what training continues with
    (mmdet/core/hook/ema.py). They are named ``ema_`` and the entry's name with underscores for dots.
    """
    copies = {EMA_PREFIX + name.replace(".", "_") for name in state_dict}
    return {name: value for name, value in state_dict.items() if name not in copies}


def without_copies(checkpoint: Checkpoint) -> Checkpoint:
    """Return ``checkpoint`` without the copies that EMA hooks keep beside its weights."""
    return replace(checkpoint, state_dict=without_ema(checkpoint.state_dict))
