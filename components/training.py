"""Parameters that the stages which train or evaluate share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.stage import Presence, parameter

if TYPE_CHECKING:
    from core.data.dataset import Dataset
    from core.training.states import StateSettings


@dataclass(frozen=True, kw_only=True)
class Trust:
    """Trust in a config."""

    trust_config: bool = parameter("Whether a config that is more than data may run as Python.", False)


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """The state of training that is kept, so that the same command resumes it."""

    training_state: str = parameter(
        "Where the state of training is kept, a folder or s3://bucket/prefix, so that an interrupted one is resumed; "
        "empty keeps none.", "", metavar="LOCATION")
    checkpoint_minutes: float = parameter("Minutes between two states within an epoch.", 10.0)

    def settings(self) -> "StateSettings | None":
        """Return where and how often states are stored, None for nowhere; errors as :meth:`check`."""
        from core.training.states import StateSettings

        return StateSettings.of(self.training_state, self.checkpoint_minutes)

    def check(self) -> None:
        """Raise UserError where the minutes are not a positive number."""
        from core.training.settings import check_minutes

        check_minutes(self.checkpoint_minutes)

    def check_reach(self) -> None:
        """Raise UserError where states could not be kept there."""
        from core.training.states import check_state

        check_state(self.settings())


@dataclass(frozen=True, kw_only=True)
class Gpus:
    """The GPUs of a stage."""

    gpus: int = parameter("GPUs to work on, a process for each, at most 8; 0 works on the CPU.", 0)

    def check(self) -> None:
        """Raise UserError where one machine does not have so many."""
        from core.training.gpu import check_count

        check_count(self.gpus)


@dataclass(frozen=True, kw_only=True)
class Ranks(Gpus):
    """The processes that a stage works in."""

    cpu_processes: int = parameter("Processes on the CPU, each with batches of its own.", 1,
                                   presence=Presence.BY_HAND)


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a stage trains."""

    state: TrainingState
    trust: Trust
    ranks: Ranks

    def open(self, config: Mapping[str, Any], data: Mapping[str, Any]) -> "tuple[Any, Dataset]":
        """Return a resolved config and the data set; the first rank fetches for all."""
        from core.config.reference import ConfigRef, open_config
        from core.data.dataset import open_dataset
        from core.data.reference import DataRef
        from core.detectors.named_files import require_same_files
        from core.training.distributed import first_rank_first

        with first_rank_first():
            dataset = open_dataset(DataRef.from_json(data))
        ref = ConfigRef.from_json(config)
        opened = open_config(ref, self.trust.trust_config)
        require_same_files(ref, opened)
        return opened, dataset
