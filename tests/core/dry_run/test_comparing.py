"""Likeness of what PyTorch and an IR find, and the weights that let them find something."""

import numpy as np
import pytest
import torch

from core.dry_run.comparing import found_by_torch, images_for, liken, liken_to_itself, pictures
from core.dry_run.waking import wake
from core.evaluation.detections import Detections, Masks

SIZE = (32, 48)


class Spec:
    mean, std, to_rgb, max_detections = (0.0,) * 3, (1.0,) * 3, True, 100
    (input_height, input_width), (resize_height, resize_width), size_divisor = SIZE, SIZE, 32
    keep_ratio, dynamic, pad_pixel = False, False, (0.0,) * 3


class Found:
    """Stands for an IR that finds the same in each image."""

    spec = Spec()

    def __init__(self, rows, labels, masks=None):
        self.found = Detections(np.float32(rows)[:, :4], np.float32(rows)[:, 4], np.int64(labels), masks)

    def __call__(self, image):
        return self.found


class Network(torch.nn.Module):
    """Finds one box of class 0 and a speck of class 1, with a mask where asked for."""

    def __init__(self, masks=False, score=0.9):
        super().__init__()
        self.masks, self.score = masks, score

    def forward(self, img, img_metas, return_loss, rescale):
        self.seen = img[0], img_metas[0][0]
        boxes = [np.float32([[4, 4, 20, 20, self.score]]), np.float32([[8, 8, 8.5, 30, 0.8]])]
        inside = np.zeros(SIZE, bool)
        inside[4:20, 4:20] = True
        return [(boxes, [[inside], [~inside]]) if self.masks else boxes]


@pytest.mark.parametrize(("row", "label", "same", "agreement"), [
    ([4, 4, 20, 20, 0.9], 0, 1.0, 1.0), ([4, 4, 20, 20, 0.9], 1, 0.0, 0.0), ([4, 4, 20, 20, 0.902], 0, 0.0, 1.0),
    ([4, 4, 20, 20.3, 0.9], 0, 0.0, 1.0), ([24, 4, 40, 20, 0.9], 0, 0.0, 0.0)])
def test_like_boxes_are_of_one_class_place_and_score(row, label, same, agreement):
    found = liken(Network(), Found([row], [label]), pictures(2, *SIZE))
    assert (found.boxes, found.same, found.agreement, found.compared, found.masks) == (2, same, agreement, 2, None)


@pytest.mark.parametrize(("left", "agreement"), [(4, 1.0), (24, 0.0)])
def test_boxes_of_low_scores_are_compared_where_there_are_no_others(left, agreement):
    found = liken(Network(score=0.05), Found([[left, 4, left + 16, 20, 0.05]], [0]), pictures(2, *SIZE))
    assert (found.agreement, found.compared) == (agreement, 2)


def test_masks_are_compared_as_drawn():
    box = np.float32([[4, 4, 20, 20]])
    half = np.ones((1, 28, 28), np.float32)
    half[:, :14] = 0
    for probabilities, overlap in ((np.ones((1, 28, 28), np.float32), 1.0), (half, 0.5)):
        detector = Found([[4, 4, 20, 20, 0.9]], [0], Masks(probabilities, box))
        assert liken(Network(masks=True), detector, pictures(1, *SIZE)).masks == pytest.approx(overlap, abs=0.01)


def test_nothing_found_is_not_alike():
    detector = Found(np.zeros((0, 5)), [])
    assert liken(Network(), detector, pictures(1, *SIZE)).same == 0.0


def test_pytorch_is_shown_what_the_ir_is_shown_of_an_image_that_is_padded(monkeypatch):
    monkeypatch.setattr(Spec, "keep_ratio", True)
    whole, narrow = images_for(Spec(), 2)
    assert (whole.shape, narrow.shape) == ((*SIZE, 3), (32, 36, 3))
    network = Network()
    found_by_torch(network, Spec(), np.full((64, 60, 3), 7, np.uint8))
    image, metas = network.seen
    assert image.shape == (1, 3, *SIZE) and (image[..., :30] == 7).all() and (image[..., 30:] == 0).all()
    assert metas["img_shape"] == (32, 30, 3) and metas["ori_shape"] == (64, 60, 3)
    assert list(metas["scale_factor"]) == [0.5] * 4


class Levels(torch.nn.Module):
    """Rounds as a quantizer does, to levels one apart."""

    def forward(self, value):
        return torch.round(value)


