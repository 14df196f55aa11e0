"""A detector's ONNX file run by onnxruntime, to tell apart what the export changed and what OpenVINO changes."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.base.errors import UserError
from core.base.progress import progress
from core.compression.fake_quantize import FAKE_QUANTIZE, count_in_onnx
from core.evaluation.detections import Detections
from core.export.spec import ModelSpec
from core.openvino.detector import detections_of
from core.openvino.image import read_image
from core.openvino.ir import MODEL_ONNX
from core.openvino.preprocess import Preprocessor

if TYPE_CHECKING:
    from core.data.dataset import Split


class NotLoaded(Exception):
    """A model that its runtime cannot load; the message says which runtime, and why."""


class OnnxDetector:
    """Runs the folder that export wrote.

    Args:
        onnx_dir: Folder with model.onnx and spec.json.

    Raises:
        NotLoaded: The graph has FakeQuantize, an operator of OpenVINO, or another that onnxruntime lacks.
        UserError: A file is missing or damaged.
    """

    def __init__(self, onnx_dir: Path) -> None:
        self._path = Path(onnx_dir) / MODEL_ONNX
        self.spec = ModelSpec.read(onnx_dir)
        self._preprocessor = Preprocessor(self.spec)
        if count_in_onnx(self._path):
            raise NotLoaded(f"not loaded by onnxruntime: it has {FAKE_QUANTIZE}, an operator of OpenVINO's that it "
                            "lacks")
        self._session = _session(self._path)

    def __call__(self, image: np.ndarray) -> Detections:
        """Return what is in an image, uint8 ``[H, W, 3]`` in BGR order."""
        boxes, labels = self._session.run(["boxes", "labels"], {"image": self._preprocessor.normalised(image)})
        return detections_of(boxes, labels, image.shape[:2], self._preprocessor, self._path)

    def detect(self, images: dict[int, str], split: "Split", description: str) -> dict[int, Detections]:
        """Detect in images of a split, one after the other.

        Args:
            images: Image id to file name.
        """
        found = {}
        with progress(len(images), description, "images") as bar:
            for number, name in images.items():
                found[number] = self(read_image(split.image_root / name))
                bar.update()
        return found


def _session(path: Path) -> Any:
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except (state.NotImplemented, state.InvalidGraph) as error:
        raise NotLoaded(f"not loaded by onnxruntime: {str(error).splitlines()[-1]}") from error
    except (state.Fail, state.InvalidProtobuf, state.NoSuchFile, state.RuntimeException) as error:
        raise UserError("ONNX model", path, f"onnxruntime cannot read it: {str(error).splitlines()[-1]}",
                        "Export the model again.") from error
