"""Pooling equals torch's and mmcv's, for sizes that divide the input's and others, and is exported."""

import io

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.detectors.pooling import adaptive_max_pool2d, install_pooling

SIDES = st.integers(1, 23)


@settings(deadline=None)
@given(SIDES, SIDES, SIDES, SIDES)
def test_it_is_torchs(height, width, rows, columns):
    image = torch.randn(2, 3, height, width)
    if rows > height or columns > width:
        rows, columns = min(rows, height), min(columns, width)
    assert torch.equal(adaptive_max_pool2d(image, (rows, columns)),
                       torch.nn.functional.adaptive_max_pool2d(image, (rows, columns)))


@pytest.mark.parametrize("size", [(32, 32), (50, 84)])
def test_a_balanced_pyramid_is_exported_at_any_size(size):
    from mmdet.models.necks import BFP

    install_pooling()
    neck = BFP(in_channels=4, num_levels=4, refine_level=1, refine_type=None).eval()
    levels = [torch.randn(1, 4, -(-size[0] // 2 ** level), -(-size[1] // 2 ** level)) for level in range(4)]
    torch.onnx.export(neck, (levels,), io.BytesIO(), opset_version=11)


@settings(deadline=None)
@given(SIDES, SIDES, SIDES, SIDES)
def test_cells_resize_as_mmcvs(height, width, rows, columns):
    from mmcv.ops.merge_cells import SumCell

    install_pooling()
    cell, image = SumCell(3, 3, with_out_conv=False), torch.randn(2, 3, height, width)
    try:
        expected = SumCell._resize.__wrapped__(cell, image, torch.Size((rows, columns)))
    except RuntimeError:
        # Of one side larger and one smaller mmcv cannot make a kernel.
        return
    assert torch.equal(cell._resize(image, (rows, columns)), expected)
