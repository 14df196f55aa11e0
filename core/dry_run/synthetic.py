"""A handful of synthetic images in a data set of any classes, for trials that need no real data."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.data.dataset import Dataset

HEIGHT, WIDTH = 240, 320
# Two rows of two boxes, x, y, width and height: large enough for every anchor and every random crop.
BOXES = ((16, 12, 120, 90), (180, 20, 110, 80), (24, 128, 100, 96), (170, 124, 130, 100))


def write_dataset(folder: Path, classes: Sequence[str], images: int) -> "Dataset":
    """Write ``images`` pictures of noise with four brighter boxes each, and return them as every split of a data set.

    Each box has a mask; the classes take turns.
    """
    import mmcv
    import numpy as np

    from core.data.dataset import Dataset, Split

    random = np.random.RandomState(0)
    (folder / "images").mkdir(parents=True)
    annotations: list[dict[str, Any]] = []
    for image in range(1, images + 1):
        pixels = random.randint(0, 128, (HEIGHT, WIDTH, 3))
        for x, y, width, height in BOXES:
            category = len(annotations) % len(classes) + 1
            pixels[y:y + height, x:x + width] += 20 + 100 * category // len(classes)
            corners = [x, y, x + width, y, x + width, y + height, x, y + height]
            annotations.append({"id": len(annotations) + 1, "image_id": image, "category_id": category, "iscrowd": 0,
                                "bbox": [float(side) for side in (x, y, width, height)], "area": width * height,
                                "segmentation": [corners]})
        mmcv.imwrite(pixels.astype(np.uint8), str(folder / "images" / f"{image}.png"))
    truth = {"images": [{"id": image, "file_name": f"{image}.png", "width": WIDTH, "height": HEIGHT}
                        for image in range(1, images + 1)],
             "annotations": annotations,
             "categories": [{"id": number, "name": name} for number, name in enumerate(classes, 1)]}
    (folder / "truth.json").write_text(json.dumps(truth))
    split = Split("synthetic", folder / "truth.json", folder / "images", images, len(annotations), len(annotations))
    return Dataset(tuple(classes), split, split, split, "0" * 64, ())
