"""The exceptions that end a stage: a failure a user can cause, and the end that the machine asks for."""


class UserError(Exception):
    """A failure that the user can cause and can mend.

    Args:
        thing: What is wrong, in the user's words (``"data folder"``, ``"parameter max_map_drop"``).
        value: The offending value as it was found.
        rule: What should have been true.
        hint: What to do now.
    """

    def __init__(self, thing: str, value: object, rule: str, hint: str) -> None:
        super().__init__(thing, value, rule, hint)
        self.thing, self.value, self.rule, self.hint = thing, value, rule, hint

    def __str__(self) -> str:
        return f"{self.thing}: {self.value}. {self.rule} {self.hint}"


class Terminated(BaseException):
    """SIGTERM arrived; not an Exception, so that only the outermost handler meets it."""


class StateSaved(Terminated):
    """SIGTERM arrived and the training state is stored: the same command goes on from there.

    Args:
        place: Where the state lies.
        position: How far training had come.
    """

    def __init__(self, place: str, position: str) -> None:
        super().__init__(place, position)
        self.place, self.position = place, position

    def __str__(self) -> str:
        return f"the training state after {self.position} is in {self.place}"
