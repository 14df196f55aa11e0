"""Which filters go together, and what is left where they are removed."""

import numpy as np
import pytest

from core.openvino.groups import filter_groups, without_filters

pytestmark = pytest.mark.usefixtures("openvino")


@pytest.fixture
def build():
    """Return a maker of convolutions, 1 x 1 and of random weights, on an image of 4 channels."""
    from openvino.runtime import opset13

    random = np.random.default_rng(0)

    def make(source, name, filters=4):
        weight = random.standard_normal((filters, source.get_output_shape(0)[1], 1, 1)).astype(np.float32)
        made = opset13.convolution(source, opset13.constant(weight), [1, 1], [0, 0], [0, 0], [1, 1])
        made.set_friendly_name(f"/backbone/{name}/Conv")
        return made

    return make


def groups_of(outputs, image):
    from openvino.runtime import Model

    return {group.module: [layer.split("/")[2] for layer in group.layers]
            for group in filter_groups(Model(outputs, [image], "model"))}


@pytest.fixture
def image(openvino):
    from openvino.runtime import opset13

    return opset13.parameter([1, 4, 8, 8], np.float32)


def test_filters_whose_outputs_are_added_go_together(build, image):
    from openvino.runtime import opset13

    first, second = build(image, "first"), build(image, "second")
    third = build(opset13.relu(opset13.add(first, second)), "third")
    last = build(opset13.avg_pool(third, [1, 1], [0, 0], [0, 0], [1, 1], exclude_pad=True), "last")
    assert {tuple(sorted(layers)) for layers in groups_of([last], image).values()} == {("first", "second"), ("third",)}


def test_filters_behind_which_something_else_reads_stay(build, image):
    """The image itself is added to one, another leaves the network besides, and axes are moved behind the third."""
    from openvino.runtime import opset13

    residual = build(opset13.add(build(image, "added"), image), "residual")
    moved = opset13.transpose(residual, opset13.constant([0, 2, 3, 1]))
    seen = build(image, "seen")
    assert groups_of([moved, seen, build(seen, "last")], image) == {}


def test_depthwise_layers_pass_channels_on(build, image):
    from openvino.runtime import opset13

    first = build(image, "first")
    weight = opset13.constant(np.ones((4, 1, 1, 1, 1), np.float32))
    depthwise = opset13.group_convolution(first, weight, [1, 1], [0, 0], [0, 0], [1, 1])
    assert groups_of([build(depthwise, "last")], image) == {"backbone/first": ["first"]}


def test_calls_of_one_module_share_their_filters(build, image):
    from openvino.runtime import opset13

    first, again = build(image, "head"), build(image, "head_1")
    readers = [build(opset13.relu(call), name) for call, name in ((first, "one"), (again, "two"))]
    ((module, layers),) = groups_of(readers, image).items()
    assert (module, sorted(layers)) == ("backbone/head", ["head", "head_1"])


def test_filters_of_modules_that_one_module_reads_go_together(build, image):
    readers = [build(build(image, name), call) for name, call in (("level0", "head"), ("level1", "head_1"))]
    ((_, layers),) = groups_of(readers, image).items()
    assert sorted(layers) == ["level0", "level1"]


def test_readers_lose_the_channels_of_the_smallest_filters(build, image):
    from openvino.runtime import Model

    last = build(build(image, "first", filters=8), "last")
    (group,) = filter_groups(Model([last], [image], "model"))
    ((port, output),) = without_filters(group, 0.25)
    weight, changed = last.input_value(1).get_node().data, output.get_node().data
    removed = np.argsort(group.norms)[:2]
    assert port.get_node().get_friendly_name() == last.get_friendly_name() and port.get_index() == 1
    assert not changed[:, removed].any() and (np.delete(changed, removed, 1) == np.delete(weight, removed, 1)).all()
