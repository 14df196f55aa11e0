"""An exported model of which each part can be compressed by itself, run on images of its data."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.base.errors import CandidateFailed, UserError
from core.compression.fake_quantize import FAKE_QUANTIZE
from core.compression.structure import structure_of_ir
from core.evaluation.coco_map import read_annotations, score_detections
from core.evaluation.detections import Detections
from core.export.spec import ModelSpec
from core.openvino.detector import detections_of
from core.openvino.groups import filter_groups, read_graph, remove_quantizers, without_filters
from core.openvino.image import CorruptImageError, read_image
from core.openvino.ir import INPUT, MODEL_ONNX
from core.openvino.preprocess import Preprocessor
from core.openvino.rounding import keep_rounding
from core.openvino.runtime import Hint, at_test_size, compile_model

if TYPE_CHECKING:
    from core.data.dataset import Split

_SUPPRESSION = ("NonMaxSuppression", "TopK")
# Above any error of finite float32 outputs (below 1e88), and sums of its squares are finite.
NOT_FINITE = 1e100


@dataclass(frozen=True)
class Part:
    """A group of layers, and the change of the graph that compresses it.

    Attributes:
        kind: ``quantization`` or ``pruning``.
        module: The first layer's module.
        layers: Names of the layers.
        scopes: Entries of ``ignored_scopes`` for them.
        ports: Each an input in the graph and the output that it reads where the part is compressed.
    """

    kind: str
    module: str
    layers: tuple[str, ...]
    scopes: tuple[str, ...]
    ports: tuple[tuple[Any, Any], ...]


class Images:
    """Images of a split, spread over it, as an exported graph takes them: normalised.

    Args:
        count: How many; all, where there are fewer.
        spec: Of the model that takes them.

    Raises:
        UserError: None of them can be decoded.
    """

    def __init__(self, split: "Split", count: int, spec: ModelSpec) -> None:
        self.inputs: dict[int, np.ndarray] = {}
        self._split, self._preprocessor = split, Preprocessor(spec)
        self._sizes: dict[int, tuple[int, int]] = {}
        listed = read_annotations(split.annotation_file)["images"]
        self._all = [image["id"] for image in listed]
        for place in np.linspace(0, len(listed) - 1, min(count, len(listed))).astype(int):
            image = listed[place]
            with contextlib.suppress(CorruptImageError):
                pixels = read_image(split.image_root / image["file_name"])
                self.inputs[image["id"]] = self._preprocessor.normalised(pixels)
                self._sizes[image["id"]] = pixels.shape[:2]
        if not self.inputs:
            raise UserError("data", split.annotation_file, "None of the chosen images can be decoded.",
                            "Check the data set.")

    def map(self, outputs: Mapping[int, Sequence[np.ndarray]], classes: Sequence[str]) -> float:
        """Return the mAP of a network's boxes and labels by image id."""
        found: dict[int, Detections] = {
            number: detections_of(boxes, labels, self._sizes[number], self._preprocessor, Path(MODEL_ONNX))
            for number, (boxes, labels, *_) in outputs.items()}
        others = [number for number in self._all if number not in found]
        return score_detections(self._split.annotation_file, found, classes, others).metrics.map


