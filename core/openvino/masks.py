"""Masks of objects in an image's own pixels."""


import numpy as np

# MMDetection's usual mask_thr_binary.
THRESHOLD = 0.5


def paste_mask(probabilities: np.ndarray, box: np.ndarray, size: tuple[int, int]) -> tuple[slice, slice, np.ndarray]:
    """Put a mask into its box as MMDetection does (_do_paste_mask of fcn_mask_head.py), by bilinear interpolation.

    Args:
        probabilities: float32 ``[h, w]``, spread over the whole box.
        box: x1, y1, x2, y2 in pixels of the image; it may reach beyond it.
        size: Height and width of the image.

    Returns:
        Rows and columns of the part of the image that the box touches, and bool ``[rows, columns]``: the object's
        pixels in it.
    """
    import cv2

    corners = np.clip([*np.floor(box[:2]), *np.ceil(box[2:])], 0, [size[1], size[0]] * 2)
    left, top, right, bottom = corners.astype(int).tolist()
    x = _places(left, right, box[0], box[2], probabilities.shape[1])
    y = _places(top, bottom, box[1], box[3], probabilities.shape[0])
    rows, columns = slice(top, bottom), slice(left, right)
    if not len(x) or not len(y):
        return rows, columns, np.zeros((len(y), len(x)), bool)
    pasted = cv2.remap(probabilities, *np.meshgrid(x, y), cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return rows, columns, pasted >= THRESHOLD


def _places(start: int, stop: int, first: float, last: float, count: int) -> np.ndarray:
    """Return where in a mask of ``count`` values over first..last the centres of the pixels start..stop lie."""
    centres = np.arange(start, stop) + 0.5
    return np.float32((centres - first) / max(last - first, 1e-6) * count - 0.5)
