"""Layers whose results are compared when pruned filters were removed."""

import numpy as np
import pytest

from core.openvino.removal import changed_layer

pytestmark = pytest.mark.usefixtures("openvino")
RANDOM = np.random.default_rng(0)
BINS = 5


def model(weight, factor=1.0):
    """Return a convolution whose channels are, position by position, multiplied by ``weight``."""
    from openvino.runtime import Model, opset13

    image = opset13.parameter([1, 3, 8, 8], np.float32)
    kernel = np.random.default_rng(1).normal(size=(BINS, 3, 3, 3)).astype(np.float32)
    layer = opset13.convolution(image, kernel, [1, 1], [1, 1], [1, 1], [1, 1])
    layer.set_friendly_name("convolution")
    places = opset13.transpose(layer, np.int64([0, 2, 3, 1]))
    product = opset13.matmul(places, opset13.constant((weight * factor).astype(np.float32)), False, False)
    product.set_friendly_name("product")
    return Model([opset13.result(product)], [image], "model")


@pytest.mark.parametrize("shape", [(BINS,), (BINS, 1), (BINS, 4)], ids=["vector", "column", "matrix"])
def test_a_product_with_weights_of_any_rank_is_compared(shape):
    """A vector as in GFL's integral over bins, the product with which has one axis less."""
    weight = RANDOM.normal(size=shape)
    assert changed_layer(model(weight), model(weight)) == ""
    assert changed_layer(model(weight), model(weight, factor=2.0)) == "product"


def test_a_removed_feature_of_zeros_is_no_change():
    weight = RANDOM.normal(size=(BINS, 4))
    weight[:, 2] = 0
    assert changed_layer(model(weight), model(np.delete(weight, 2, axis=1))) == ""
    assert changed_layer(model(weight), model(np.delete(weight, 1, axis=1))) == "product"
