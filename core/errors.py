"""The one exception for every failure a user can cause."""


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
