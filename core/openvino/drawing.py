"""Pictures of detections for people to look at."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.evaluation.detections import Detections
from core.openvino.masks import paste_mask

PANEL_PIXELS = 360
TITLE_PIXELS = 22
GAP_PIXELS = 6
FONT_SCALE = 0.35
MIN_SCORE = 0.3
# Share of the class's colour where a mask lies.
MASK_OPACITY = 0.5
_WHITE = (255, 255, 255)
_BLACK = (0, 0, 0)


@dataclass(frozen=True)
class Panel:
    """One picture of a row: a title and boxes; scores are written where ``show_scores``."""

    title: str
    detections: Detections
    show_scores: bool = True


def draw_panels(image: np.ndarray, panels: Sequence[Panel], classes: Sequence[str]) -> np.ndarray:
    """Draw an image once per panel, side by side, scaled so that its longer side has ``PANEL_PIXELS``.

    Boxes scored below ``MIN_SCORE`` are left out. OpenCV's font has ASCII only; other letters become question marks.

    Args:
        image: uint8 ``[H, W, 3]`` in BGR order.

    Returns:
        uint8 ``[h, w, 3]`` in BGR order.
    """
    import cv2

    scale = PANEL_PIXELS / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    scaled = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    row = []
    for panel in panels:
        picture, found = scaled.copy(), panel.detections.above(MIN_SCORE)
        boxes = Detections(found.boxes * np.float32(scale), found.scores, found.labels)
        _draw_boxes(picture, boxes, classes, panel.show_scores)
        strip = np.full((TITLE_PIXELS, picture.shape[1], 3), 255, np.uint8)
        cv2.putText(strip, _ascii(panel.title), (4, TITLE_PIXELS - 7), cv2.FONT_HERSHEY_SIMPLEX, FONT_SCALE, _BLACK, 1,
                    cv2.LINE_AA)
        row += [np.concatenate([strip, picture]), np.full((size[1] + TITLE_PIXELS, GAP_PIXELS, 3), 255, np.uint8)]
    return np.concatenate(row[:-1], axis=1)


def draw_detections(image: np.ndarray, found: Detections, classes: Sequence[str]) -> np.ndarray:
    """Draw all boxes with classes and scores, and masks where there are any, on a copy of an image, in its own size.

    Args:
        image: uint8 ``[H, W, 3]`` in BGR order.

    Returns:
        uint8 ``[H, W, 3]`` in BGR order.
    """
    picture = image.copy()
    for index in np.argsort(found.scores, kind="stable") if found.masks is not None else ():
        rows, columns, inside = paste_mask(found.masks.probabilities[index], found.masks.boxes[index], image.shape[:2])
        color = np.float32(_color(found.labels[index], len(classes)))
        part = picture[rows, columns]
        part[inside] = np.round(part[inside] * (1 - MASK_OPACITY) + color * MASK_OPACITY).astype(np.uint8)
    _draw_boxes(picture, found, classes)
    return picture


def _draw_boxes(picture: np.ndarray, found: Detections, classes: Sequence[str], show_scores: bool = True) -> None:
    import cv2

    # Lower scores first, so that the surest labels lie on top.
    order = np.argsort(found.scores, kind="stable")
    colors = [_color(label, len(classes)) for label in range(len(classes))]
    corners = np.round(found.boxes).astype(int).tolist()
    for index in order:
        left, top, right, bottom = corners[index]
        cv2.rectangle(picture, (left, top), (right, bottom), colors[found.labels[index]], 2)
    for index in order:
        left, top = corners[index][:2]
        label = found.labels[index]
        text = _ascii(classes[label] + (f" {found.scores[index]:.2f}" if show_scores else ""))
        (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, FONT_SCALE, 1)
        # Above the box's corner, or below it where there is no room.
        x, y = max(0, min(left, picture.shape[1] - width - 2)), top - 3 if top > height + 4 else top + height + 3
        cv2.rectangle(picture, (x, y - height - 2), (x + width + 2, y + 2), colors[label], cv2.FILLED)
        cv2.putText(picture, text, (x + 1, y), cv2.FONT_HERSHEY_SIMPLEX, FONT_SCALE, _WHITE, 1, cv2.LINE_AA)


def _color(label: int, count: int) -> tuple[int, int, int]:
    """Return a BGR colour dark enough for white text, hues spread evenly over the classes."""
    import cv2

    hue = int(180 * label / max(1, count))
    blue, green, red = cv2.cvtColor(np.uint8([[[hue, 220, 170]]]), cv2.COLOR_HSV2BGR)[0, 0].tolist()
    return blue, green, red


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode("ascii")
