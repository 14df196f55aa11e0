"""What a detector finds in PyTorch beside what its IR finds, box by box."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from core.evaluation.agreement import MIN_SCORE, compare
from core.evaluation.boxes import intersections_over_unions
from core.evaluation.detections import Detections, Masks
from core.export.spec import ModelSpec
from core.openvino.detector import OpenVinoDetector
from core.openvino.masks import paste_mask

MOST = 100
LEAST_OVERLAP, LARGEST_DIFFERENCE = 0.99, 1e-3
# By so much of a layer's largest value two runtimes differ on the same input: measured on the first layers of YOLOX and
# EfficientNet, PyTorch against OpenVINO, 5e-7 to 1e-6. It is four units in a float's last place.
ROUNDING = 2.0 ** -21
# Random boxes of less than a pixel differ in the last bit of their place by more than the least overlap allows.
_LEAST_SIDE = 1.0
# Boxes of all images that agreement is measured on, or all where there are fewer.
_LEAST_COMPARED = 100
# A quarter of such an image's input is padding.
_NARROWER = 0.75


@dataclass(frozen=True)
class Likeness:
    """How alike two forms of a detector are on some images.

    Args:
        boxes: Boxes that PyTorch found, the best ``MOST`` of each image.
        same: Share of the best boxes of either form that have their like in the other one: class, place and score.
        agreement: Share of boxes that have a partner at IoU 0.5, as in a run's record of agreement, but down to such
            a score that there are boxes to compare.
        compared: PyTorch's boxes that it is measured on.
        masks: Mean overlap of the masks of like boxes, None without masks.
    """

    boxes: int
    same: float
    agreement: float
    compared: int
    masks: float | None


def pictures(number: int, height: int, width: int) -> list[np.ndarray]:
    """Return ``number`` images, uint8 [height, width, 3]: coloured patches of several sizes, and noise."""
    import cv2

    random = np.random.RandomState(0)
    found = []
    for _ in range(number):
        image = np.zeros((height, width, 3))
        for parts in (2, 5, 16):
            patches = random.randint(0, 256, (parts, parts, 3)).astype(np.float32)
            image += cv2.resize(patches, (width, height), interpolation=cv2.INTER_NEAREST)
        found.append(np.clip(image / 3 + random.randint(-20, 21, image.shape), 0, 255).astype(np.uint8))
    return found


def images_for(spec: ModelSpec, number: int) -> list[np.ndarray]:
    """Return ``pictures`` of the size of a model's input, every other one narrower where that adds padding."""
    found = pictures(number, spec.resize_height, spec.resize_width)
    if spec.keep_ratio:
        found[1::2] = [image[:, :max(1, int(image.shape[1] * _NARROWER))] for image in found[1::2]]
    return found


def liken(network: Any, detector: OpenVinoDetector, images: Sequence[np.ndarray]) -> Likeness:
    """Return how alike a network in PyTorch and its IR are on images, uint8 [H, W, 3]."""
    spec = detector.spec
    return _alike({index: found_by_torch(network, spec, image) for index, image in enumerate(images)},
                  {index: _of_some_size(detector(image)) for index, image in enumerate(images)}, spec, images)