class PartedModel:
    """An exported model with nothing compressed, and what can be.

    Args:
        onnx_dir: Folder with model.onnx and spec.json, as export wrote it.
        classes: The data set's classes.
        pruning_level: Share of a group's filters that pruning it removes.

    Raises:
        UserError: It is damaged, finds no boxes of these classes or has nothing to compress.
    """

    def __init__(self, onnx_dir: Path, classes: Sequence[str], pruning_level: float) -> None:
        self._classes = tuple(classes)
        self.model, self.spec = read_graph(Path(onnx_dir) / MODEL_ONNX), ModelSpec.read(onnx_dir)
        if not self.spec.finds_boxes or self._classes != self.spec.classes:
            raise UserError("ONNX model", onnx_dir, f"It must find boxes of the data set's classes, {list(classes)}.",
                            "Give the export of a checkpoint that was trained on this data set, without --raw-heads.")
        at_test_size(self.model, self.spec)
        found = [Part("quantization", group.module, group.layers, group.scopes, group.ports)
                 for group in remove_quantizers(self.model)]
        found += [Part("pruning", group.module, group.layers, group.scopes,
                       tuple(without_filters(group, pruning_level))) for group in filter_groups(self.model)]
        if not found:
            raise UserError("ONNX model", onnx_dir, "It has neither quantizers nor filters that could be removed.",
                            "Give the export of a detector with convolutions.")
        heads = [head.output(0) for head in _raw_outputs(self.model)]
        self._heads = len(heads)
        results = [result.get_node() for result in self.model.add_outputs(heads)]
        self.parts = []
        for part in found:
            # What quantizers of raw outputs do is done to what is compared, too.
            quantizers = {output.get_node().get_name(): output for _, output in part.ports
                          if part.kind == "quantization"}
            further = [(result.input(0), output) for output in quantizers.values() for result in results
                       if _place(output.get_node().input_value(0)) == _place(result.input_value(0))]
            self.parts.append(replace(part, ports=(*part.ports, *further)))

    def of(self, kind: str) -> list[Part]:
        """Return the parts of a kind."""
        return [part for part in self.parts if part.kind == kind]

    @contextlib.contextmanager
    def compressed(self, *parts: Part) -> Iterator[None]:
        """Compress parts as convert does, and put back afterwards what was there."""
        ports = [pair for part in parts for pair in part.ports]
        before = [(port, port.get_source_output()) for port, _ in ports]
        try:
            for port, output in ports:
                port.replace_source_output(output)
            keep_rounding(self.model)
            yield
        finally:
            for port, output in before:
                port.replace_source_output(output)
            self.model.validate_nodes_and_infer_types()

    def raw(self, images: Images) -> list[np.ndarray]:
        """Return each raw output, all images' values in a row."""
        outputs = [found[-self._heads:] for found in self._run(images).values()]
        return [np.concatenate([array.ravel() for array in arrays]) for arrays in zip(*outputs)]

    def map(self, images: Images) -> float:
        """Return the mAP on images."""
        return images.map(self._run(images), self._classes)

    def compressed_map(self, images: Images, *parts: Part) -> float | None:
        """Return the mAP on images with parts compressed; None where that makes boxes of NaN, which nobody can use."""
        with self.compressed(*parts):
            try:
                return self.map(images)
            except CandidateFailed:
                return None

    def _run(self, images: Images) -> dict[int, list[np.ndarray]]:
        request = compile_model(self.model, Hint.LATENCY).create_infer_request()
        found = {}
        for number, network_input in images.inputs.items():
            request.infer({INPUT: network_input})
            found[number] = [request.get_output_tensor(place).data.copy() for place in range(len(self.model.outputs))]
        return found


def error_of(changed: Sequence[np.ndarray], original: Sequence[np.ndarray]) -> float:
    """Return the root mean square difference of raw outputs over their standard deviation; each weighs the same.

    Of an output that is the same everywhere it is over the output itself, over 1 where that is 0. Where one is NaN or
    infinite it is ``NOT_FINITE``, the largest error: NaN has no place in an order.
    """
    shares = []
    with np.errstate(invalid="ignore"):
        for after, before in zip(changed, (array.astype(np.float64) for array in original)):
            shares.append(np.square(after - before).mean() / (before.var() or np.square(before).mean() or 1.0))
        error = float(np.sqrt(np.mean(shares)))
    return error if math.isfinite(error) else NOT_FINITE


def _raw_outputs(model: Any) -> list[Any]:
    """Return the layers with weights behind which there is no other before boxes are suppressed.

    Behind proposals nothing is compared: their order and number change with the smallest differences.
    """
    operations = {operation.get_friendly_name(): operation for operation in model.get_ordered_ops()}
    layers = [operations[layer.name] for layer in structure_of_ir(model).layers]
    suppressing = [operation for operation in operations.values() if operation.get_type_name() in _SUPPRESSION]
    suppressed = _reached(suppressing, ())
    before = [layer for layer in layers if layer.get_name() not in suppressed] or layers
    names = {layer.get_name() for layer in before}
    return [_as_read(layer) for layer in before if not names & _reached([layer], _SUPPRESSION)]


def _reached(nodes: Sequence[Any], stop: Sequence[str]) -> set[str]:
    """Return the names of all operations behind ``nodes``, none behind an operation of a type in ``stop``."""
    found: set[str] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        for reader in [port.get_node() for output in node.outputs() for port in output.get_target_inputs()]:
            if reader.get_name() not in found:
                found.add(reader.get_name())
                if reader.get_type_name() not in stop:
                    waiting.append(reader)
    return found


def _as_read(layer: Any) -> Any:
    """Return the operation that gives a layer's output as post-processing reads it: with its bias, its axes moved.

    A quantizer of a raw output stands behind that. Those that were taken out still read, as do shapes.
    """
    while True:
        readers = [port.get_node() for port in layer.output(0).get_target_inputs()]
        readers = [reader for reader in readers if reader.get_type_name() not in (FAKE_QUANTIZE, "ShapeOf")]
        if len(readers) != 1 or readers[0].get_type_name() not in ("Add", "Reshape", "Transpose"):
            return layer
        (reader,) = readers
        if reader.get_type_name() == "Add" and not any(
                reader.input_value(place).get_node().get_type_name() in ("Constant", "Reshape") for place in range(2)):
            return layer
        layer = reader


def _place(output: Any) -> tuple[str, int]:
    return output.get_node().get_name(), output.get_index()
