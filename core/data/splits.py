"""Which splits of a data set are trained on, followed and measured, and making them where there are none."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

from core.base.errors import UserError
from core.base.suggest import listed, suggestion
from core.data.annotations import AnnotatedSplit
from core.data.layout import Found, Fractions, Layout, SplitNames, plain_name

AUTO = "auto"
NONE = "none"
# In the order they are looked for; "valid" is what Roboflow's exports call it.
_TRAIN, _VAL, _TEST = ("train", "trainval"), ("val", "valid"), ("test",)
MADE = SplitNames("train", "val", "test")


def choose_splits(train: str, val: str, test: str, found: Iterable[str], root: Path) -> SplitNames:
    """Return the splits to use; ``auto`` takes the customary names, ``val`` may be ``""`` or ``none``.

    Returns:
        The names; ``test`` is ``""`` where the data have neither a test nor a validation split, so that both are to
        be made from the split to train on.

    Raises:
        UserError: A split that is needed or named is not among those ``found``.
    """
    found = tuple(found)
    if len(found) == 1 and (train, test) == (AUTO, AUTO) and val in (AUTO, NONE, ""):
        return SplitNames(found[0], "", "")
    chosen = _choose("train_split", train, _TRAIN, found, root)
    followed = "" if val in ("", NONE) else _choose("val_split", val, _VAL, found, root, needed=False)
    measured = _choose("test_split", test, _TEST + _VAL, found, root, needed=False)
    return SplitNames(chosen, followed, measured)


def plan(found: Found, asked: tuple[str, str, str], fractions: Fractions, root: Path, single: bool) -> Layout:
    """Return the splits to use, with their annotations.

    Args:
        asked: The parameters train_split, val_split and test_split: a name, the path of an annotation file, or
            ``auto``.
        fractions: How images are shared out where the data have neither a test nor a validation split.
        single: Whether only one of several parts of a split can be used.

    Raises:
        UserError: A split is not there, or several files could be meant.
    """
    # Parameters may name a part by the path of its file, or by its name as it stands.
    known = dict(found)
    for part in (part for parts in found.values() for part in parts):
        path = Path(part.names or part.annotations)
        for name in {path.as_posix(), path.name, path.stem, plain_name(path)} & set(asked) - {AUTO, *found}:
            known.setdefault(name, []).append(part)
    names = choose_splits(*asked, known, root)
    parts = {name: tuple(known[name]) for name in dict.fromkeys(names) if name}
    for name, several in parts.items():
        if single and len(several) > 1:
            paths = [part.annotations for part in several]
            raise UserError(f"data, split {name!r}", f"{len(paths)} annotation files could be meant: {listed(paths)}",
                            "One file is used for a split.", "Set train_split, val_split or test_split to the path of "
                            "one of them, or move the others away.")
    if names.test:
        return Layout(names, parts)
    val = MADE.val if asked[1] not in ("", NONE) and fractions.val else ""
    return Layout(MADE._replace(val=val), {MADE.train: parts[names.train]},
                  fractions if val else replace(fractions, val=0.0))


def make_splits(whole: AnnotatedSplit, fractions: Fractions, names: SplitNames) -> dict[str, AnnotatedSplit]:
    """Share the images of one split out among training, validation and test.

    Images with and without boxes are shared out alike, each by the hash of seed and file name, so that it does not
    depend on the order in the annotations. Each split has an image with a box where there are enough.

    Raises:
        UserError: There are too few images with boxes.
    """
    order = sorted(range(len(whole.images)), key=lambda index: hashlib.sha256(
        f"{fractions.seed} {whole.images[index].file_name}".encode("utf-8", "surrogatepass")).hexdigest())
    boxed = [index for index in order if any(not box.ignored for box in whole.images[index].boxes)]
    wanted = [name for name in names if name]
    if len(boxed) < len(wanted):
        raise UserError("data", f"{len(boxed)} image(s) with a box and no split for {listed(wanted)}",
                        "Each split needs at least one image with a box.", "Give more annotated images.")
    shares: dict[str, list[int]] = {name: [] for name in wanted}
    for group in (boxed, [index for index in order if index not in set(boxed)]):
        least = 1 if group is boxed else 0
        val = min(max(least, round(len(group) * fractions.val)), len(group) - 2 * least) if names.val else 0
        test = min(max(least, round(len(group) * fractions.test)), len(group) - val - least)
        shares[names.test] += group[:test]
        if names.val:
            shares[names.val] += group[test:test + val]
        shares[names.train] += group[test + val:]
    starts = list(accumulate(whole.part_sizes, initial=0))
    return {name: replace(
        whole, name=name, images=tuple(whole.images[index] for index in sorted(share)),
        part_sizes=tuple(sum(start <= index < start + size for index in share)
                         for start, size in zip(starts, whole.part_sizes)),
        warnings=whole.warnings if name == MADE.train else ()) for name, share in shares.items()}


def joined(name: str, parts: list[AnnotatedSplit], root: Path) -> AnnotatedSplit:
    """Return several annotated parts as one split, images in their order; image names are relative to ``root``."""
    if len(parts) == 1:
        return replace(parts[0], name=name, part_sizes=(len(parts[0].images),))
    images = []
    for part in parts:
        prefix = part.image_root.relative_to(root)
        images += [image._replace(file_name=(prefix / image.file_name).as_posix()) for image in part.images]
    classes = tuple(dict.fromkeys(name for part in parts for name in part.classes))
    return AnnotatedSplit(name, root, tuple(file for part in parts for file in part.files), classes, tuple(images),
                          tuple(warning for part in parts for warning in part.warnings),
                          tuple(len(part.images) for part in parts))


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
        problem, near = f"{asked!r} is not in {root}", suggestion(asked, found)
    raise UserError(f"parameter {parameter}", problem + near, f"The splits found are {listed(map(repr, found))}.",
                    f"Set {parameter} to one of them.")
