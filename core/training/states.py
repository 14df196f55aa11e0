"""Where interrupted training continues from: states in storage, under a key of all that shapes the result."""

import contextlib
import json
import logging
import os
import re
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from core.base.digest import sha256_file
from core.base.errors import UserError
from core.checkpoint.checkpoint import Checkpoint, load_checkpoint, weights_digest
from core.checkpoint.versions import versions
from core.config.adapt import nncf_config_of
from core.config.fingerprint import config_digest, json_digest
from core.detectors.named_files import file_digests
from core.storage.store import ObjectNotFound, open_store
from core.training.progress import Position
from core.training.settings import check_minutes
from core.training.snapshot import portable

if TYPE_CHECKING:
    from core.data.dataset import Dataset

# The digest of a stage's code, where the runner knows it (pipelines/local.py).
CODE_VARIABLE = "MMDET_COMPRESS_CODE"
DEFAULT_MINUTES = 10.0
KEPT_STATES = 3
IDENTITY = "training.json"
_NAME = re.compile(r"(\d{5})-(\d{8})-([0-9a-f]{64})\.pth")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StateSettings:
    """Where and how often the training state is stored.

    Attributes:
        location: A folder or an ``s3://bucket/prefix``.
        minutes: Time between two states within an epoch; one is stored after each epoch anyway.
        kept: How many states of one training stay.
    """

    location: str
    minutes: float = DEFAULT_MINUTES
    kept: int = KEPT_STATES

    @classmethod
    def of(cls, location: str, minutes: float) -> Optional["StateSettings"]:
        """Return the settings, None for an empty location, which stores nothing; errors as :func:`check_minutes`."""
        check_minutes(minutes)
        return cls(location, minutes) if location else None


def check_state(settings: StateSettings | None) -> None:
    """Raise UserError where states could not be kept there: the location is malformed or cannot be reached."""
    if settings is not None:
        open_store(settings.location, "training_state").find(IDENTITY)


def training_identity(config: Any, dataset: "Dataset", parent: Checkpoint | None, seed: int) -> dict[str, Any]:
    """Return all that shapes a training's result, as digests: an interrupted one is resumed where all are equal.

    Args:
        config: The resolved config; this machine's locations in it do not count.
        parent: The checkpoint training starts from; its weights count, not its file.
    """
    from mmcv.runner import get_dist_info

    start = None
    if parent is not None:
        done = parent.training or {}
        start = [weights_digest(parent.state_dict), done.get("epoch", 0), done.get("iter", 0)]
    # Such as a backbone's weights; the start is known by its weights.
    files = file_digests({key: value for key, value in config.items() if key not in ("load_from", "resume_from")})
    return {
        "config": config_digest(portable(config)), "nncf_config": json_digest(nncf_config_of(config) or {}),
        "data": dataset.digest, "classes": list(dataset.classes), "parent": start, "seed": seed,
        "files": sorted(files.values()),
        "processes": get_dist_info()[1], "code": os.environ.get(CODE_VARIABLE, ""),
        # NNCF's is left out: it is known only once imported, and only one version is supported.
        "versions": {name: version for name, version in versions().items() if name != "nncf"}}


class TrainingStates:
    """The stored states of one training.

    A state's name has its place in training and the SHA-256 of its content, so that a newer one sorts behind an older
    one and a damaged one is known. Beside them ``training.json`` tells whose states they are.

    Args:
        identity: What :func:`training_identity` says; its digest is the folder's name.

    Attributes:
        place: Where they lie, for messages.
        seconds: Time between two states within an epoch.
    """

    def __init__(self, settings: StateSettings, identity: dict[str, Any]) -> None:
        self._store = open_store(f"{settings.location.rstrip('/')}/{json_digest(identity)}", "training_state")
        # Written first, so that a place that cannot be written is known before hours of training.
        self._store.write(IDENTITY, json.dumps(identity, indent=2).encode())
        self._kept = settings.kept
        self.place, self.seconds = self._store.location, settings.minutes * 60
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="training-state")
        self._pending: Future[None] | None = None

    def newest(self, folder: Path) -> Checkpoint | None:
        """Return the newest state that is whole, None where there is none; ``folder`` is for the download.

        Raises:
            UserError: The storage cannot be read: starting from scratch is not what was asked for.
        """
        file = Path(folder) / "resumed.pth"
        for name in reversed(self._names()):
            with contextlib.suppress(ObjectNotFound):
                self._store.download(name, file)
                place = "training state", self._store.uri(name)
                try:
                    if sha256_file(file) != _NAME.fullmatch(name).group(3):
                        raise UserError(*place, "Its content is not what its name says.", "")
                    state = load_checkpoint(file)
                    if "progress" not in (state.training or {}):
                        raise UserError(*place, "It holds no progress.", "")
                    return state
                except UserError as error:
                    logger.warning("a damaged training state is skipped: %s", error)
                finally:
                    file.unlink()
        return None

    def store(self, file: Path, position: Position, digest: str) -> None:
        """Begin to store ``file``, which must stay as it is until :meth:`wait` returns."""
        name = f"{position.epoch:05d}-{position.inner_iter:08d}-{digest}.pth"

        def upload() -> None:
            self._store.upload(file, name, digest)
            self._drop(self._kept)

        self._pending = self._thread.submit(upload)

    def wait(self) -> bool:
        """Wait for the last :meth:`store`; return whether its state is stored.

        Training continues where it is not: a warning says why.
        """
        if self._pending is None:
            return True
        try:
            self._pending.result()
        except (UserError, OSError) as error:
            logger.warning("the training state could not be stored in %s, training continues: %s", self.place, error)
            return False
        finally:
            self._pending = None
        return True

    def finish(self) -> None:
        """Keep the last state only: training is complete."""
        self._drop(1)

    def _drop(self, kept: int) -> None:
        for old in self._names()[:-kept]:
            self._store.delete(old)

    def _names(self) -> list[str]:
        return sorted(item.name for item in self._store.list() if _NAME.fullmatch(item.name))
