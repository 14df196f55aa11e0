"""Whether a model whose pruned filters were removed still calculates what it did."""

from typing import Any

import numpy as np

from core.compression.structure import structure_of_ir
from core.openvino.runtime import Hint, compile_model

# Of a layer's largest value: other orders of adding differ by some 1e-6.
_ALIKE = 1e-3


def changed_layer(before: Any, after: Any) -> str:
    """Return a last layer with weights that gives other results on an image of noise; empty where none does.

    OpenVINO's pruning transformation takes other channels than those of zeros out where branches meet as in NAS-FPN.
    Quantizers are left out: one step of theirs more or less would hide what is looked for. Behind a suppression a row
    can change its place, so half of a layer's values must be alike; a channel too few changes all behind it. Last are
    layers from which no way leads to another one: those of the heads, the results of which fit in memory together.

    Args:
        before: The model as converted; it is changed and of no further use.
        after: The same with filters removed; it stays as it is.
    """
    after = after.clone()
    image = np.random.RandomState(0).randint(0, 256, list(before.inputs[0].get_shape())).astype(np.float32)
    names = _last_layers(before)
    for name, first, second in zip(names, *(_results(model, names, image) for model in (before, after))):
        largest = np.abs(first).max(initial=0.0)
        if first.shape != second.shape or np.median(np.abs(first - second)) > _ALIKE * largest:
            return name
    return ""


def _last_layers(model: Any) -> list[str]:
    layers = {layer.name for layer in structure_of_ir(model).layers}
    leading: set[str] = set()
    for operation in reversed(model.get_ordered_ops()):
        readers = {port.get_node().get_friendly_name() for output in operation.outputs()
                   for port in output.get_target_inputs()}
        if readers & (layers | leading):
            leading.add(operation.get_friendly_name())
    return sorted(layers - leading)


def _results(model: Any, names: list[str], image: np.ndarray) -> list[np.ndarray]:
    """Return the channels of layers that are not zero, [channels, values]; no values of layers that are not there."""
    for operation in model.get_ordered_ops():
        if operation.get_type_name() == "FakeQuantize":
            operation.output(0).replace(operation.input_value(0))
    operations = {operation.get_friendly_name(): operation for operation in model.get_ordered_ops()}
    model.add_outputs([operations[name].output(0) for name in names if name in operations])
    # One that was an output before is none once more.
    places = {result.input_value(0).get_node().get_friendly_name(): place
              for place, result in enumerate(model.results)}
    request = compile_model(model, Hint.LATENCY).create_infer_request()
    request.infer({0: image})
    return [_channels(request.get_output_tensor(places[name]).data, operations[name]) if name in operations
            else np.zeros((0, 0), np.float32) for name in names]


def _channels(values: np.ndarray, layer: Any) -> np.ndarray:
    if len(layer.get_input_shape(1)) == 1:
        # A vector of weights, as in GFL's integral over bins: one channel, which has no axis.
        values = values[..., None]
    axis = -1 if layer.get_type_name() == "MatMul" else 1
    rows = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
    return rows[np.abs(rows).max(axis=1, initial=0.0) > 0]
