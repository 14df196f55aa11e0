import dataclasses
import re
import shutil
import time

import numpy as np
import pytest

from core.base.errors import UserError
from core.openvino.detector import ImageFile, OpenVinoDetector
from core.openvino.image import read_image
from core.openvino.ir import convert_to_ir
from core.openvino.runtime import Hint

pytestmark = pytest.mark.usefixtures("openvino")
RED = (0, 0, 255)


def scene(height=96, width=128, boxes=((32, 16, 48, 32),), colour=RED):
    picture = np.zeros((height, width, 3), np.uint8)
    for x1, y1, x2, y2 in boxes:
        picture[y1:y2, x1:x2] = colour
    return picture


def test_finds_boxes_in_original_pixels(toy_ir):
    picture = scene(boxes=((32, 16, 48, 32),))
    picture[64:80, 112:128] = (0, 230, 0)
    found = OpenVinoDetector(toy_ir)(picture)
    assert found.boxes.tolist() == [[32, 16, 48, 32], [112, 64, 128, 80]]
    assert found.labels.tolist() == [0, 1]
    assert found.scores == pytest.approx(1 / (1 + np.exp(-0.05 * (np.array([255, 230]) - 128))), abs=1e-5)
    assert (found.boxes.dtype, found.scores.dtype, found.labels.dtype) == (np.float32, np.float32, np.int64)


def test_suppressed_and_padding_rows_are_not_detections(toy_ir):
    """Each cell has a second, overlapping box that NonMaxSuppression in the graph must drop."""
    assert len(OpenVinoDetector(toy_ir)(scene())) == 1
    assert len(OpenVinoDetector(toy_ir)(scene(boxes=()))) == 0


def test_the_ir_alone_is_enough(tmp_path, toy_ir):
    for name in ("model.xml", "model.bin"):
        shutil.copy(toy_ir / name, tmp_path)
    assert len(OpenVinoDetector(tmp_path)(scene())) == 1


@pytest.mark.parametrize("size, factor", [((192, 128), (4, 4)), ((96, 256), (4, 4)), ((48, 64), (1, 1))])
def test_letterboxed_boxes_are_mapped_back(letterbox_ir, size, factor):
    """The network sees cells of 8 pixels in the upper left of its input; the rest is padding that scores nothing."""
    height, width = size
    cells = np.array([1, 2, 2, 3]) * 8
    expected = (cells * np.array(factor * 2)).tolist()
    found = OpenVinoDetector(letterbox_ir)(scene(height, width, (expected,)))
    assert found.boxes.tolist() == [expected]


def test_stretched_boxes_are_mapped_back(toy_ir):
    found = OpenVinoDetector(toy_ir)(scene(96, 256, ((64, 32, 96, 48),)))
    assert found.boxes.tolist() == [[64, 32, 96, 48]]


def test_gray_images(tmp_path, toy_ir):
    import cv2

    cv2.imwrite(str(tmp_path / "gray.png"), scene(colour=(255, 255, 255))[..., 0])
    found = OpenVinoDetector(toy_ir)(read_image(tmp_path / "gray.png"))
    assert sorted(found.labels.tolist()) == [0, 1, 2]


def test_postprocess_sorts_thresholds_and_limits(tmp_path, write_onnx, toy_spec):
    spec = dataclasses.replace(toy_spec, score_threshold=0.3, max_detections=2)
    convert_to_ir(write_onnx(tmp_path / "onnx", spec), tmp_path / "ir")
    rows = np.float32([[[0, 0, 8, 8, 0.3], [0, 0, 9, 9, 0.31], [-4, 1, 90, 90, 0.9], [0, 0, 7, 7, 0.95],
                        [1, 1, 2, 2, 0.8], [0, 0, 0, 0, 0]]])
    found = OpenVinoDetector(tmp_path / "ir").postprocess(rows, np.int64([[0, 1, 2, -1, 1, -1]]), (96, 128))
    assert found.scores.tolist() == pytest.approx([0.9, 0.8])
    assert found.labels.tolist() == [2, 1]
    assert found.boxes.tolist() == [[0, 2, 128, 96], [2, 2, 4, 4]]


def test_not_a_number_is_an_error(toy_ir):
    rows = np.float32([[[0, 0, 8, 8, np.nan]]])
    with pytest.raises(UserError, match="boxes or scores that are NaN"):
        OpenVinoDetector(toy_ir).postprocess(rows, np.int64([[0]]), (96, 128))


