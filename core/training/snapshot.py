"""The present state of a training as a checkpoint."""

import copy
from typing import TYPE_CHECKING, Any, Optional

from core.checkpoint.checkpoint import Checkpoint
from core.checkpoint.versions import versions
from core.config.fingerprint import config_to_text
from core.config.keys import WEIGHTS_KEY

if TYPE_CHECKING:
    from core.compression.wrap import CompressedDetector
    from core.data.dataset import Dataset


def snapshot(config: Any, dataset: "Dataset", network: Any, compression: Optional["CompressedDetector"],
             runner: Any | None, progress: dict[str, Any] | None = None) -> Checkpoint:
    """Return the present state of training as a checkpoint; with ``progress`` it can be resumed to the bit."""
    training = None
    if runner is not None:
        training = {"optimizer": runner.optimizer.state_dict(), "epoch": runner.epoch, "iter": runner.iter,
                    "hook_msgs": runner.messages}
        if progress is not None:
            position = progress["position"]
            training.update(epoch=position["epoch"], iter=position["iteration"], progress=progress)
    return Checkpoint(state_dict=network.state_dict(), classes=tuple(dataset.classes),
                      config_text=config_to_text(portable(config)),
                      compression=compression.record() if compression else None, versions=versions(), training=training)


def portable(config: Any) -> Any:
    """Return the config without what belongs to this run's machine: folders, data files and source checkpoints."""
    left = copy.deepcopy(config)
    for key in ("work_dir", "load_from", "resume_from", WEIGHTS_KEY):
        left.pop(key, None)
    for split in ("train", "val", "test"):
        _drop_locations(left.data.get(split))
    return left


def _drop_locations(node: Any) -> None:
    if isinstance(node, (list, tuple)):
        for item in node:
            _drop_locations(item)
    elif isinstance(node, dict):
        node.pop("ann_file", None)
        node.pop("img_prefix", None)
        _drop_locations(node.get("dataset"))
        _drop_locations(node.get("datasets"))
