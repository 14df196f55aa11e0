"""One image of noise, shown to a test pipeline and to a network before anything is trained.

MMDetection builds much that ends with an exception when the first image comes: after an epoch of training, where only
testing reads a setting.
"""

import copy
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from core.base.errors import UserError
from core.base.text import bounded_repr
from core.config.loading import pipelines
from core.config.test_pipeline import THING, preprocessing_of
from core.detectors.building import building
from core.detectors.graph import image_metas
from core.detectors.initialising import initialise_at_random
from core.detectors.registry import find_adapter

_HEIGHT, _WIDTH = 96, 128
_LONGEST = 200


def require_first_image(config: Any, detector: Any) -> None:
    """Check that MMDetection gets through its first image: the pipeline at its own size, the network at a small one.

    Args:
        config: An mmcv Config whose test pipeline ``preprocessing_of`` takes.
        detector: The detector built of it; it is not changed.

    Raises:
        UserError: A step of the pipeline or the network fails, or what comes of the pipeline is no image for a network.
    """
    import torch

    found = _tried(THING, lambda: _through(next(iter(pipelines(config.data.test)))))
    image, metas = (found.get(key, [None])[0] for key in ("img", "img_metas"))
    image = getattr(image, "data", image) if not torch.is_tensor(image) else image
    if not torch.is_tensor(image) or image.dtype != torch.float32 or metas is None:
        seen = image.dtype if torch.is_tensor(image) else type(image).__name__
        raise UserError(THING, bounded_repr(seen, 40), "A network takes images of 32-bit floats and what was done to "
                        "them.", "End with dict(type='ImageToTensor', keys=['img']) and dict(type='Collect', "
                        "keys=['img']), behind Normalize.")
    network = copy.deepcopy(detector).eval()
    # Learnt proposals that are not initialised have negative sides.
    initialise_at_random(network)
    for part in network.modules():
        if hasattr(part, "get_seg_masks"):
            # Where all of a box of random weights lies beside the image, mmdet's pasting of masks fails.
            part.get_seg_masks = _no_masks

    def look(size: tuple[int, int]) -> None:
        noise = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            _tried(f"detector {type(detector).__name__}", lambda: network.simple_test(noise, image_metas(noise)))

    try:
        look(find_adapter(detector).trial_size(config.model))
    except UserError:
        # Necks that go on halving or that add levels by their sizes take no image that is so small.
        steps = preprocessing_of(config)
        look((steps.input_height, steps.input_width))


def _no_masks(*arguments: Any, **options: Any) -> list[Any]:
    return []


def _through(pipeline: list[Any]) -> dict[str, Any]:
    from mmdet.datasets.pipelines import Compose

    first, *others = copy.deepcopy(list(pipeline))
    # What MMDetection's inference_detector reads an image by that is in memory.
    steps = Compose([{"type": "LoadImageFromWebcam", "to_float32": first.get("to_float32", False)}, *others])
    noise = np.random.RandomState(0).randint(0, 256, (_HEIGHT, _WIDTH, 3)).astype(np.uint8)
    return steps({"img": noise})


def _tried(thing: str, work: Callable[[], Any]) -> Any:
    with building(thing):
        try:
            return work()
        except UserError:
            raise
        except Exception as error:  # Whatever MMDetection, mmcv or PyTorch ends with.
            # An assertion without words is told by its place: the source itself is out of reach here.
            *_, (frame, line) = traceback.walk_tb(error.__traceback__)
            words = str(error) or f"{Path(frame.f_code.co_filename).name}, line {line}"
            raise UserError(thing, " ".join(f"{type(error).__name__}: {words}".split())[:_LONGEST],
                            "MMDetection ends with this when it tests the first image.",
                            "Compare with MMDetection's own config of this detector.") from error