@pytest.mark.parametrize("failure", [UserError("exported model", "m", "It is broken.", "None."), KeyboardInterrupt()])
def test_what_ends_detection_leaves_no_request_under_way(tmp_path, toy_ir, monkeypatch, failure):
    """A request that outlives its queue writes into freed memory."""
    import cv2

    cv2.imwrite(str(tmp_path / "scene.png"), scene())
    began, ended, outputs = [], [], []

    def slow(request):
        began.append(request)
        time.sleep(0.2)
        ended.append(request)
        return outputs

    def fail(*_):
        raise failure

    detector = OpenVinoDetector(toy_ir, Hint.THROUGHPUT)
    monkeypatch.setattr("core.openvino.detector._outputs", slow)
    monkeypatch.setattr(detector, "postprocess", fail)
    outputs[:] = np.zeros((1, 1, 5), np.float32), np.zeros((1, 1), np.int64)
    with pytest.raises(type(failure)):
        detector.detect_all([ImageFile(number, tmp_path / "scene.png") for number in range(12)])
    found = len(began)
    assert found == len(ended) >= 1
    time.sleep(0.5)
    assert len(began) == found


def test_a_label_without_a_name_is_an_error(toy_ir):
    rows = np.float32([[[0, 0, 8, 8, 0.9], [0, 0, 8, 8, 0.0]]])
    with pytest.raises(UserError, match="It returned label 3, but names 3 classes"):
        OpenVinoDetector(toy_ir).postprocess(rows, np.int64([[3, 9]]), (96, 128))
    assert len(OpenVinoDetector(toy_ir).postprocess(rows, np.int64([[2, 9]]), (96, 128))) == 1


def test_raw_heads_are_refused(tmp_path, write_onnx, toy_spec):
    import onnx

    onnx_dir = write_onnx(tmp_path / "onnx", dataclasses.replace(toy_spec, outputs=("cls_scores_0", "bbox_preds_0")))
    model = onnx.load(str(onnx_dir / "model.onnx"))
    for node in model.graph.node:
        node.output[:] = [{"boxes": "cls_scores_0", "labels": "bbox_preds_0"}.get(name, name) for name in node.output]
    for output, name in zip(model.graph.output, ("cls_scores_0", "bbox_preds_0")):
        output.name = name
    onnx.save(model, str(onnx_dir / "model.onnx"))
    convert_to_ir(onnx_dir, tmp_path / "ir")
    with pytest.raises(UserError, match="Its outputs are raw heads .cls_scores_0, bbox_preds_0., in which no boxes"):
        OpenVinoDetector(tmp_path / "ir")


@pytest.mark.parametrize("hint", list(Hint))
def test_many_images_as_one_by_one(scenes, toy_ir, hint, capsys):
    files = [ImageFile(number, path) for number, path in enumerate(sorted(scenes.test.image_root.iterdir()) * 5)]
    detector = OpenVinoDetector(toy_ir, hint, threads=1)
    run = detector.detect_all(files, "looking")
    assert sorted(run.detections) == list(range(30)) and run.corrupt == {} and run.seconds > 0
    for file in files:
        expected, found = detector(read_image(file.path)), run.detections[file.id]
        assert np.array_equal(found.boxes, expected.boxes) and np.array_equal(found.labels, expected.labels)
    assert re.search(r"looking: 30/30 +images", capsys.readouterr().out)


def test_corrupt_images_are_listed_not_empty(scenes, toy_ir):
    paths = sorted(scenes.test.image_root.iterdir())
    paths[1].write_bytes(b"")
    paths[4].write_bytes(paths[4].read_bytes()[:40])
    run = OpenVinoDetector(toy_ir).detect_all([ImageFile(number, path) for number, path in enumerate(paths)])
    assert sorted(run.detections) == [0, 2, 3, 5]
    assert run.corrupt == {1: "the file is empty", 4: "OpenCV cannot decode it; it is truncated or not an image"}


def test_a_missing_image_is_an_error(scenes, toy_ir):
    files = [ImageFile(1, next(scenes.test.image_root.iterdir())), ImageFile(2, scenes.test.image_root / "absent.png")]
    with pytest.raises(UserError, match="absent.png"):
        OpenVinoDetector(toy_ir).detect_all(files)


def test_no_images(toy_ir):
    assert OpenVinoDetector(toy_ir).detect_all([]).detections == {}


def test_decoding_runs_only_a_bounded_number_of_images_ahead(scenes, toy_ir, monkeypatch):
    path = next(scenes.test.image_root.iterdir())
    detector = OpenVinoDetector(toy_ir, threads=1)
    started, finished, most = [], [], []
    preprocess, collect = detector.preprocess, detector._collect

    def counted_preprocess(pixels):
        started.append(pixels)
        return preprocess(pixels)

    def counted_collect(done, detections):
        collect(done, detections)
        most.append(len(started) - len(detections))
        finished[:] = detections

    monkeypatch.setattr(detector, "preprocess", counted_preprocess)
    monkeypatch.setattr(detector, "_collect", counted_collect)
    detector.detect_all([ImageFile(number, path) for number in range(200)], decode_threads=2)
    assert len(finished) == 200
    # One infer request under the latency hint: two inputs wait for it and one decoded image for each thread.
    assert max(most) <= 8
