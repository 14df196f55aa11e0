"""The exceptions that end a stage: a failure a user can cause, and the end that the machine asks for."""


class UserError(Exception):
    """A failure that the user can cause and can mend.

    Args:
        thing: What is wrong, in the user's words (``"data folder"``, ``"parameter max_map_drop"``).
        value: The offending value as it was found.
        rule: What should have been true.
        way_out: What to do now.
    """

    def __init__(self, thing: str, value: object, rule: str, way_out: str) -> None:
        super().__init__(thing, value, rule, way_out)
        self.thing, self.value, self.rule, self.way_out = thing, value, rule, way_out

    def __str__(self) -> str:
        return f"{self.thing}: {self.value}. {self.rule} {self.way_out}"


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
