import dataclasses

import cv2
import numpy as np
import pytest

from core.bundle.runner import main
from core.evaluation.detections import Detections, Masks
from core.openvino.drawing import draw_detections
from core.openvino.masks import paste_mask
from tests.core.conftest import add_masks, write_toy_onnx

LEFT_HALF = np.float32(np.arange(28) < 14)[None].repeat(28, axis=0)


@pytest.mark.parametrize("box", [[10, 5, 50, 25], [10.4, 5.6, 51.3, 24.9], [-20, -10, 30, 25], [40, 20, 90, 70]])
def test_a_mask_lies_in_its_box_and_ends_at_the_image(box):
    rows, columns, inside = paste_mask(LEFT_HALF, np.float32(box), (40, 64))
    assert (rows.start, columns.start) == (max(0, int(np.floor(box[1]))), max(0, int(np.floor(box[0]))))
    assert (rows.stop, columns.stop) == (min(40, int(np.ceil(box[3]))), min(64, int(np.ceil(box[2]))))
    whole = np.zeros((40, 64), bool)
    whole[rows, columns] = inside
    centres = np.arange(64) + 0.5
    left = (centres > box[0]) & (centres < (box[0] + box[2]) / 2)
    middle = int(np.clip((box[1] + box[3]) / 2, 0, 39))
    assert abs(whole[middle].astype(int) - left).sum() <= 1


@pytest.mark.parametrize("box", [[5, 5, 5, 20], [5, 5, 20, 5], [64, 40, 80, 60], [-9, -9, -1, -1]])
def test_a_box_without_pixels_has_no_mask(box):
    assert not paste_mask(LEFT_HALF, np.float32(box), (40, 64))[2].any()


def test_masks_are_pasted_as_mmdetection_pastes_them():
    import torch
    from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask

    random = np.random.default_rng(0)
    corners = random.uniform(-15, 70, (20, 2, 2))
    boxes = np.float32(np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1))
    masks = random.uniform(0, 1, (20, 7, 7)).astype(np.float32)
    theirs, _ = _do_paste_mask(torch.from_numpy(masks)[:, None], torch.from_numpy(boxes), 50, 60, skip_empty=False)
    ours = np.zeros((20, 50, 60), bool)
    for index in range(20):
        rows, columns, inside = paste_mask(masks[index], boxes[index], (50, 60))
        ours[index, rows, columns] = inside
    assert ours.any(axis=(1, 2)).sum() > 15
    # OpenCV interpolates in steps of 1/32 pixel, which moves an edge here and there.
    assert (ours != (theirs.numpy() >= 0.5)).mean() < 0.005


def test_masks_are_drawn_half_transparent_and_go_with_their_boxes():
    image = np.full((60, 80, 3), 200, np.uint8)
    boxes = np.float32([[10, 20, 50, 50], [60, 5, 70, 15]])
    found = Detections(boxes, np.float32([0.9, 0.2]), np.array([0, 1]), Masks(np.stack([LEFT_HALF] * 2), boxes))
    drawn = draw_detections(image, found.above(0.3), ("one", "two"))
    outlined = draw_detections(image, Detections(boxes[:1], np.float32([0.9]), np.array([0])), ("one", "two"))
    colour = outlined[35, 10].astype(float)
    assert drawn[35, 20] == pytest.approx((200 + colour) / 2, abs=1)
    assert (drawn[35, 40] == 200).all() and (drawn[10, 65] == 200).all()
    changed = np.argwhere((drawn != outlined).any(axis=2))
    assert changed.min(axis=0).tolist() == [22, 12] and changed.max(axis=0).tolist() == [48, 29]


def test_the_runner_draws_the_masks_of_an_instance_segmentation_model(tmp_path, openvino, toy_spec):
    from core.openvino.ir import convert_to_ir

    spec = dataclasses.replace(toy_spec, outputs=("boxes", "labels", "masks"))
    onnx_dir = write_toy_onnx(tmp_path / "onnx", spec)
    add_masks(onnx_dir, LEFT_HALF)
    convert_to_ir(onnx_dir, tmp_path / "ir")
    picture = np.zeros((480, 640, 3), np.uint8)
    picture[160:240, 160:240] = (0, 0, 255)
    cv2.imwrite(str(tmp_path / "scene.png"), picture)
    assert main(tmp_path / "ir", [str(tmp_path / "scene.png"), "--output", str(tmp_path / "out")]) == 0
    drawn = cv2.imread(str(tmp_path / "out" / "scene.detected.jpg")).astype(int)
    left, right = drawn[200:230, 170:195], drawn[200:230, 205:230]
    assert abs(right - [0, 0, 255]).mean() < 8
    assert abs(left - [0, 0, 255]).mean() > 20


def test_many_images_are_scored_without_their_masks(tmp_path, openvino, toy_spec, scenes):
    from core.openvino.detector import ImageFile, OpenVinoDetector
    from core.openvino.image import read_image
    from core.openvino.ir import convert_to_ir

    onnx_dir = write_toy_onnx(tmp_path / "onnx", dataclasses.replace(toy_spec, outputs=("boxes", "labels", "masks")))
    add_masks(onnx_dir, LEFT_HALF)
    convert_to_ir(onnx_dir, tmp_path / "ir")
    detector, image = OpenVinoDetector(tmp_path / "ir"), scenes.test.image_root / "scene 1.png"
    one, many = detector(read_image(image)), detector.detect_all([ImageFile(1, image)]).detections[1]
    assert one.masks.probabilities.shape == (len(one), 28, 28) and one.masks.boxes.shape == one.boxes.shape
    assert many.masks is None and np.array_equal(many.boxes, one.boxes)
