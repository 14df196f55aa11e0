"""Annotations as both readers give them, and their cleaning, the same for both formats."""

from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from core.base.errors import UserError
from core.base.suggest import SHOWN, listed
from core.data.masks import Mask


class Box(NamedTuple):
    """One annotated object, in pixels; the image's left upper corner is (0, 0)."""

    category: str
    x: float
    y: float
    width: float
    height: float
    ignored: bool = False
    """Neither trained on nor counted as missed: COCO's ``iscrowd``, Pascal VOC's ``difficult``."""
    area: float | None = None
    """The annotation's own area (COCO's, of the object's mask), where it has one."""
    label: str = ""
    """How messages name it: ``annotation 17``, ``object 3 (RBC)``."""
    mask: Mask | None = None
    """The object's mask, where its annotation has a sound one (COCO's ``segmentation``)."""


class AnnotatedImage(NamedTuple):
    """One image and its boxes."""

    file_name: str
    """Relative to the split's image root, with forward slashes."""
    width: int
    height: int
    boxes: tuple[Box, ...]


@dataclass(frozen=True)
class AnnotatedSplit:
    """One split of a data set as its reader found it.

    Attributes:
        image_root: The folder that image names are relative to.
        files: The files that the annotations were read from (absolute).
        warnings: What was odd but could be read.
        part_sizes: How many of the images come from each part of the split, in order.
    """

    name: str
    image_root: Path
    files: tuple[Path, ...]
    classes: tuple[str, ...]
    images: tuple[AnnotatedImage, ...]
    warnings: tuple[str, ...] = ()
    part_sizes: tuple[int, ...] = ()


def clean_boxes(image: AnnotatedImage) -> tuple[list[Box], list[str]]:
    """Clip an image's boxes to the image and part those that are left with no area.

    Returns:
        The boxes to keep and, for each box dropped, a text that names file and box.
    """
    kept, dropped = [], []
    for box in image.boxes:
        left, top = min(max(box.x, 0.0), image.width), min(max(box.y, 0.0), image.height)
        right = min(max(box.x + box.width, 0.0), image.width)
        bottom = min(max(box.y + box.height, 0.0), image.height)
        if right <= left or bottom <= top:
            shape = f"[x {box.x:g}, y {box.y:g}, width {box.width:g}, height {box.height:g}]"
            dropped.append(f"{image.file_name}: {box.label} {shape}")
        elif (left, top, right, bottom) == (box.x, box.y, box.x + box.width, box.y + box.height):
            # Kept as it is: right - left can differ from the width in the last bit.
            kept.append(box)
        else:
            kept.append(box._replace(x=left, y=top, width=right - left, height=bottom - top, area=None))
    return kept, dropped


def clean_split(split: AnnotatedSplit, classes: tuple[str, ...]) -> AnnotatedSplit:
    """Return a split with the boxes of ``classes`` only, clipped, none without area; warnings say what went.

    Raises:
        UserError: No image or no box that counts is left.
    """
    images, dropped, wanted = [], [], frozenset(classes)
    for image in split.images:
        kept, without_area = clean_boxes(image._replace(boxes=tuple(b for b in image.boxes if b.category in wanted)))
        images.append(image._replace(boxes=tuple(kept)))
        dropped.extend(without_area)
    if not any(not box.ignored for image in images for box in image.boxes):
        what = f"no box of {listed(classes)} on its {len(images)} image(s)" if images else "no image"
        raise UserError(f"annotations of split {split.name!r}", f"{split.files[0]} has {what}",
                        "A split needs at least one image with a box that has an area and is not marked as crowd "
                        "or difficult.", "Correct the annotations or choose another split.")
    warnings = tuple(f"split {split.name!r}: box without area dropped: {text}" for text in dropped[:SHOWN])
    if len(dropped) > SHOWN:
        warnings += (f"split {split.name!r}: {len(dropped) - SHOWN} more boxes without area dropped",)
    return replace(split, classes=classes, images=tuple(images), warnings=split.warnings + warnings)


def check_relative(name: str, file: Path, what: str) -> None:
    """Raise UserError where ``name`` is empty, absolute, leads upwards or cannot be a file name."""
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name or not is_unicode(name):
        raise UserError(f"{file}, {what}", repr(name), "It must be a path relative to the image folder, inside it.",
                        "Correct the name in the annotations.")


def is_unicode(text: str) -> bool:
    """Return whether a text can be written as UTF-8; JSON's escapes can spell halves of characters, which cannot."""
    return text.encode("utf-8", "replace").decode("utf-8") == text
