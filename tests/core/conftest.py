"""A toy detector small enough to check by hand: it finds bright cells of one colour on a dark image."""

import dataclasses
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from core.export.spec import ModelSpec

if TYPE_CHECKING:
    from core.data.dataset import Dataset

CELL = 8
SLOPE = 0.05
MIDDLE_GRAY = 128
DIGEST = "0" * 64
COLOURS = {"red": (0, 0, 255), "green": (0, 255, 0), "blue": (255, 0, 0)}


@pytest.fixture(scope="session")
def openvino() -> Any:
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("openvino is not in this environment")
    from core.openvino.runtime import import_openvino

    return import_openvino()


def toy_model_spec() -> ModelSpec:
    return ModelSpec(
        input_height=48, input_width=64, resize_height=48, resize_width=64, resize_type="standard", keep_ratio=False,
        pad_pixel=(30.0, 20.0, 10.0), mean=(10.0, 20.0, 30.0), std=(50.0, 60.0, 70.0), to_rgb=True, dynamic=False,
        size_divisor=1, outputs=("boxes", "labels"), classes=("red", "green", "blue"),
        score_threshold=0.05, iou_threshold=0.5, max_detections=100, algorithms=(), fake_quantize_nodes=0,
        nncf_config_sha256="", checkpoint_sha256=DIGEST)


@pytest.fixture(scope="session")
def toy_spec() -> ModelSpec:
    return toy_model_spec()


@pytest.fixture(scope="session")
def letterbox_spec(toy_spec: ModelSpec) -> ModelSpec:
    return dataclasses.replace(toy_spec, resize_type="fit_to_window", keep_ratio=True)


@pytest.fixture(scope="session")
def int8_spec(toy_spec: ModelSpec) -> ModelSpec:
    return dataclasses.replace(toy_spec, algorithms=("quantization",), fake_quantize_nodes=2,
                               nncf_config_sha256="1" * 64)


@pytest.fixture(scope="session")
def toy_ir(tmp_path_factory: pytest.TempPathFactory, openvino: Any, toy_spec: ModelSpec) -> Path:
    return _convert(tmp_path_factory.mktemp("toy"), toy_spec)


@pytest.fixture(scope="session")
def letterbox_ir(tmp_path_factory: pytest.TempPathFactory, openvino: Any, letterbox_spec: ModelSpec) -> Path:
    return _convert(tmp_path_factory.mktemp("letterbox"), letterbox_spec)


@pytest.fixture(scope="session")
def int8_ir(tmp_path_factory: pytest.TempPathFactory, openvino: Any, int8_spec: ModelSpec) -> Path:
    return _convert(tmp_path_factory.mktemp("int8"), int8_spec, quantized=True)


def _convert(directory: Path, spec: ModelSpec, quantized: bool = False) -> Path:
    from core.openvino.ir import convert_to_ir

    convert_to_ir(write_toy_onnx(directory / "onnx", spec, quantized), directory / "ir")
    return directory / "ir"


@pytest.fixture
def scenes(tmp_path: Path) -> "Dataset":
    """Six images of 128 x 96 pixels with squares that fall on the toy detector's cells, so that its mAP is 1."""
    import cv2

    from core.data.dataset import Dataset, Split

    random = np.random.default_rng(0)
    (tmp_path / "scenes").mkdir()
    images, annotations = [], []
    for number in range(1, 7):
        picture = np.zeros((96, 128, 3), np.uint8)
        for cell in random.choice(48, size=3, replace=False):
            x, y, label = int(cell % 8) * 16, int(cell // 8) * 16, int(random.integers(3))
            picture[y:y + 16, x:x + 16] = list(COLOURS.values())[label]
            annotations.append({"id": len(annotations) + 1, "image_id": number, "category_id": label + 1,
                                "bbox": [x, y, 16, 16], "area": 256, "iscrowd": 0})
        images.append({"id": number, "file_name": f"scene {number}.png", "width": 128, "height": 96})
        cv2.imwrite(str(tmp_path / "scenes" / f"scene {number}.png"), picture)
    categories = [{"id": number, "name": name} for number, name in enumerate(COLOURS, 1)]
    truth = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    split = Split("test", tmp_path / "truth.json", tmp_path / "scenes", len(images), len(annotations))
    return Dataset(tuple(COLOURS), split, None, split, DIGEST, ())


@pytest.fixture(scope="session")
def write_onnx() -> Callable[..., Path]:
    return write_toy_onnx


def write_toy_onnx(directory: Path, spec: ModelSpec, quantized: bool = False) -> Path:
    """Write the toy detector and its spec as the export stage would.

    A convolution averages each 8 x 8 cell of each channel; its score for the channel's class is
    sigmoid(0.05 (raw value - 128)), its box the cell itself. As in MMDetection's export, NonMaxSuppression is in the
    graph: every cell has a second box one pixel off, which it must suppress, and a padding row ends the output.
    """
    import onnx
    from onnx import TensorProto, helper

    directory.mkdir(parents=True, exist_ok=True)
    nodes, constants = _head(spec)
    if quantized:
        nodes = [*_fake_quantize("image", "activation", "image_range"), *_fake_quantize("weight", "kernel", "w_range"),
                 helper.make_node("Conv", ["activation", "kernel", "bias"], ["logits"], strides=[CELL, CELL]), *nodes]
        constants.update(image_range_low=_range(-1), image_range_high=_range(6),
                         w_range_low=_range(-0.06), w_range_high=_range(0.06))
    else:
        nodes = [helper.make_node("Conv", ["image", "weight", "bias"], ["logits"], strides=[CELL, CELL]), *nodes]
    graph = helper.make_graph(
        nodes, "toy",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, spec.input_height, spec.input_width])],
        [helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, None, 5]),
         helper.make_tensor_value_info("labels", TensorProto.INT64, [1, None])],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()])
    opsets = [helper.make_opsetid("", 11), helper.make_opsetid("org.openvinotoolkit", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=6), str(directory / "model.onnx"))
    spec.write(directory)
    return directory


