"""A toy detector of convolutions that undo each other: what one of them does wrong, all behind it get wrong."""

import dataclasses
import math
import re

import numpy as np
import pytest

from core.base.errors import CandidateFailed, UserError
from core.openvino.groups import Modules
from core.openvino.parts import NOT_FINITE, PartedModel, error_of
from core.openvino.sensitivity import measure_sensitivity
from core.results.sensitivity import Sensitivity

pytestmark = pytest.mark.usefixtures("openvino")
SENSITIVE = 0.1


def write_chain(folder, spec, write_onnx, quantized=True, ranges=(6.0, SENSITIVE)):
    """Write an ONNX folder: conv1 splits an image into positive and negative parts and has two filters of zeros, conv2
    passes them on, conv3 puts them together, then the toy detector follows.

    Args:
        ranges: Largest value that the quantizers before conv2 and conv3 let through.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(str(write_onnx(folder, spec) / "model.onnx"))
    graph = model.graph
    parts = np.concatenate([np.eye(3), -np.eye(3)])
    weights = {"conv1": np.concatenate([parts, np.zeros((2, 3))]), "conv2": np.eye(6, 8),
               "conv3": parts.T}
    nodes, value = [], "image"
    for place, (name, weight) in enumerate(weights.items()):
        graph.initializer.append(numpy_helper.from_array(np.float32(weight)[..., None, None], name))
        kernel = name
        if quantized:
            lowest, highest = (-1.0, 6.0) if place == 0 else (0.0, ranges[place - 1])
            value, quantizer = quantize(helper, numpy_helper, graph, value, f"{name}_in", lowest, highest, 256)
            kernel, other = quantize(helper, numpy_helper, graph, name, f"{name}_weight", -1.0, 1.0, 255)
            nodes += [quantizer, other]
        nodes.append(helper.make_node("Conv", [value, kernel], [f"{name}_out"],
                                      name=f"/nncf_module/backbone/{name}/Conv"))
        value = f"{name}_out"
        if name != "conv3":
            nodes.append(helper.make_node("Relu", [value], [f"{name}_relu"]))
            value = f"{name}_relu"
    detector = next(node for node in graph.node if node.op_type == "Conv")
    detector.input[0], detector.name = value, "/nncf_module/bbox_head/cls/Conv"
    later = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *later])
    onnx.save(model, str(folder / "model.onnx"))
    return folder


def quantize(helper, numpy_helper, graph, source, target, lowest, highest, levels):
    ends = [f"{target}_low", f"{target}_high"]
    graph.initializer.extend(numpy_helper.from_array(np.full((1, 1, 1, 1), end, np.float32), name)
                             for name, end in zip(ends, (lowest, highest)))
    return target, helper.make_node("FakeQuantize", [source, *ends, *ends], [target], domain="org.openvinotoolkit",
                                    levels=levels)


def test_a_layer_that_was_made_sensitive_is_found(tmp_path, scenes, int8_spec, write_onnx):
    """The quantizer before conv3 cuts nearly all off; removing two filters of conv1 that are zero costs nothing."""
    chain = write_chain(tmp_path / "chain", int8_spec, write_onnx)
    found = measure_sensitivity(chain, scenes, images=3, map_images=6, worst=2, pruning_level=0.25)
    assert (found.images, found.map_images, found.map) == (3, 6, pytest.approx(1))
    worst, *others = found.of("quantization")
    assert worst.name == "backbone/conv3" and worst.layers == ("/nncf_module/backbone/conv3/Conv",)
    assert {group.name for group in others} == {"backbone/conv1", "backbone/conv2"}
    assert worst.error > 20 * max(group.error for group in others) and min(group.error for group in others) > 0
    assert worst.map_drop > 0.5 and found.map_quantized < 0.5
    assert [np.isfinite(group.map_drop) for group in (worst, *others)] == [True, True, False]
    assert found.ignored_scopes == worst.scopes
    (scope,) = worst.scopes
    names = ["Toy/Backbone[backbone]/NNCFConv2d[conv3]/conv2d_0", "Toy/Backbone[backbone]/NNCFConv2d[conv2]/conv2d_0"]
    assert [bool(re.search(scope.removeprefix("{re}"), name)) for name in names] == [True, False]
    pruned = {group.name: group.error for group in found.of("pruning")}
    assert set(pruned) == {"backbone/conv1", "backbone/conv2", "backbone/conv3"}
    assert pruned["backbone/conv1"] == 0 and pruned["backbone/conv2"] > 0


def test_a_group_that_makes_boxes_of_nan_loses_all_and_fails_no_run(tmp_path, monkeypatch, scenes, int8_spec,
                                                                    write_onnx):
    chain = write_chain(tmp_path / "chain", int8_spec, write_onnx)
    measured, raw, seen, outputs = PartedModel.map, PartedModel.raw, [], []

    def broken_raw(model, images):
        """NaN where the second quantizer alone acts, which costs little otherwise; the first outputs are of none."""
        outputs.append(images)
        found = raw(model, images)
        return [np.full_like(array, np.nan) for array in found] if len(outputs) == 3 else found

    def broken(model, images):
        seen.append(images)
        if len(seen) > 1:
            raise CandidateFailed("exported model", "it", "It returned boxes or scores that are NaN.", "")
        return measured(model, images)

    monkeypatch.setattr(PartedModel, "map", broken)
    monkeypatch.setattr(PartedModel, "raw", broken_raw)
    found = measure_sensitivity(chain, scenes, images=1, map_images=6, worst=1)
    assert found.map_quantized == 0 and [group.map_drop for group in found.groups[:1]] == [pytest.approx(1)]
    worst, *others = found.of("quantization")
    assert (worst.name, worst.error, found.ignored_scopes) == ("backbone/conv2", NOT_FINITE, worst.scopes)
    assert others[0].name == "backbone/conv3" and 0 < others[1].error < others[0].error < 1e3
    assert Sensitivity.from_text(found.to_text(), "record").groups[0].error == NOT_FINITE


@pytest.mark.parametrize("changed, original, error", [
    ([1, 1], [0, 0], 1), ([0, 0], [0, 0], 0), ([6, 6], [5, 5], 0.2), ([0, 2], [0, 4], 2 ** -0.5),
    ([1e30, -1e30], [1e-30, 0], math.inf), ([math.nan, 0], [1, 0], NOT_FINITE), ([math.inf, 0], [1, 0], NOT_FINITE),
    ([math.inf, 0], [math.inf, 0], NOT_FINITE), ([3.4e38, -3.4e38], [1e-45, 0], math.inf)])
def test_an_output_that_is_the_same_everywhere_has_an_error(changed, original, error):
    """It was divided by the smallest number there is, and the sum of squares was infinite: no record takes that."""
    found = error_of([np.float32(changed)], [np.float32(original)])
    assert found == pytest.approx(error) if math.isfinite(error) else 1e50 < found < NOT_FINITE


def test_a_plain_model_has_filters_alone(tmp_path, scenes, toy_spec, write_onnx):
    chain = write_chain(tmp_path / "chain", toy_spec, write_onnx, quantized=False)
    found = measure_sensitivity(chain, scenes, images=1, map_images=1, worst=0)
    assert {group.kind for group in found.groups} == {"pruning"} and found.ignored_scopes == ()
    assert np.isnan(found.map_quantized)


def test_a_model_with_nothing_to_compress_is_refused(tmp_path, scenes, toy_spec, write_onnx):
    with pytest.raises(UserError, match="neither quantizers nor filters"):
        measure_sensitivity(write_onnx(tmp_path / "toy", toy_spec), scenes)


def test_a_model_of_other_classes_is_refused(tmp_path, scenes, toy_spec, write_onnx):
    folder = write_onnx(tmp_path / "toy", dataclasses.replace(toy_spec, classes=("a", "b", "c")))
    with pytest.raises(UserError, match="the data set's classes"):
        measure_sensitivity(folder, scenes)


class Operation:
    """As much of an operation as its name and its type."""

    def __init__(self, name, kind="Convolution"):
        self.get_friendly_name, self.get_type_name = (lambda: name), (lambda: kind)


@pytest.mark.parametrize("name, kind, module, layer, other", [
    ("/nncf_module/backbone/layer2/layer2.0/downsample/downsample.0/Conv/WithoutBiases", "Convolution",
     "backbone/layer2/0/downsample/0",
     "RetinaNet/ResNet[backbone]/ResLayer[layer2]/BasicBlock[0]/Sequential[downsample]/NNCFConv2d[0]/conv2d_0",
     "RetinaNet/ResNet[backbone]/ResLayer[layer2]/BasicBlock[0]/NNCFConv2d[conv1]/conv2d_0"),
    ("/nncf_module/bbox_head/cls_convs.0/conv_1/Conv", "Convolution", "bbox_head/cls_convs/0/conv",
     "RetinaNet/RetinaHead[bbox_head]/ModuleList[cls_convs]/ConvModule[0]/NNCFConv2d[conv]/conv2d_3",
     "RetinaNet/RetinaHead[bbox_head]/ModuleList[cls_convs]/ConvModule[1]/NNCFConv2d[conv]/conv2d_3"),
    ("/backbone/layer1/layer1.0/Add", "Add", "backbone/layer1/0/Add",
     "RetinaNet/ResNet[backbone]/ResLayer[layer1]/BasicBlock[0]/__iadd___0",
     "RetinaNet/ResNet[backbone]/ResLayer[layer1]/BasicBlock[0]/NNCFConv2d[conv2]/conv2d_0")])
def test_a_scope_is_that_of_the_module(name, kind, module, layer, other):
    first = Operation("/nncf_module/bbox_head/cls_convs.0/conv/Conv")
    operation = Operation(name, kind)
    modules = Modules([first, operation])
    assert "/".join(modules.of(operation)) == module
    expression = modules.scope(operation).removeprefix("{re}")
    assert [bool(re.search(expression, scope)) for scope in (layer, other)] == [True, False]
