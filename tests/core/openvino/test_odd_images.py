"""Images of unusual kinds are read as they should be or refused, never scored as if nothing were there."""

import dataclasses
import json
import zlib

import numpy as np
import pytest
from PIL import Image

from core.evaluation.coco_map import read_annotations
from core.openvino.accuracy import measure_accuracy
from core.openvino.detector import ImageFile, OpenVinoDetector
from core.openvino.image import read_image
from core.openvino.ir import convert_to_ir

pytestmark = pytest.mark.usefixtures("openvino")

ORIENTATION = 0x0112
# A red square on the toy detector's cells, in a picture of 128 x 96.
BOX = [32, 16, 48, 32]


@pytest.fixture
def picture():
    drawn = np.zeros((96, 128, 3), np.uint8)
    drawn[BOX[1]:BOX[3], BOX[0]:BOX[2]] = (255, 0, 0)
    return Image.fromarray(drawn)


def found_in(ir, path):
    """Return the boxes and labels found in one file by the way of a whole split."""
    run = OpenVinoDetector(ir).detect_all([ImageFile(1, path)])
    assert run.corrupt == {}
    return run.detections[1].boxes.tolist(), run.detections[1].labels.tolist()


@pytest.mark.parametrize("name, options", [("a b.png", {}), ("\u7ea2.bmp", {}), ("plain.jpg", {"quality": 95})])
def test_ordinary_files_with_any_name(tmp_path, toy_ir, picture, name, options):
    picture.save(tmp_path / name, **options)
    assert found_in(toy_ir, tmp_path / name) == ([BOX], [0])


def test_cmyk_is_shown_in_its_colours(tmp_path, toy_ir, picture):
    picture.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    assert found_in(toy_ir, tmp_path / "cmyk.jpg") == ([BOX], [0])


def test_sixteen_bits(tmp_path, toy_ir, picture):
    import cv2

    deep = np.asarray(picture)[..., ::-1].astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    assert found_in(toy_ir, tmp_path / "deep.png") == ([BOX], [0])


def test_gray(tmp_path, toy_ir, picture):
    """White is red, green and blue at once: one box of each class."""
    Image.fromarray(np.asarray(picture).max(axis=2)).save(tmp_path / "gray.png")
    boxes, labels = found_in(toy_ir, tmp_path / "gray.png")
    assert boxes == [BOX] * 3 and sorted(labels) == [0, 1, 2]


def test_exif_rotation_turns_the_boxes_too(tmp_path, toy_ir):
    """Stored 96 x 128 and to be shown a quarter turn clockwise: what is at the left below is at the left above."""
    stored = np.zeros((128, 96, 3), np.uint8)
    stored[80:96, 16:32] = (255, 0, 0)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(stored).save(tmp_path / "turned.jpg", quality=95, exif=exif)
    assert found_in(toy_ir, tmp_path / "turned.jpg") == ([[32, 16, 48, 32]], [0])


def test_one_pixel(tmp_path, toy_ir, letterbox_ir):
    Image.new("RGB", (1, 1), (255, 0, 0)).save(tmp_path / "one.png")
    boxes, labels = found_in(toy_ir, tmp_path / "one.png")
    assert set(labels) == {0} and np.float32(boxes).min() >= 0 and np.float32(boxes).max() <= 1
    assert set(found_in(letterbox_ir, tmp_path / "one.png")[1]) == {0}


def test_twenty_thousand_pixels(tmp_path, toy_ir):
    wide = np.zeros((48, 20_000, 3), np.uint8)
    wide[8:16, 2500:5000] = (255, 0, 0)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    assert found_in(toy_ir, tmp_path / "wide.png") == ([[2500, 8, 5000, 16]], [0])


def test_more_pixels_than_any_camera_has_are_refused(tmp_path):
    """A few bytes that claim 20,000 x 20,000 pixels: whoever decoded them would need gigabytes."""
    from core.data.images import ImageFault, check_image

    Image.new("1", (8, 8)).save(tmp_path / "bomb.png")
    content = bytearray((tmp_path / "bomb.png").read_bytes())
    content[16:24] = (20_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
    with pytest.raises(ImageFault, match="too large"):
        check_image(bytes(content))


def test_a_split_of_odd_images_and_names_is_scored(tmp_path, scenes, write_onnx, toy_spec):
    """Non-ASCII class names with spaces, and each image rewritten as another kind of file."""
    names = ("\u7ea2\u7ec6\u80de", "gr\u00fcn hell", "\U0001f535 blue")
    truth = read_annotations(scenes.test.annotation_file)
    for category, name in zip(truth["categories"], names):
        category["name"] = name
    for image, (suffix, mode) in zip(truth["images"], [(".png", "RGB"), (".jpg", "CMYK"), (".jpg", "RGB"),
                                                       (".bmp", "RGB"), (".png", "RGBA"), (".tiff", "RGB")]):
        pixels = Image.fromarray(read_image(scenes.test.image_root / image["file_name"])[..., ::-1])
        image["file_name"] = f"\u56fe {image['id']}{suffix}"
        pixels.convert(mode).save(scenes.test.image_root / image["file_name"], **(
            {"quality": 95} if suffix == ".jpg" else {}))
    scenes.test.annotation_file.write_text(json.dumps(truth))
    spec = dataclasses.replace(toy_spec, classes=names)
    convert_to_ir(write_onnx(tmp_path / "onnx", spec), tmp_path / "ir")
    accuracy = measure_accuracy(OpenVinoDetector(tmp_path / "ir"), scenes.test, names)
    assert accuracy.metrics.map == pytest.approx(1) and accuracy.corrupt_images == ()
    assert list(accuracy.metrics.per_class_ap) == list(names)