class QuantizedNetwork(torch.nn.Module):
    """Finds boxes whose places are quantized: at ``place`` pixels from the left."""

    def __init__(self, place):
        super().__init__()
        self.external_quantizers = torch.nn.ModuleDict({"input": Levels()})
        self.place = place

    def forward(self, img, img_metas, return_loss, rescale):
        left = 8 * self.external_quantizers["input"](torch.full((20,), self.place)).numpy()
        return [[np.stack([left, left * 0, left + 8, left * 0 + 16, np.linspace(0.9, 0.5, 20)], 1).astype(np.float32)]]


@pytest.mark.parametrize(("place", "least", "most"), [(1.5, 0.2, 0.8), (1.4, 1.0, 1.0)])
def test_a_quantized_network_differs_from_itself_where_values_lie_between_two_levels(place, least, most):
    network = QuantizedNetwork(place)
    found = liken_to_itself(network, Spec(), pictures(4, *SIZE))
    assert least <= found.agreement <= most and least <= found.same <= most
    assert not network.external_quantizers["input"]._forward_pre_hooks


def test_pictures_differ_and_are_always_the_same():
    first, again = pictures(2, *SIZE), pictures(2, *SIZE)
    assert first[0].shape == (*SIZE, 3) and first[0].std() > 20
    assert np.array_equal(first[1], again[1]) and not np.array_equal(first[0], first[1])


def test_woken_layers_return_something_and_zeros_stay():
    class Detector(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = torch.nn.Conv2d(3, 8, 3)
            self.bbox_head = torch.nn.ModuleDict({"conv_cls": torch.nn.Conv2d(8, 8, 1), "reg": torch.nn.Conv2d(8, 8, 1),
                                                  "zero": torch.nn.Conv2d(8, 8, 1)})

    class Skipping(torch.nn.Conv2d):
        def forward(self, features, places=None):
            output = super().forward(features)
            return output if places is None else output * places

    detector = Detector()
    detector.bbox_head["skipping_cls"] = Skipping(8, 8, 1)
    torch.nn.init.zeros_(detector.bbox_head["zero"].weight)
    for layer in (detector.backbone, *detector.bbox_head.values()):
        layer.weight.data *= 1e-3
        torch.nn.init.constant_(layer.bias, -4.6)
    seen = {}

    def forward(images):
        features = detector.backbone(images)
        places = (features[:, :1] > 0).float()
        seen.update({name: layer(features, places) if name == "skipping_cls" else layer(features)
                     for name, layer in detector.bbox_head.items()}, features=features)

    image = torch.randn(2, 3, 16, 16)
    wake(detector, forward, image)
    with torch.no_grad():
        forward(image)
    seen["skipping_cls"] = detector.bbox_head["skipping_cls"](seen["features"]).detach()
    assert {name: round(float(value.std()), 2) for name, value in seen.items()} == {
        "features": 1.0, "conv_cls": 1.5, "reg": 0.5, "zero": 0.0, "skipping_cls": 1.5}
    assert float(seen["conv_cls"].mean()) < -2


@pytest.mark.parametrize("groups", [1, 4])
def test_transposed_convolutions_are_woken(groups):
    """Of CenterNet's the first channel is far larger than all others; Grid R-CNN's have groups."""
    torch.manual_seed(0)
    layer = torch.nn.ConvTranspose2d(8, 8, 4, groups=groups)
    if groups == 1:
        layer.weight.data[:, 0] *= 100
    detector, images = torch.nn.ModuleDict({"neck": layer}), torch.randn(2, 8, 16, 16)
    wake(detector, layer, images)
    found = layer(images).detach()
    assert float(found.std()) == pytest.approx(1, abs=0.1)
    if groups == 1:
        assert found.std(dim=(0, 2, 3)).tolist() == pytest.approx([1] * 8, abs=0.05)


def test_layers_that_share_their_weights_are_scaled_once():
    first, second = torch.nn.Conv2d(3, 4, 1), torch.nn.Conv2d(3, 4, 1)
    second.weight = first.weight
    detector = torch.nn.ModuleDict({"first": first, "second": second})
    wake(detector, lambda images: (first(images), second(3 * images)), torch.randn(2, 3, 16, 16))
    assert float(first(torch.randn(2, 3, 64, 64)).std()) == pytest.approx(1, abs=0.2)


def test_a_layer_that_standardises_its_weight_is_woken_by_what_it_multiplies_it_with():
    from mmcv.cnn.bricks.conv_ws import ConvAWS2d

    torch.manual_seed(0)
    layer = ConvAWS2d(8, 16, 3)
    layer.weight_gamma.fill_(100)
    images = torch.randn(2, 8, 16, 16)
    wake(torch.nn.Sequential(layer), layer, images)
    assert layer(images).std().item() == pytest.approx(1, abs=0.05)
