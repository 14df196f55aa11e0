"""What compressing each part of a model costs: one part at a time, in OpenVINO, on images of its data.

First the error of the raw outputs, which a few images show exactly; of the parts with the largest errors then mAP.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.base.digest import sha256_file
from core.base.errors import UserError
from core.base.progress import progress
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
from core.results.sensitivity import GroupCost, Sensitivity

if TYPE_CHECKING:
    from core.data.dataset import Dataset, Split

IMAGES = 16
MAP_IMAGES = 50
WORST = 20
PRUNING_LEVEL = 0.4
MOST_IGNORED = 10
_SUPPRESSION = ("NonMaxSuppression", "TopK")
Ports = Sequence[tuple[Any, Any]]


@dataclass(frozen=True)
class _Part:
    """A group with the change of the graph that compresses it: inputs, and what each is to read."""

    kind: str
    module: str
    layers: tuple[str, ...]
    scopes: tuple[str, ...]
    ports: Ports


def measure_sensitivity(onnx_dir: Path, data: "Dataset", images: int = IMAGES, map_images: int = MAP_IMAGES,
                        worst: int = WORST, pruning_level: float = PRUNING_LEVEL) -> Sensitivity:
    """Compress each group of quantizers and of filters by itself, and measure what that changes.

    Args:
        onnx_dir: Folder with model.onnx and spec.json, as export wrote it; quantizers are those of a quantized model.
        data: The data set: errors are over its training images, mAP over validation, or test where there is none.
        images: How many images the errors are over.
        map_images: How many images mAP is over.
        worst: Of how many groups of each kind mAP is measured.
        pruning_level: Share of a group's filters that is removed.

    Raises:
        UserError: The model is damaged, finds no boxes or has nothing to compress, or no image can be read.
    """
    model, spec = read_graph(Path(onnx_dir) / MODEL_ONNX), ModelSpec.read(onnx_dir)
    if not spec.finds_boxes or tuple(data.classes) != spec.classes:
        raise UserError("ONNX model", onnx_dir, f"It must find boxes of the data set's classes, {list(data.classes)}.",
                        "Give the export of a checkpoint that was trained on this data set, without --raw-heads.")
    at_test_size(model, spec)
    quantizers = remove_quantizers(model)
    filters = filter_groups(model)
    parts = [_Part("quantization", group.module, group.layers, group.scopes, group.ports) for group in quantizers]
    parts += [_Part("pruning", group.module, group.layers, group.scopes, without_filters(group, pruning_level))
              for group in filters]
    if not parts:
        raise UserError("ONNX model", onnx_dir, "It has neither quantizers nor filters that could be removed.",
                        "Give the export of a detector with convolutions.")
    heads = _raw_outputs(model)
    results = model.add_outputs([head.output(0) for head in heads])
    parts = [_with_results(part, results) for part in parts]
    few = _Images(data.train, images, spec)
    many = _Images(data.val or data.test, map_images, spec)
    reference = few.raw(model, len(heads))
    errors, drops = {}, {}
    with progress(len(parts) + 2 * worst, "sensitivity", "trials") as bar:
        for place, part in enumerate(parts):
            with _changed(model, part.ports):
                errors[place] = _error(few.raw(model, len(heads)), reference)
            bar.update()
        whole = many.map(model, data.classes)
        ranked = sorted(errors, key=lambda place: -errors[place])
        for kind in ("quantization", "pruning"):
            for place in [place for place in ranked if parts[place].kind == kind][:worst]:
                with _changed(model, parts[place].ports):
                    drops[place] = whole - many.map(model, data.classes)
                bar.update()
    costs = [GroupCost(kind=parts[place].kind, name=parts[place].module, layers=parts[place].layers,
                       scopes=parts[place].scopes, error=errors[place], map_drop=drops.get(place, float("nan")))
             for place in ranked]
    quantized = float("nan")
    if quantizers:
        with _changed(model, [pair for part in parts if part.kind == "quantization" for pair in part.ports]):
            keep_rounding(model)
            quantized = many.map(model, data.classes)
    in_order = sorted(costs, key=lambda cost: cost.kind != "quantization")
    return Sensitivity(version=1, kind="sensitivity", onnx_sha256=sha256_file(Path(onnx_dir) / MODEL_ONNX),
                       images=len(few.inputs), map_images=len(many.inputs), map=whole, map_quantized=quantized,
                       pruning_level=pruning_level, groups=tuple(in_order),
                       ignored_scopes=tuple(_worth_ignoring(costs)))


def _with_results(part: _Part, results: Sequence[Any]) -> _Part:
    """Return a part whose quantizers of raw outputs act on what is compared, too."""
    sources = [(result.get_node().input(0), result.get_node().input_value(0)) for result in results]
    quantizers = [output for _, output in part.ports if output.get_node().get_type_name() == FAKE_QUANTIZE]
    further = {port.get_node().get_name(): (port, output) for output in quantizers for port, source in sources
               if _same(output.get_node().input_value(0), source)}
    return replace(part, ports=(*part.ports, *further.values()))


def _same(first: Any, second: Any) -> bool:
    return first.get_node().get_name() == second.get_node().get_name() and first.get_index() == second.get_index()


def _worth_ignoring(costs: Sequence[GroupCost]) -> Iterator[str]:
    """Yield the scopes of the quantizers whose errors, squared, make half of the sum.

    Errors of different layers add up like independent noise: by their squares.
    """
    squares = [(cost.error ** 2, cost) for cost in costs if cost.kind == "quantization"]
    left = sum(square for square, _ in squares) / 2
    for square, cost in squares[:MOST_IGNORED]:
        if left <= 0:
            return
        yield from cost.scopes
        left -= square


def _raw_outputs(model: Any) -> list[Any]:
    """Return the layers with weights behind which there is no other before boxes are suppressed.

    Behind proposals nothing is compared: their order and number change with the smallest differences.
    """
    operations = {operation.get_friendly_name(): operation for operation in model.get_ordered_ops()}
    layers = [operations[layer.name] for layer in structure_of_ir(model).layers]
    suppressed = _reached([operation for operation in operations.values()
                           if operation.get_type_name() in _SUPPRESSION], ())
    before = [layer for layer in layers if layer.get_name() not in suppressed] or layers
    names = {layer.get_name() for layer in before}
    return [_with_bias(layer) for layer in before if not names & _reached([layer], _SUPPRESSION)]


def _with_bias(layer: Any) -> Any:
    """Return the operation that adds a layer's bias, or the layer where it has none."""
    readers = [port.get_node() for port in layer.output(0).get_target_inputs()]
    biased = [reader for reader in readers if reader.get_type_name() == "Add" and any(
        reader.input_value(place).get_node().get_type_name() in ("Constant", "Reshape") for place in range(2))]
    return biased[0] if len(readers) == len(biased) == 1 else layer


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


