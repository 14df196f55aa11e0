"""OpenVINO Model API loads a model with no further parameter and finds what the detector here finds."""

import dataclasses

import numpy as np
import pytest
from model_api.models import Model

from core.openvino.detector import OpenVinoDetector
from core.openvino.ir import convert_to_ir
from core.openvino.runtime import read_ir
from tests.core.conftest import COLOURS, add_masks, write_toy_onnx
from tests.core.export.model_api_rows import (
    adapter_of_fp32,
    model_api_of,
    rows_of_model_api,
    rows_of_ours,
    without_partner,
)

pytestmark = pytest.mark.usefixtures("openvino")
# Dark, so that the toy detector sees nothing in the padding.
GRAY = (20.0, 20.0, 20.0)
SIZES = [(48, 64), (99, 140), (37, 250), (200, 60)]


def scene(size, seed=0):
    """Return an image of bright rectangles in three colours on a dark and uneven background."""
    random = np.random.default_rng(seed)
    height, width = size
    picture = random.integers(0, 40, (height, width, 3)).astype(np.uint8)
    for number in range(6):
        left, top = int(random.integers(0, width * 3 // 4)), int(random.integers(0, height * 3 // 4))
        colour = list(COLOURS.values())[number % 3]
        picture[top:top + height // 3, left:left + width // 3] = colour
    return picture


@pytest.fixture(scope="module")
def models(tmp_path_factory, toy_spec, letterbox_spec):
    """Return a function that gives an IR's folder, converted once for each spec."""
    made = {}

    def make(pipeline, **changes):
        spec = dataclasses.replace({"stretch": toy_spec, "fit": letterbox_spec}[pipeline],
                                   classes=("red", "white blood cell", "größe"), **changes)
        if spec not in made:
            folder = tmp_path_factory.mktemp("model")
            convert_to_ir(write_toy_onnx(folder / "onnx", spec), folder / "ir")
            made[spec] = folder / "ir"
        return made[spec]

    return make


def rows_of_both(folder, image):
    return rows_of_ours(OpenVinoDetector(folder), image), rows_of_model_api(model_api_of(folder), image)


def compare(ours, theirs, score_difference, pixels=0.0):
    """Each box of either has its own partner, unless its score is at the threshold."""
    alone = without_partner(ours, theirs, score_difference, pixels)
    assert all(score <= 0.05 + score_difference for _, score, _ in alone), alone


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("pipeline", ["stretch", "fit"])
def test_same_boxes_labels_and_scores(models, pipeline, size):
    folder, image = models(pipeline, pad_pixel=GRAY), scene(size)
    ours, theirs = rows_of_both(folder, image)
    assert len(ours) >= 4 and len({label for label, *_ in ours}) >= 2
    # OpenCV's resizing rounds in fixed point: some pixels differ by a level of 256. MMDetection scales boxes back by
    # sides in whole pixels, Model API does not round them: half a pixel of the network.
    half = 0.5 * max(size[0] / 48, size[1] / 64) if pipeline == "fit" else 0
    compare(ours, theirs, 1e-5 if size == (48, 64) else 0.02, half)


def test_padding_that_is_no_gray_is_said_and_near(models):
    folder, image = models("fit", pad_pixel=(10.53, 16.28, 23.675)), scene((48, 40))
    info = read_ir(folder)[0].get_rt_info(["model_info"]).value
    assert str(info["model_api_note"]) == (
        "it pads with 17 in every channel, not with BGR (10.53, 16.28, 23.675)")
    compare(*rows_of_both(folder, image), 0.15)


def test_a_threshold_of_its_own_is_kept(models):
    folder, image = models("stretch", score_threshold=0.9), scene((96, 128))
    ours, theirs = rows_of_both(folder, image)
    assert 0 < len(ours) < len(rows_of_both(models("stretch"), image)[0])
    compare(ours, theirs, 0.02)


def test_instance_segmentation_has_its_masks_and_names(tmp_path, toy_spec):
    spec = dataclasses.replace(toy_spec, classes=("red", "white blood cell", "größe"),
                               outputs=("boxes", "labels", "masks"))
    onnx_dir = write_toy_onnx(tmp_path / "onnx", spec)
    add_masks(onnx_dir, np.ones((28, 28), np.float32))
    convert_to_ir(onnx_dir, tmp_path / "ir")

    image = scene((48, 64))
    loaded = Model.create_model(adapter_of_fp32(tmp_path / "ir" / "model.xml"))
    assert loaded.__model__ == "MaskRCNN"
    objects = loaded(image).segmentedObjects
    theirs = [(item.str_label, float(item.score), [item.xmin, item.ymin, item.xmax, item.ymax]) for item in objects]
    compare(rows_of_ours(OpenVinoDetector(tmp_path / "ir"), image), theirs, 1e-5)
    for item in objects:
        assert item.mask.shape == (48, 64)
        assert item.mask[item.ymin:item.ymax, item.xmin:item.xmax].mean() > 0.9
