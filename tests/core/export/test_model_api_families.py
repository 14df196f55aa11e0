"""Model API loads what is exported of every family, and finds the boxes that the detector here finds."""

import dataclasses

import numpy as np
import pytest
import torch
from model_api.models import Model

from core.detectors.graph import forward_as
from core.detectors.registry import families, find_adapter
from core.export.onnx import ONNX_FILE, write_onnx
from core.openvino.detector import OpenVinoDetector
from core.openvino.ir import MODEL_API_NOTE, MODEL_TYPE, convert_to_ir, model_api
from scripts.trial_configs import trial_config
from tests.core.detectors.comparing import enliven
from tests.core.detectors.tiny import CLASSES, HEADS, POINTS, build, single_stage, sparse, two_stage
from tests.core.export.model_api_rows import adapter_of_fp32, rows_of_ours, without_partner

GRAY, WIDTH = 128.0, 64.0
MASKED = ("MaskScoringRoIHead", "PointRendRoIHead", "HybridTaskCascadeRoIHead")
CONFIGS = {"SSDHead": "ssd300", "YOLOV3Head": "yolov3_mobilenetv2", "YOLOXHead": "yolox_tiny"}


def two_stages(head, masks=False):
    return two_stage(head, masks or head in MASKED, rcnn=POINTS if head == "PointRendRoIHead" else None)


def model_of(head):
    if head in CONFIGS:
        return trial_config(CONFIGS[head], "int8").model
    return sparse() if head == "SparseRoIHead" else single_stage(head) if head in HEADS else two_stages(head)


# A family is of the kind of its first head.
MODELS = {family.name: lambda head=family.heads[0]: model_of(head) for family in families()}
MODELS.update({"Mask R-CNN": lambda: two_stages("StandardRoIHead", True), "QueryInst": lambda: sparse(masks=True),
               "Cascade Mask R-CNN": lambda: two_stages("CascadeRoIHead", True),
               "Deformable DETR": lambda: single_stage("DeformableDETRHead")})
# Boxes of a single stage, queries, boxes that no border cuts off, and two stages with masks.
QUICK = ("RetinaNet", "DETR", "YOLOX", "Mask R-CNN")


@pytest.fixture
def exported(tmp_path, toy_spec):
    """Return a function that writes the IR of a model config, with an image for it, and gives its folder and spec."""
    def export(model):
        height, width = {"SSD": (300, 300), "YOLOV3": (128, 128), "YOLOX": (128, 128)}.get(
            {"SSDVGG": "SSD"}.get(model["backbone"]["type"], model["type"]), (128, 160))
        pixels = np.random.default_rng(3).integers(0, 256, (height, width, 3)).astype(np.uint8)
        image = (torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None].contiguous() - GRAY) / WIDTH
        detector = enliven(build(model), image)
        adapter = find_adapter(detector)
        forward, names = adapter.exported_forward(detector)
        with forward_as(detector, forward):
            (tmp_path / "onnx").mkdir()
            write_onnx(detector, tmp_path / "onnx" / ONNX_FILE, (height, width), names)
        count = max(CLASSES, 20) if model["type"] in ("YOLOV3", "YOLOX") or height == 300 else CLASSES
        spec = dataclasses.replace(
            toy_spec, input_height=height, input_width=width, resize_height=height, resize_width=width, to_rgb=False,
            mean=(GRAY,) * 3, std=(WIDTH,) * 3, outputs=names, classes=tuple(f"class {n}" for n in range(count)),
            score_threshold=adapter.score_threshold(detector), iou_threshold=adapter.iou_threshold(detector),
            max_detections=adapter.max_detections(detector))
        spec.write(tmp_path / "onnx")
        convert_to_ir(tmp_path / "onnx", tmp_path / "ir")
        return tmp_path / "ir", spec, pixels

    return export


@pytest.mark.usefixtures("openvino")
@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.detectors)
                                  for name in MODELS])
def test_model_api_finds_the_same_boxes_of_every_family(name, exported):
    folder, spec, pixels = exported(MODELS[name]())
    loaded = Model.create_model(adapter_of_fp32(folder / "model.xml"))
    said = model_api(spec)
    assert (loaded.__model__.lower(), said[MODEL_API_NOTE]) == (said[MODEL_TYPE].lower(), "")
    found = loaded(pixels)
    objects = found.segmentedObjects if spec.has_masks else found.objects
    theirs = [(item.str_label, float(item.score), [item.xmin, item.ymin, item.xmax, item.ymax]) for item in objects]
    ours = rows_of_ours(OpenVinoDetector(folder), pixels)
    assert len(ours) >= 5
    assert not without_partner(ours, theirs, 1e-5)
    if spec.has_masks:
        assert any(item.mask.mean() > 0 for item in objects)
