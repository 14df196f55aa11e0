"""Build detectors from configs and checkpoints, and load weights that really fit."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.checkpoint.checkpoint import Checkpoint, load_checkpoint
from core.checkpoint.dtypes import check_dtypes
from core.detectors.building import build_detector

MIN_MATCHED_SHARE = 0.99
_LISTED_KEYS = 10

logger = logging.getLogger(__name__)


@dataclass
class RestoredDetector:
    """A detector as a checkpoint describes it, ready to be tested or exported.

    Attributes:
        network: The module to call: the detector itself, or the NNCFNetwork around it.
        detector: The MMDetection detector inside.
        config: The resolved MMDetection config (mmcv.Config).
        compression: The CompressedDetector, or None for a plain one.
        checkpoint: What the file held.
    """

    network: Any
    detector: Any
    config: Any
    compression: Any | None
    checkpoint: Checkpoint


def load_plain_weights(detector: Any, checkpoint: Checkpoint, source: Path) -> None:
    """Load FP32 weights; at least 99 % of the detector's keys must match in name and shape, those in kind of number.

    Raises:
        UserError: Too few keys match; the message lists the first of them. Or a tensor is of another kind of number.
    """
    own: Mapping[str, Any] = detector.state_dict()
    matching: dict[str, Any] = {}
    misfits: list[str] = []
    for name, value in own.items():
        given = checkpoint.state_dict.get(name)
        if given is None:
            misfits.append(f"{name} (missing)")
        elif given.shape != value.shape:
            misfits.append(f"{name} (shape {tuple(given.shape)}, the model's is {tuple(value.shape)})")
        else:
            matching[name] = given
    share = len(matching) / len(own)
    if share < MIN_MATCHED_SHARE:
        listed = ", ".join(misfits[:_LISTED_KEYS]) + (", ..." if len(misfits) > _LISTED_KEYS else "")
        raise UserError("checkpoint", source,
                        f"Only {len(matching)} of the model's {len(own)} keys ({share:.1%}) match it, at least "
                        f"{MIN_MATCHED_SHARE:.0%} must. Not matching: {listed}.",
                        "Give the checkpoint of this model config and these classes, or the config it was made with.")
    check_dtypes(matching, own, source)
    detector.load_state_dict(matching, strict=False)
    for misfit in misfits:
        logger.warning("left at its initial value: %s", misfit)


def load_all_weights(network: Any, checkpoint: Checkpoint, source: object) -> None:
    """Load the weights of a training state: every key must match in name, shape and kind of number.

    Raises:
        UserError: One does not.
    """
    check_dtypes(checkpoint.state_dict, network.state_dict(), source)
    try:
        network.load_state_dict(checkpoint.state_dict)
    except RuntimeError as error:
        raise UserError("checkpoint", source, "Its weights must be those of this model: "
                        + " ".join(line.strip() for line in str(error).splitlines()[1:6]),
                        "Delete it to begin anew.") from error


def restore_detector(path: Path, classes: tuple[str, ...] = ()) -> RestoredDetector:
    """Rebuild the detector of a checkpoint of ours from that file alone.

    Args:
        path: The checkpoint; it carries its config.
        classes: When given, the class names the checkpoint must have, in order.

    Raises:
        UserError: The file carries no config, or has other classes.
    """
    from core.config.fingerprint import config_from_text

    checkpoint = load_checkpoint(path)
    if not checkpoint.config_text:
        raise UserError("checkpoint", path, "It carries no config, so the model cannot be rebuilt from it alone.",
                        "Pass it through the train stage with its config first (--checkpoint).")
    if classes and tuple(checkpoint.classes) != tuple(classes):
        raise UserError("checkpoint classes", ", ".join(checkpoint.classes),
                        f"The data set has {', '.join(classes)}, and both must be equal in names and order.",
                        "Name the classes in the checkpoint's order (parameter classes) or train anew.")
    config = config_from_text(checkpoint.config_text)
    detector = build_detector(config)
    detector.CLASSES = checkpoint.classes
    if checkpoint.compression is None:
        load_plain_weights(detector, checkpoint, path)
        return RestoredDetector(detector.eval(), detector, config, None, checkpoint)
    from core.compression.restoring import restore_compression

    compression = restore_compression(detector, checkpoint.compression.config, checkpoint, path)
    return RestoredDetector(compression.network.eval(), detector, config, compression, checkpoint)
