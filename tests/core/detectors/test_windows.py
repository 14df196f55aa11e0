"""Attention within shifted windows equals MMDetection's, padded or not."""

import pytest
import torch
from mmdet.models.backbones.swin import ShiftWindowMSA

from core.detectors import windows


@pytest.mark.parametrize("size", [(14, 14), (10, 16), (7, 5), (5, 6)])
@pytest.mark.parametrize("shift", [0, 3])
def test_it_is_mmdetections(size, shift):
    windows.install_windows()
    original = ShiftWindowMSA.forward.__wrapped__
    torch.manual_seed(0)
    layer = ShiftWindowMSA(8, 2, window_size=7, shift_size=shift).eval()
    torch.nn.init.normal_(layer.w_msa.relative_position_bias_table)
    tokens = torch.randn(2, size[0] * size[1], 8)
    with torch.no_grad():
        assert torch.equal(windows.shifted_window_attention(layer, tokens, size), original(layer, tokens, size))
