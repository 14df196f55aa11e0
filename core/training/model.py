"""Build detectors from configs and checkpoints, and load weights that really fit."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.suggest import listed
from core.checkpoint.checkpoint import Checkpoint, load_checkpoint
from core.checkpoint.dtypes import check_dtypes
from core.compression.restoring import restore_compression
from core.config.fingerprint import config_from_text
from core.detectors.building import build_detector
from core.training.weights import MOST_LISTED, load_what_fits, without_copies

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
    """Adopt FP32 weights: every entry of the detector must be there in name, shape and kind of number.

    Raises:
        UserError: Some are not; the message lists them.
    """
    result = load_what_fits(detector, checkpoint, source)
    if result.misfits:
        raise UserError("checkpoint", source,
                        f"{len(result.misfits)} of the model's {len(detector.state_dict())} weights are not in it, and "
                        f"a model that is not to be trained needs all of them. Not matching: "
                        f"{listed(result.misfits, most=MOST_LISTED)}.",
                        "Give the checkpoint of this model config and these classes, or the config it was made with. "
                        "To fine-tune from it, name it as load_from.")
    if result.unused:
        logger.warning("entries of %s that this model does not have: %s", source,
                       listed(result.unused, most=MOST_LISTED))


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
                        "Delete it to start from scratch.") from error


def restore_detector(path: Path, classes: tuple[str, ...] = ()) -> RestoredDetector:
    """Rebuild the detector of a checkpoint of ours from that file alone.

    Args:
        path: The checkpoint; it carries its config.
        classes: When given, the class names the checkpoint must have, in order.

    Raises:
        UserError: The file carries no config, or has other classes.
    """
    checkpoint = without_copies(load_checkpoint(path))
    if not checkpoint.config_text:
        raise UserError("checkpoint", path, "It carries no config, so the model cannot be rebuilt from it alone.",
                        "Pass it through the train stage with its config first (--checkpoint).")
    if classes and tuple(checkpoint.classes) != tuple(classes):
        raise UserError("checkpoint classes", ", ".join(checkpoint.classes),
                        f"The data set has {', '.join(classes)}, and both must be equal in names and order.",
                        "Name the classes in the checkpoint's order (parameter classes) or train again.")
    config = config_from_text(checkpoint.config_text)
    detector = build_detector(config)
    detector.CLASSES = checkpoint.classes
    if checkpoint.compression is None:
        load_plain_weights(detector, checkpoint, path)
        return RestoredDetector(detector.eval(), detector, config, None, checkpoint)
    compression = restore_compression(detector, checkpoint.compression.config, checkpoint, path)
    return RestoredDetector(compression.network.eval(), detector, config, compression, checkpoint)
