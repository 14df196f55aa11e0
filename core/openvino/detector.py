"""A detector in OpenVINO that gives the boxes MMDetection would give."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.base.cores import usable_cores
from core.base.errors import CandidateFailed, UserError
from core.base.progress import progress
from core.evaluation.detections import Detections, Masks
from core.export.spec import MASK_OUTPUT
from core.openvino.image import CorruptImageError, read_image
from core.openvino.preprocess import Preprocessor
from core.openvino.runtime import Hint, compile_model, import_openvino, read_ir, waited_for

MOST_DECODE_THREADS = 8


@dataclass(frozen=True)
class ImageFile:
    """An image of a data set: its id in the annotation file and where it lies."""

    id: int
    path: Path


@dataclass(frozen=True)
class DetectionRun:
    """Detections of many images.

    Args:
        detections: Image id to detections, without the corrupt images.
        corrupt: Image id to the reason why it could not be decoded.
        seconds: Wall time of decoding and inference together.
    """

    detections: dict[int, Detections]
    corrupt: dict[int, str]
    seconds: float


@dataclass(frozen=True)
class _Decoded:
    image: ImageFile
    size: tuple[int, int]
    network_input: np.ndarray


def detections_of(boxes: np.ndarray, labels: np.ndarray, image_size: tuple[int, int], preprocessor: Preprocessor,
                  model: Path, masks: np.ndarray | None = None) -> Detections:
    """Turn an exported network's output for one image into detections in that image's pixels.

    Args:
        boxes: ``[1, N, 5]``: x1, y1, x2, y2, score in pixels of the network input.
        labels: ``[1, N]``; rows of label -1 or a score not above the threshold are padding.
        image_size: Height and width of the original image.
        preprocessor: What made the network's input.
        model: Where the network lies, for messages.
        masks: ``[1, N, h, w]``: probabilities within each box; None leaves them out.

    Raises:
        CandidateFailed: The scores are not numbers, or a label is none of the model's: the model is broken, and
            dropping them would look like low accuracy.
    """
    rows, classes, spec = boxes[0], labels[0].astype(np.int64), preprocessor.spec
    if np.isnan(rows).any():
        raise CandidateFailed("exported model", model, "It returned boxes or scores that are NaN.",
                        "The weights are damaged or training diverged: check the checkpoint it was made from.")
    kept = np.flatnonzero((rows[:, 4] > spec.score_threshold) & (classes >= 0))
    if classes[kept].max(initial=-1) >= len(spec.classes):
        raise CandidateFailed("exported model", model, f"It returned label {classes[kept].max()}, but names "
                        f"{len(spec.classes)} classes.",
                        "Export the checkpoint again: model and metadata do not belong together.")
    kept = kept[np.argsort(-rows[kept, 4], kind="stable")][:spec.max_detections]
    return Detections(
        boxes=preprocessor.to_original(rows[kept, :4], image_size), scores=rows[kept, 4].astype(np.float32),
        labels=classes[kept], masks=None if masks is None else Masks(
            masks[0][kept].astype(np.float32), preprocessor.to_original(rows[kept, :4], image_size, clip=False)))


class OpenVinoDetector:
    """Runs an IR folder; all it needs to know is in the IR's own metadata.

    Args:
        ir_dir: Folder with model.xml and model.bin.
        hint: Optimise one image's latency, or the throughput of many.
        threads: CPU threads; None leaves the choice to OpenVINO.

    Raises:
        UserError: A file is missing or damaged, has no metadata or raw heads, or cannot be run here.
    """

    def __init__(self, ir_dir: Path, hint: Hint = Hint.LATENCY, threads: int | None = None) -> None:
        self.ir_dir = Path(ir_dir)
        model, self.spec = read_ir(self.ir_dir)
        if not self.spec.finds_boxes:
            raise UserError("OpenVINO IR", self.ir_dir, f"Its outputs are raw heads ({', '.join(self.spec.outputs)}), "
                            "in which no boxes can be seen.", "Export the checkpoint without --raw-heads.")
        self._compiled = compile_model(model, hint, threads)
        self._request = self._compiled.create_infer_request()
        self._preprocessor = Preprocessor(self.spec)

    def __call__(self, image: np.ndarray) -> Detections:
        """Return what is in an image, uint8 ``[H, W, 3]`` in BGR order; with masks, where the model has them."""
        self._request.infer({"image": self.preprocess(image)})
        masks = self._request.get_tensor(MASK_OUTPUT).data if self.spec.has_masks else None
        return detections_of(*_outputs(self._request), image.shape[:2], self._preprocessor, self.ir_dir, masks)

    def preprocess(self, image: np.ndarray) -> np.ndarray:
        """Return the network input for an image, as ``Preprocessor`` does."""
        return self._preprocessor(image)

    def postprocess(self, boxes: np.ndarray, labels: np.ndarray, image_size: tuple[int, int]) -> Detections:
        """Turn the network's output for one image into detections, as ``detections_of`` does."""
        return detections_of(boxes, labels, image_size, self._preprocessor, self.ir_dir)

    def detect_all(self, images: Sequence[ImageFile], description: str = "detecting",
                   decode_threads: int | None = None) -> DetectionRun:
        """Detect in many images; decoding and resizing run beside inference, in bounded memory.

        Images that cannot be decoded are listed in the result and have no detections. Masks, which would fill the
        memory, are left out.

        Args:
            decode_threads: Threads that decode and resize; by default one for each core, up to ``MOST_DECODE_THREADS``.

        Raises:
            UserError: An image file is missing or unreadable, or the model is broken.
        """
        threads = decode_threads or min(usable_cores(), MOST_DECODE_THREADS)
        queue = import_openvino().AsyncInferQueue(self._compiled)
        finished: deque[tuple[_Decoded, np.ndarray, np.ndarray]] = deque()
        # An exception in the callback would end the process, so it only copies; the rest happens on this thread.
        queue.set_callback(lambda request, decoded: finished.append((decoded, *_outputs(request))))
        detections: dict[int, Detections] = {}
        corrupt: dict[int, str] = {}
        started = time.perf_counter()
        with progress(len(images), description, "images") as bar, waited_for(queue):
            for image, decoded in self._decode_all(images, threads, ahead=2 * len(queue) + threads):
                if isinstance(decoded, CorruptImageError):
                    corrupt[image.id] = decoded.reason
                else:
                    queue.start_async({"image": decoded.network_input}, decoded)
                self._collect(finished, detections)
                bar.update()
        self._collect(finished, detections)
        return DetectionRun(detections, corrupt, time.perf_counter() - started)

    def _collect(self, finished: deque[tuple[_Decoded, np.ndarray, np.ndarray]],
                 detections: dict[int, Detections]) -> None:
        while finished:
            decoded, boxes, labels = finished.popleft()
            detections[decoded.image.id] = self.postprocess(boxes, labels, decoded.size)

    def _decode_all(self, images: Sequence[ImageFile], threads: int, ahead: int) -> Iterator[tuple[ImageFile, Any]]:
        """Yield each image in order, decoded or with its CorruptImageError, at most ``ahead`` images in advance."""
        def decode(image: ImageFile) -> tuple[ImageFile, _Decoded | CorruptImageError]:
            try:
                pixels = read_image(image.path)
            except CorruptImageError as error:
                return image, error
            return image, _Decoded(image, pixels.shape[:2], self.preprocess(pixels))

        waiting: deque[Future] = deque()
        with ThreadPoolExecutor(threads) as pool:
            for image in images:
                waiting.append(pool.submit(decode, image))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()


def _outputs(request: Any) -> list[np.ndarray]:
    return [request.get_tensor(name).data.copy() for name in ("boxes", "labels")]