def add_masks(onnx_dir: Path, mask: np.ndarray) -> None:
    """Give the toy detector of a folder the output ``masks``: ``mask``, float32 [28, 28], for every box."""
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load(str(onnx_dir / "model.onnx"))
    constants = {"first_two": np.int64([0, 1]), "sides": np.int64([1, 1]), "mask": mask[None, None]}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in constants.items())
    model.graph.node.extend([
        helper.make_node("Shape", ["boxes"], ["boxes_shape"]),
        helper.make_node("Gather", ["boxes_shape", "first_two"], ["rows_shape"]),
        helper.make_node("Concat", ["rows_shape", "sides"], ["masks_shape"], axis=0),
        helper.make_node("ConstantOfShape", ["masks_shape"], ["ones"],
                         value=helper.make_tensor("value", TensorProto.FLOAT, [1], [1.0])),
        helper.make_node("Mul", ["ones", "mask"], ["masks"])])
    model.graph.output.append(helper.make_tensor_value_info("masks", TensorProto.FLOAT, [1, None, *mask.shape]))
    onnx.save(model, str(onnx_dir / "model.onnx"))


def _head(spec: ModelSpec) -> Any:
    from onnx import helper

    rows, columns = spec.input_height // CELL, spec.input_width // CELL
    y, x = np.mgrid[:rows, :columns].reshape(2, -1) * CELL
    cells = np.stack([x, y, x + CELL, y + CELL], axis=1)
    weight = np.zeros((3, 3, CELL, CELL), np.float32)
    weight[range(3), range(3)] = np.reshape(spec.std, (3, 1, 1)) * SLOPE / CELL ** 2
    constants = {
        "weight": weight, "bias": np.float32((np.array(spec.mean) - MIDDLE_GRAY) * SLOPE),
        "anchors": np.concatenate([cells, cells + 1])[None].astype(np.float32),
        "score_shape": np.int64([1, 3, rows * columns]), "max_boxes": np.int64([50]),
        "iou": np.float32([spec.iou_threshold]), "score": np.float32([spec.score_threshold]),
        "one": np.int64(1), "two": np.int64(2), "class_and_box": np.int64([1, 2]), "anchor_shape": np.int64([-1, 4]),
        "second_best": np.float32(0.9), "padding_box": np.zeros((1, 5), np.float32), "padding_label": np.int64([-1])}
    nodes = [
        helper.make_node("Sigmoid", ["logits"], ["cell_scores"]),
        helper.make_node("Reshape", ["cell_scores", "score_shape"], ["scores_once"]),
        helper.make_node("Mul", ["scores_once", "second_best"], ["scores_twice"]),
        helper.make_node("Concat", ["scores_once", "scores_twice"], ["scores"], axis=2),
        helper.make_node("NonMaxSuppression", ["anchors", "scores", "max_boxes", "iou", "score"], ["selected"]),
        helper.make_node("Gather", ["selected", "one"], ["kept_labels"], axis=1),
        helper.make_node("Gather", ["selected", "two"], ["kept_anchors"], axis=1),
        helper.make_node("Gather", ["selected", "class_and_box"], ["score_index"], axis=1),
        helper.make_node("Reshape", ["anchors", "anchor_shape"], ["anchor_list"]),
        helper.make_node("Gather", ["anchor_list", "kept_anchors"], ["kept_boxes"], axis=0),
        helper.make_node("Squeeze", ["scores"], ["score_table"], axes=[0]),
        helper.make_node("GatherND", ["score_table", "score_index"], ["kept_scores"]),
        helper.make_node("Unsqueeze", ["kept_scores"], ["score_column"], axes=[1]),
        helper.make_node("Concat", ["kept_boxes", "score_column"], ["rows"], axis=1),
        helper.make_node("Concat", ["rows", "padding_box"], ["padded_rows"], axis=0),
        helper.make_node("Concat", ["kept_labels", "padding_label"], ["padded_labels"], axis=0),
        helper.make_node("Unsqueeze", ["padded_rows"], ["boxes"], axes=[0]),
        helper.make_node("Unsqueeze", ["padded_labels"], ["labels"], axes=[0])]
    return nodes, constants


def _fake_quantize(source: str, target: str, limits: str) -> list[Any]:
    from onnx import helper

    ends = [f"{limits}_low", f"{limits}_high"]
    return [helper.make_node("FakeQuantize", [source, *ends, *ends], [target], domain="org.openvinotoolkit",
                             levels=255 if target == "kernel" else 256)]


def _range(end: float) -> np.ndarray:
    return np.full((1, 1, 1, 1), end, np.float32)
