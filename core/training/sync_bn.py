"""SyncBN where nothing is synchronised."""

import logging
from typing import Any

from core.detectors.synchronised import make_plain
from core.training.device import device
from core.training.distributed import ranks

logger = logging.getLogger(__name__)


def replace_sync_bn(config: Any) -> None:
    """Make SyncBN plain batch norm where it has nothing to synchronise, or NNCF would not know it.

    It stays where ranks train a plain model on GPUs; entries and weights have the same names.
    """
    if config.get("nncf_config") is None and ranks() > 1 and device() != "cpu":
        return
    replaced = make_plain(config.model)
    if replaced:
        logger.warning("SyncBN becomes BN in %d places: one process, a CPU or NNCF has no use for it", replaced)
