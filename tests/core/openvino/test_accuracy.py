import dataclasses
import json
from pathlib import Path

import pytest

from core.base.errors import UserError
from core.openvino.accuracy import measure_accuracy
from core.openvino.detector import OpenVinoDetector
from core.results.accuracy import CorruptImage

pytestmark = pytest.mark.usefixtures("openvino")


@pytest.mark.parametrize("kind", ["toy_ir", "letterbox_ir", "int8_ir"])
def test_a_perfect_detector_scores_one(request, scenes, kind):
    accuracy = measure_accuracy(OpenVinoDetector(request.getfixturevalue(kind)), scenes.test, scenes.classes)
    assert (accuracy.metrics.map, accuracy.metrics.ar100) == pytest.approx((1, 1))
    assert accuracy.metrics.per_class_ap == pytest.approx({"red": 1, "green": 1, "blue": 1})
    assert (accuracy.metrics.images, accuracy.metrics.detections) == (6, scenes.test.boxes)
    assert sorted(accuracy.detections) == [1, 2, 3, 4, 5, 6]
    assert accuracy.corrupt_images == () and accuracy.seconds > 0


def test_corrupt_images_are_left_out_and_listed(scenes, toy_ir):
    (scenes.test.image_root / "scene 3.png").write_bytes(b"not an image")
    accuracy = measure_accuracy(OpenVinoDetector(toy_ir), scenes.test, scenes.classes)
    assert accuracy.corrupt_images == (
        CorruptImage(image="scene 3.png", reason="OpenCV cannot decode it; it is truncated or not an image"),)
    assert accuracy.metrics.map == pytest.approx(1)
    assert accuracy.metrics.images == 5


def test_only_corrupt_images_are_an_error(scenes, toy_ir):
    for path in Path(scenes.test.image_root).iterdir():
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"There is no image to score \(6 listed, 6 unreadable\)"):
        measure_accuracy(OpenVinoDetector(toy_ir), scenes.test, scenes.classes)


@pytest.mark.parametrize("classes", [("red", "green"), ("green", "red", "blue"), ("red", "green", "cyan")])
def test_other_classes_are_an_error(scenes, toy_ir, classes):
    with pytest.raises(UserError, match=r"was trained for \['red', 'green', 'blue'\], in this order"):
        measure_accuracy(OpenVinoDetector(toy_ir), scenes.test, classes)


def test_a_split_without_images_is_an_error(scenes, toy_ir):
    truth = {**json.loads(scenes.test.annotation_file.read_text()), "images": [], "annotations": []}
    scenes.test.annotation_file.write_text(json.dumps(truth))
    with pytest.raises(UserError, match="There is no image to score"):
        measure_accuracy(OpenVinoDetector(toy_ir), scenes.test, scenes.classes)


def test_a_missing_annotation_file_is_an_error(scenes, toy_ir, tmp_path):
    split = dataclasses.replace(scenes.test, annotation_file=tmp_path / "absent.json")
    with pytest.raises(UserError, match="annotation file: .*absent.json"):
        measure_accuracy(OpenVinoDetector(toy_ir), split, scenes.classes)
