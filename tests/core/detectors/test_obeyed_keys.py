"""Every key of a test_cfg that a family accepts changes the exported graph as it changes what PyTorch finds."""

import copy
import inspect

import numpy as np
import pytest
from mmcv import ConfigDict
from mmcv.ops import nms

from core.detectors.registry import families, require_supported
from core.detectors.test_cfg import UNREAD, Rule
from scripts.trial_configs import trial_config
from tests.core.detectors.comparing import detected, enliven, require_same_boxes
from tests.core.detectors.tiny import HEADS, POINTS, build, picture, single_stage, sparse, two_stage

OTHER = {"score_thr": 0.3, "nms_pre": 6, "max_per_img": 8, "nms.iou_threshold": 0.15, "nms.class_agnostic": True,
         "min_bbox_size": 24, "conf_thr": 0.9, "topk": 20, "local_maximum_kernel": 5, "subdivision_steps": 1,
         "subdivision_num_points": 20, "scale_factor": 4}
"""Values that no test model has."""
# With a value that changes nothing, of the exported graph alone, or tested in test_test_cfg.py.
NEUTRAL = ("type", "offset", "score_threshold", "max_num", "split_thr", "mask_thr_binary", "deploy_nms_pre", "rpn")
OF_MASKS = ("subdivision_steps", "subdivision_num_points", "scale_factor")
CONFIGS = {"SSD": "ssd300", "YOLOv3": "yolov3_mobilenetv2", "YOLOX": "yolox_tiny"}
QUICK = {("RetinaNet", "nms_pre"), ("FCOS", "nms_pre"), ("DETR", "max_per_img")}


def flat(table, place=""):
    """Yield dotted path and rule of a table's keys."""
    for key, rule in table.items():
        if isinstance(rule, Rule):
            yield f"{place}{key}", rule
        else:
            yield from flat(rule, f"{place}{key}.")


def key_of(path):
    """Return a path without the section of a stage."""
    return path.removeprefix("rpn.").removeprefix("rcnn.")


CASES = [(family, path) for family in families() for path, rule in flat(family.test_cfg)
         if rule is not UNREAD and path.rpartition(".")[2] not in NEUTRAL
         # MMDetection's YOLOX keeps any number of boxes, for which a graph has no room.
         and (family.name, path) != ("YOLOX", "max_per_img")]


def model_of(family):
    """Return a small model config of a family, with its first head."""
    if family.name in CONFIGS:
        model = trial_config(CONFIGS[family.name], "int8").model
        if family.name == "YOLOv3":
            # Of 10,000 candidates or more PyTorch suppresses class by class whatever class_agnostic says.
            model.test_cfg.update(score_thr=0.8, conf_thr=0.3)
        return model
    head = family.heads[0]
    if head in HEADS:
        return single_stage(head)
    if head == "SparseRoIHead":
        return sparse()
    masks = head in ("MaskScoringRoIHead", "PointRendRoIHead")
    return two_stage(head, masks, rcnn=POINTS if head == "PointRendRoIHead" else None)


def lively(model):
    height = 300 if model["backbone"]["type"] == "SSDVGG" else 128
    image = picture(height, height if height == 300 else 160)
    return enliven(build(copy.deepcopy(model)), image), image


def changed(model, path, value):
    model = copy.deepcopy(model)
    *sections, key = path.split(".")
    section = model["test_cfg"]
    for name in sections:
        section = section[name]
    section[key] = value
    return model


def telling(model, path):
    """Return a model of which another value of a key changes what is found: other keys hide nothing of it."""
    section, _, key = path.rpartition(".")
    if key == "class_agnostic":
        model = changed(model, f"{section}.iou_threshold", 0.3)
    most = "rcnn.max_per_img" if "rcnn" in model["test_cfg"] else "max_per_img"
    return model if path == most or "score_thr" not in str(model["test_cfg"]) else changed(model, most, 1000)


@pytest.mark.parametrize(("family", "path"), [
    case if (case[0].name, case[1]) in QUICK else pytest.param(*case, marks=pytest.mark.detectors) for case in CASES],
    ids=[f"{family.name}-{path}" for family, path in CASES])
def test_another_value_is_obeyed(family, path, tmp_path):
    model = telling(model_of(family), path)
    other = changed(model, path, OTHER[key_of(path)])
    detector, image = lively(other)
    require_supported(detector)
    if key_of(path) not in OF_MASKS:
        before, after = detected(lively(model)[0], image)[0], detected(detector, image)[0]
        assert before.shape != after.shape or not np.array_equal(before, after)
    require_same_boxes(detector, image, tmp_path, least=2)


class Recorded(ConfigDict):
    """A section of a test_cfg that remembers what is read of it."""

    def watch(self, read, place=""):
        object.__setattr__(self, "_read", read)
        object.__setattr__(self, "_place", place)
        for key, value in self.items():
            if isinstance(value, Recorded):
                value.watch(read, f"{place}{key}.")
        return self

    def _note(self, key):
        if "_read" in self.__dict__:
            self._read.add(self._place + key)

    def __getattr__(self, key):
        self._note(key)
        return super().__getattr__(key)

    def __getitem__(self, key):
        self._note(key)
        return super().__getitem__(key)

    def get(self, key, default=None):
        self._note(key)
        return super().get(key, default)

    def copy(self):
        # A suppression is copied to be passed on as arguments.
        for key in ("type", "class_agnostic", "split_thr", *list(inspect.signature(nms).parameters)[2:]):
            self._note(key)
        return ConfigDict(self)

    def __deepcopy__(self, memo):
        return self


def keys_read(detector, image):
    """Return the dotted paths in test_cfg that PyTorch reads to find boxes and masks."""
    read = set()
    for name, place in (("rpn_head", "rpn."), ("roi_head", "rcnn."), ("bbox_head", "")):
        head = getattr(detector, name, None)
        if head is not None and getattr(head, "test_cfg", None) is not None:
            head.test_cfg = Recorded(head.test_cfg).watch(read, place)
    detected(detector, image)
    return read


@pytest.mark.parametrize("family", families(), ids=lambda family: family.name)
def test_no_key_that_pytorch_reads_is_passed_over(family):
    rules = dict(flat(family.test_cfg))
    read = keys_read(*lively(model_of(family)))
    assert read, "nothing was recorded"
    assert not [path for path in read if rules.get(path) is UNREAD]
    obeyed = {path for name, path in CASES if name is family} - {"rcnn.mask_thr_binary"}
    assert {path for path in obeyed if key_of(path) not in OF_MASKS} <= read
