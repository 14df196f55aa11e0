"""Which classes a data set is used with."""

from collections import Counter
from collections.abc import Sequence

from core.base.errors import UserError
from core.base.suggest import listed, suggestion
from core.data.annotations import AnnotatedSplit


def choose_classes(asked: Sequence[str], known: Sequence[str], keep_order: bool = True) -> tuple[str, ...]:
    """Return the classes to use: those asked for, else all that the data has, in its order.

    Args:
        asked: The classes asked for; all where empty.
        keep_order: Whether they stay in the order in which they are asked for; else they have the data's.

    Raises:
        UserError: A class asked for is not in the data or is asked for twice.
    """
    twice = [name for name, count in Counter(asked).items() if count > 1]
    if twice:
        raise UserError("parameter classes", listed(map(repr, twice)), "Each class must be given once.",
                        "Remove the repetition.")
    missing = [repr(name) + suggestion(name, known) for name in asked if name not in known]
    if missing:
        raise UserError("parameter classes", f"{listed(missing)} not in the data",
                        f"The data has the classes {listed(map(repr, known))}.",
                        "Write the names as the data has them, or leave `classes` empty to use all.")
    if asked and not keep_order:
        return tuple(name for name in known if name in asked)
    return tuple(asked or known)


def class_warnings(classes: Sequence[str], splits: Sequence[AnnotatedSplit]) -> tuple[str, ...]:
    """Return warnings about classes left out and classes without a box to train on.

    Args:
        splits: The splits as they were read, each once, training first.
    """
    left_out = Counter(box.category for split in splits for image in split.images for box in image.boxes
                       if box.category not in classes)
    trained = {box.category for image in splits[0].images for box in image.boxes if not box.ignored}
    untrained = [repr(name) for name in classes if name not in trained]
    warnings = []
    if left_out:
        counts = listed(f"{name!r} ({count})" for name, count in left_out.most_common())
        warnings.append(f"{sum(left_out.values())} boxes of {len(left_out)} classes that were not asked for "
                        f"are left out: {counts}")
    if untrained:
        warnings.append(f"split {splits[0].name!r} has no box to train on of {listed(untrained)}")
    return tuple(warnings)