def liken_to_itself(network: Any, spec: ModelSpec, images: Sequence[np.ndarray]) -> Likeness:
    """Return how alike a quantized network is to itself with what its quantizers take changed by ``ROUNDING``.

    Two runtimes that add in another order differ by that much. It takes some values over the limit between two levels
    of a quantizer, and where random weights make more of that from layer to layer, no runtime can come closer to
    another.

    Args:
        network: An ``NNCFNetwork``.
        spec: Of its export.
        images: uint8 [H, W, 3].
    """
    import torch

    random = torch.Generator().manual_seed(0)

    def change(quantizer: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        value, *rest = arguments
        noise = 2 * torch.rand(value.shape, generator=random) - 1
        return (value + ROUNDING * value.abs().max() * noise, *rest)

    found = {index: found_by_torch(network, spec, image) for index, image in enumerate(images)}
    hooks = [quantizer.register_forward_pre_hook(change) for quantizer in network.external_quantizers.values()]
    try:
        changed = {index: found_by_torch(network, spec, image) for index, image in enumerate(images)}
    finally:
        for hook in hooks:
            hook.remove()
    return _alike(found, changed, spec, images)


def _alike(first: dict[int, Detections], second: dict[int, Detections], spec: ModelSpec,
           images: Sequence[np.ndarray]) -> Likeness:
    shares, masks = [], []
    for index in first:
        one, other = first[index], second[index]
        for best, rest in ((one, other), (other, one)):
            like = _likes(best, rest)
            shares.extend(like[:MOST] >= 0)
        if one.masks is not None:
            like = _likes(one, other)[:MOST]
            masks.extend(_overlap(one, index_one, other, index_other, images[index].shape[:2])
                         for index_one, index_other in enumerate(like) if index_other >= 0)
    scores = np.sort(np.concatenate([found.scores for found in first.values()]))[::-1][:_LEAST_COMPARED]
    # Of random weights no score may come to what is worth a look of trained ones.
    factor = MIN_SCORE / np.clip(scores[-1], 1e-6, MIN_SCORE) if len(scores) else 1.0
    agreement = compare(*({index: replace(found, scores=found.scores * factor) for index, found in form.items()}
                          for form in (first, second)), (spec.max_detections, spec.max_detections))
    return Likeness(sum(min(len(found), MOST) for found in first.values()), float(np.mean(shares)) if shares else 0.0,
                    agreement.share, sum(image.matched + image.only_first for image in agreement.images),
                    float(np.mean(masks)) if masks else None)


def found_by_torch(network: Any, spec: ModelSpec, image: np.ndarray) -> Detections:
    """Return what a network, a detector or NNCF's around it, finds in an image, uint8 [H, W, 3], best first."""
    import torch

    from core.detectors.graph import image_metas
    from core.openvino.preprocess import Preprocessor

    preprocessor, size = Preprocessor(spec), image.shape[:2]
    batch = torch.from_numpy(preprocessor.normalised(image))
    metas = image_metas(batch)
    metas[0].update(img_shape=(*preprocessor.resized(size), 3), ori_shape=image.shape,
                    scale_factor=preprocessor.scale_factor(size))
    with torch.no_grad():
        result = network.eval()(img=[batch], img_metas=[metas], return_loss=False, rescale=True)[0]
    boxes, masks = result if isinstance(result, tuple) else (result, None)
    rows = np.concatenate(boxes)
    height, width = image.shape[:2]
    rows[:, :4] = np.clip(rows[:, :4], 0, np.float32([width, height] * 2))
    labels = np.concatenate([np.full(len(found), label) for label, found in enumerate(boxes)])
    # YOLOX returns as many as there are, its graph the best: what is too small to compare counts among them.
    order = np.argsort(-rows[:, 4], kind="stable")[:spec.max_detections]
    found = Detections(rows[order, :4], rows[order, 4], labels[order])
    if masks is None:
        return _of_some_size(found)
    # Mask Scoring R-CNN's second part are scores of masks, which MMDetection's evaluation leaves out, too.
    full = [mask for of_class in (masks[0] if isinstance(masks, tuple) else masks) for mask in of_class]
    whole = np.tile(np.float32([0, 0, width, height]), (len(order), 1))
    pasted = np.stack([np.asarray(full[index], np.float32) for index in order]) if len(order) else np.zeros(
        (0, height, width), np.float32)
    return _of_some_size(Detections(found.boxes, found.scores, found.labels, Masks(pasted, whole)))


def _of_some_size(found: Detections) -> Detections:
    kept = (found.boxes[:, 2:] - found.boxes[:, :2]).min(axis=1, initial=np.inf) > _LEAST_SIDE
    return Detections(found.boxes[kept], found.scores[kept], found.labels[kept],
                      None if found.masks is None else found.masks[kept])


def _likes(found: Detections, others: Detections) -> np.ndarray:
    """Return for each box the index of its like among the others, -1 where there is none."""
    if not len(found) or not len(others):
        return np.full(len(found), -1)
    overlaps = intersections_over_unions(found.boxes, others.boxes)
    overlaps[(found.labels[:, None] != others.labels[None])
             | (abs(found.scores[:, None] - others.scores[None]) > LARGEST_DIFFERENCE)] = 0
    return np.where(overlaps.max(axis=1) > LEAST_OVERLAP, overlaps.argmax(axis=1), -1)


def _overlap(one: Detections, index_one: int, other: Detections, index_other: int, size: tuple[int, int]) -> float:
    drawn = []
    for found, index in ((one, index_one), (other, index_other)):
        canvas = np.zeros(size, bool)
        rows, columns, inside = paste_mask(found.masks.probabilities[index], found.masks.boxes[index], size)
        canvas[rows, columns] = inside
        drawn.append(canvas)
    union = (drawn[0] | drawn[1]).sum()
    return float((drawn[0] & drawn[1]).sum() / union) if union else 1.0