@contextlib.contextmanager
def _changed(model: Any, ports: Ports) -> Iterator[None]:
    """Let each input read what belongs to it in ``ports``, and put back afterwards what it read before."""
    before = [(port, port.get_source_output()) for port, _ in ports]
    try:
        for port, output in ports:
            port.replace_source_output(output)
        model.validate_nodes_and_infer_types()
        yield
    finally:
        for port, output in before:
            port.replace_source_output(output)
        model.validate_nodes_and_infer_types()


def _error(found: Sequence[Sequence[np.ndarray]], reference: Sequence[Sequence[np.ndarray]]) -> float:
    """Return the root mean square difference of outputs over their standard deviation; each output weighs the same."""
    shares = []
    for changed, original in zip(zip(*found), zip(*reference)):
        whole = np.concatenate([array.ravel() for array in original])
        difference = np.concatenate([array.ravel() for array in changed]) - whole
        shares.append(float(np.square(difference).mean() / max(whole.var(), np.finfo(np.float32).tiny)))
    return float(np.sqrt(np.mean(shares)))


class _Images:
    """Images of a split, spread over it, as the exported graph takes them: normalised."""

    def __init__(self, split: "Split", count: int, spec: ModelSpec) -> None:
        self._split, self._spec, self._preprocessor = split, spec, Preprocessor(spec)
        self.inputs: dict[int, np.ndarray] = {}
        self._sizes: dict[int, tuple[int, int]] = {}
        listed = read_annotations(split.annotation_file)["images"]
        self._all = [image["id"] for image in listed]
        mean, std = (np.float32(values).reshape(1, 3, 1, 1) for values in (spec.mean, spec.std))
        for place in np.linspace(0, len(listed) - 1, min(count, len(listed))).astype(int):
            image = listed[place]
            with contextlib.suppress(CorruptImageError):
                pixels = read_image(split.image_root / image["file_name"])
                raw = self._preprocessor(pixels)
                self.inputs[image["id"]] = ((raw[:, ::-1] if spec.to_rgb else raw) - mean) / std
                self._sizes[image["id"]] = pixels.shape[:2]
        if not self.inputs:
            raise UserError("data", split.annotation_file, "None of the chosen images can be decoded.",
                            "Check the data set.")

    def raw(self, model: Any, heads: int) -> list[list[np.ndarray]]:
        """Return the last ``heads`` outputs of a model for every image."""
        return [outputs[-heads:] for outputs in self._run(model).values()]

    def map(self, model: Any, classes: Sequence[str]) -> float:
        """Return the mAP of a model on these images."""
        found: Mapping[int, Detections] = {
            number: detections_of(outputs[0], outputs[1], self._sizes[number], self._preprocessor, Path(MODEL_ONNX))
            for number, outputs in self._run(model).items()}
        others = [number for number in self._all if number not in found]
        return score_detections(self._split.annotation_file, found, classes, others).metrics.map

    def _run(self, model: Any) -> dict[int, list[np.ndarray]]:
        request = compile_model(model, Hint.LATENCY).create_infer_request()
        found = {}
        for number, network_input in self.inputs.items():
            request.infer({INPUT: network_input})
            found[number] = [request.get_output_tensor(place).data.copy() for place in range(len(model.outputs))]
        return found
