"""What stands in for an operator that ONNX does not have computes what that one does."""

import onnx
import pytest
import torch
from mmcv.cnn.bricks.conv_ws import ConvAWS2d, ConvWS2d
from mmcv.ops import deform_conv2d, modulated_deform_conv2d
from mmdet.models.dense_heads import tood_head

from core.detectors.stand_ins import (
    deformable_convolution,
    displaced,
    install_stand_ins,
    least_opset,
    masked_convolution,
    mean_of_sigmoids,
    modulated_deformable_convolution,
    reassembled,
    standardised_convolution,
)
from tests.core.detectors.tiny import build, single_stage

# Stride, padding, dilation, groups, parts of the channels with offsets of their own, and the kernel's sides.
LAYERS = ((1, 1, 1, 1, 1, 3), (2, 1, 1, 1, 1, 3), (1, 3, 3, 1, 2, 3), (1, 1, 1, 4, 4, 3), (1, 0, 1, 1, 1, 1),
          ((2, 1), (1, 2), (1, 2), 2, 2, 3), (1, 2, 1, 8, 1, 5))


def tensors(stride, padding, dilation, groups, parts, side):
    """Return features, offsets that reach beyond the border, a mask and weights of a layer."""
    torch.manual_seed(0)
    features, weight = torch.randn(2, 8, 9, 12), torch.randn(16, 8 // groups, side, side)
    size = torch.nn.functional.conv2d(features, weight, None, stride, padding, dilation, groups).shape[2:]
    offset, mask = torch.randn(2, parts * 2 * side * side, *size) * 3, torch.rand(2, parts * side * side, *size)
    return features, offset, mask, weight


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_deformable_convolutions(layer):
    features, offset, mask, weight = tensors(*layer)
    bias, layer = torch.randn(16), layer[:5]
    expected = deform_conv2d(features, offset, weight, *layer)
    assert torch.allclose(deformable_convolution(features, offset, weight, *layer), expected, atol=1e-4)
    expected = modulated_deform_conv2d(features, offset, mask, weight, bias, *layer)
    found = modulated_deformable_convolution(features, offset, mask, weight, bias, *layer)
    assert torch.allclose(found, expected, atol=1e-4)
    # An offset of none is no deformation.
    same = deformable_convolution(features, offset * 0, weight, *layer)
    assert torch.allclose(same, torch.nn.functional.conv2d(features, weight, None, *layer[:4]), atol=1e-4)


@pytest.mark.parametrize("layer", LAYERS[:4], ids=str)
def test_offsets_of_a_larger_level_are_read_as_mmcv_reads_them(layer):
    features, offset, mask, weight = tensors(*layer)
    offset, mask = (torch.nn.functional.interpolate(given, scale_factor=2) + torch.rand(1) for given in (offset, mask))
    expected = modulated_deform_conv2d(features, offset, mask, weight, None, *layer[:5])
    found = modulated_deformable_convolution(features, offset, mask, weight, None, *layer[:5])
    assert torch.allclose(found, expected, atol=1e-4)


def test_boxes_displaced_by_offsets():
    boxes, offset = torch.randn(2, 4, 6, 7), torch.randn(2, 8, 6, 7) * 3
    ones = torch.ones(4, 1, 1, 1)
    expected = deform_conv2d(boxes, offset, ones, 1, 0, 1, 4, 4)
    assert torch.allclose(displaced(boxes, offset, ones, 1, 0, 1, 4, 4), expected, atol=1e-5)


def test_the_mean_of_two_sigmoids():
    first, second = torch.randn(2, 3, 4), torch.randn(2, 1, 4)
    assert torch.equal(mean_of_sigmoids(first, second), tood_head.sigmoid_geometric_mean(first, second))


def test_a_masked_convolution_is_0_where_its_mask_is():
    features, weight, bias = torch.randn(1, 8, 5, 6), torch.randn(4, 8, 3, 3), torch.randn(4)
    mask = torch.rand(1, 5, 6) > 0.5
    found = masked_convolution(features, mask, weight, bias, 1)
    assert not found[:, :, ~mask[0]].any()
    whole = torch.nn.functional.conv2d(features, weight, bias, 1, 1)
    assert torch.equal(found[:, :, mask[0]], whole[:, :, mask[0]])


@pytest.mark.parametrize("kind", [ConvWS2d, ConvAWS2d])
def test_standardised_weights_are_constants_of_the_exported_graph(kind, tmp_path):
    torch.manual_seed(0)
    layer, features = kind(8, 4, 3, stride=2, padding=1), torch.randn(2, 8, 9, 12)
    expected = layer(features)
    install_stand_ins()
    assert torch.equal(layer(features), expected)
    if kind is ConvWS2d:
        found = standardised_convolution(features, layer.weight, layer.bias, 2, 1)
        assert torch.allclose(found, expected, atol=1e-5)
    with torch.no_grad():
        torch.onnx.export(layer, features, str(tmp_path / "layer.onnx"), do_constant_folding=False)
    assert {node.op_type for node in onnx.load(str(tmp_path / "layer.onnx")).graph.node} <= {"Constant", "Conv"}


@pytest.mark.parametrize("groups", [1, 2])
def test_features_reassembled_of_their_neighbours(groups):
    features, masks = torch.randn(2, 4, 3, 5), torch.rand(2, groups * 9, 6, 10)
    found = reassembled(features, masks, 3, groups, 2)
    padded = torch.nn.functional.pad(features, (1, 1, 1, 1))
    for image, channel, y, x in ((0, 0, 0, 0), (1, 3, 5, 9), (0, 2, 3, 4), (1, 1, 2, 7)):
        weights = masks[image].reshape(groups, 3, 3, 6, 10)[channel * groups // 4, :, :, y, x]
        neighbours = padded[image, channel, y // 2:y // 2 + 3, x // 2:x // 2 + 3]
        assert torch.isclose(found[image, channel, y, x], (weights * neighbours).sum(), atol=1e-5)


@pytest.mark.parametrize(("head", "opset"), [("RetinaHead", 0), ("VFNetHead", 16), ("TOODHead", 16)])
def test_what_samples_needs_a_later_operator_set(head, opset):
    assert least_opset(build(single_stage(head))) == opset


def test_regions_smaller_than_a_pixel_of_the_features(tmp_path):
    from mmcv.ops import RoIAlign

    from tests.core.detectors.comparing import run_onnx

    class Aligned(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.levels = torch.nn.ModuleList(
                RoIAlign(7, spatial_scale=scale, sampling_ratio=ratio, aligned=aligned)
                for scale, ratio, aligned in ((0.25, 2, True), (0.25, 0, True), (1.0, 2, False)))

        def forward(self, image):
            regions = torch.tensor([[0.0, 3.0, 5.0, 40.0, 30.0], [0.0, 0.0, 0.0, 9.0, 9.0], [0.0, 7.0, 8.0, 8.5, 9.0]])
            return torch.cat([level(image, regions) for level in self.levels])

    install_stand_ins()
    image, path, network = torch.randn(1, 3, 16, 16), tmp_path / "model.onnx", Aligned()
    torch.onnx.export(network, image, str(path), input_names=["image"], autograd_inlining=False,
                      opset_version=least_opset(network))
    found, = run_onnx(path, image).values()
    assert torch.allclose(torch.from_numpy(found), network(image), atol=1e-4)


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("ratio", [0, 2])
def test_regions_without_area(ratio, aligned, tmp_path):
    """As SingleRoIExtractor makes of regions of another level, and a cascade of those that a border cuts off."""
    from mmcv.ops import RoIAlign

    from tests.core.detectors.comparing import run_onnx

    class Aligned(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = RoIAlign(7, spatial_scale=0.25, sampling_ratio=ratio, aligned=aligned)

        def forward(self, image):
            return self.layer(image, torch.tensor([[0.0, 0, 0, 0, 0], [0, 3, 8, 20, 8], [0, 64, 3, 64, 9],
                                                   [0, 3, 8, 20, 8.01], [0, 3, 8, 20, 30]]))

    install_stand_ins()
    image, path, network = torch.randn(1, 3, 16, 16), tmp_path / "model.onnx", Aligned()
    torch.onnx.export(network, image, str(path), input_names=["image"], autograd_inlining=False,
                      opset_version=least_opset(network))
    found, = run_onnx(path, image).values()
    assert torch.allclose(torch.from_numpy(found), network(image), atol=1e-4)
    assert found[3:].any()
