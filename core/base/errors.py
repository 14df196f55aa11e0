"""The exceptions that end a stage: a failure a user can cause, and the end that the machine asks for."""

from core.base.text import printable, shown

_MOST_THING, _MOST_VALUE, _MOST_RULE = 1_000, 2_000, 16_000


class UserError(Exception):
    """A failure that the user can cause and can fix.

    What it says is bounded and printable, whatever file, server or user the value came from. A text made of such a
    value before, for ``rule`` say, is made by :mod:`core.base.text` too: here it could only be cut.

    Args:
        thing: What is wrong, in the user's words (``"data folder"``, ``"parameter max_map_drop"``).
        value: The offending value as it was found; kept as text (:func:`core.base.text.shown`).
        rule: What should have been true.
        hint: What to do now.
    """

    def __init__(self, thing: str, value: object, rule: str, hint: str) -> None:
        self.thing, self.value = shown(thing, _MOST_THING), shown(value, _MOST_VALUE)
        self.rule, self.hint = (printable(text, _MOST_RULE, keep="\n") for text in (rule, hint))
        super().__init__(self.thing, self.value, self.rule, self.hint)

    def __str__(self) -> str:
        return f"{self.thing}: {self.value}. {self.rule} {self.hint}"


class CandidateFailed(UserError):
    """What a compressed model fails of by itself, such as training that diverges; another candidate may do better.

    Attributes:
        seconds: What its training took until then in all its processes; 0 where it did not come from one.
    """

    seconds: float = 0.0


class NotRestored(UserError):
    """A compressed model that cannot be rebuilt from its checkpoint: of one that was just made, its own failure."""


class Terminated(BaseException):
    """SIGTERM arrived; not an Exception, so that only the outermost handler meets it."""


class StateSaved(Terminated):
    """SIGTERM arrived and the training state is stored: the same command resumes there.

    Args:
        place: Where the state lies.
        position: How far training had come.
    """

    def __init__(self, place: str, position: str) -> None:
        super().__init__(place, position)
        self.place, self.position = place, position

    def __str__(self) -> str:
        return f"the training state after {self.position} is in {self.place}"
