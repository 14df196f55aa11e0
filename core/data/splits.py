"""Which splits of a data set are trained on, followed and measured."""

from pathlib import Path
from typing import NamedTuple

from core.base.errors import UserError
from core.data.suggest import did_you_mean, listed

AUTO = "auto"
NONE = "none"
# In the order they are looked for; "valid" is what Roboflow's exports call it.
_TRAIN, _VAL, _TEST = ("train", "trainval"), ("val", "valid"), ("test",)


class SplitNames(NamedTuple):
    """The names of the splits in use; ``val`` is ``""`` where there is none."""

    train: str
    val: str
    test: str


def choose_splits(train: str, val: str, test: str, found: tuple[str, ...], root: Path) -> SplitNames:
    """Return the splits to use; ``auto`` takes the customary names, ``val`` may be ``""`` or ``none``.

    Raises:
        UserError: A split that is needed or named is not among those ``found``.
    """
    return SplitNames(_choose("train_split", train, _TRAIN, found, root),
                      "" if val in ("", NONE) else _choose("val_split", val, _VAL, found, root, needed=False),
                      _choose("test_split", test, _TEST + _VAL, found, root))


def split_warnings(names: SplitNames) -> tuple[str, ...]:
    """Return warnings about the choice itself."""
    if names.test in (names.val,) + _VAL:
        return (f"split {names.test!r} serves as the test split: what is chosen by it is also measured by it",)
    return ()


def _choose(parameter: str, asked: str, customary: tuple[str, ...], found: tuple[str, ...], root: Path,
            needed: bool = True) -> str:
    if asked in found:
        return asked
    automatic = next((name for name in customary if name in found), None)
    if asked == AUTO and (automatic or not needed):
        return automatic or ""
    if asked == AUTO:
        problem, near = f"{root} has no split named {' or '.join(customary)}", ""
    else:
        problem, near = f"{asked!r} is not in {root}", did_you_mean(asked, found)
    raise UserError(f"parameter {parameter}", problem + near, f"The splits found are {listed(map(repr, found))}.",
                    f"Set {parameter} to one of them.")
