"""Collecting errors, so that a user sees all of them at once."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from core.base.errors import UserError

T = TypeVar("T")


class SeveralFaults(UserError):
    """Several things a user can correct, one a line."""

    def __init__(self, faults: Iterable[UserError]) -> None:
        self.faults = tuple(faults)
        super().__init__(f"{len(self.faults)} faults", ", ".join(fault.thing for fault in self.faults),
                         "\n".join(map(str, self.faults)), "")

    def __str__(self) -> str:
        lines = [f"{number}. {fault}" for number, fault in enumerate(self.faults, start=1)]
        return "\n".join([f"{len(self.faults)} faults.", *lines])


class Faults:
    """Collects faults."""

    def __init__(self) -> None:
        self._found: dict[str, UserError] = {}

    def of(self, check: Callable[[], T]) -> T | None:
        """Return what ``check`` returns, None where it fails, which is noted."""
        try:
            return check()
        except UserError as error:
            self.add(*error.faults if isinstance(error, SeveralFaults) else (error,))
            return None

    def add(self, *errors: UserError) -> None:
        """Note faults; each is noted once."""
        self._found.update((str(error), error) for error in errors)

    def found(self) -> list[UserError]:
        """Return what was noted."""
        return list(self._found.values())

    def stop(self) -> None:
        """Raise the one fault there is, or all in one error; nothing where none was noted."""
        found = self.found()
        if found:
            raise found[0] if len(found) == 1 else SeveralFaults(found)
