"""Whatever a test_cfg says, keys together and values at their edges: the graph obeys it, or it is refused by name."""

import copy
import functools
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st
from mmcv import ConfigDict

from core.base.errors import UserError
from core.detectors.registry import find_adapter, require_supported
from core.detectors.suppression import LEAST_SCORE
from tests.core.detectors.comparing import detected, enliven, exported, share_found, with_area
from tests.core.detectors.tiny import build, picture, single_stage, two_stage

MODELS = {"RetinaNet": lambda: single_stage("RetinaHead"), "ATSS": lambda: single_stage("ATSSHead"),
          "PAA": lambda: single_stage("PAAHead"), "Faster R-CNN": two_stage,
          "Cascade R-CNN": lambda: two_stage("CascadeRoIHead", agnostic=True), "DETR": lambda: single_stage("DETRHead"),
          "CenterNet": lambda: single_stage("CenterNetHead")}
QUICK = {"RetinaNet": 2, "Faster R-CNN": 1, "DETR": 1}
"""Examples of the fast tests, of which the first has the first of all values below."""
MANY = 12
CHANGED = st.sampled_from([True, False])

SCORES = [0, 0.0, 0.05, 0.3, 0.6, 0.999], [-0.1, 1, 1.5, None, True, "0.05"]
OVERLAPS = [0, 0.05, 0.3, 0.5, 0.9, 1, 1.0], [-0.1, 1.1, None, True, "0.5"]
COUNTS = [30, 1, 2, 7, 100, 5000], [0, -1, 5.0, None, True, "7"]
LIMITS = [0, 1, 7, 200, 5000, -1], [7.0, None, True, "7"]
SIZES = [-1, -0.5, 0, 8, 12.5, 40, 1000], [None, "16", True]
SUPPRESSION = {
    "type": (["nms"], ["soft_nms", "nms_match", "matrix", None, "nms_rotated"]), "iou_threshold": OVERLAPS,
    "class_agnostic": ([True, False], [None, "yes", 1]), "offset": ([0], [1]), "score_threshold": ([0, 0.0], [0.1, -1]),
    "max_num": ([-1], [0, 5]), "iou_thr": ([], [0.5]), "min_score": ([], [0.05])}
NEEDLESS = {"with_nms": ([], [True, False]), "rescale": ([], [True, False]), "nms_post": ([], [100])}
DENSE = {"score_thr": SCORES, "nms_pre": COUNTS, "max_per_img": COUNTS, "nms": SUPPRESSION,
         "min_bbox_size": ([-1, 0, 20, None], []), **NEEDLESS}
STAGES = {"rpn": {"nms_pre": LIMITS, "max_per_img": COUNTS, "nms": SUPPRESSION, "min_bbox_size": SIZES, **NEEDLESS},
          "rcnn": {"score_thr": SCORES, "nms": SUPPRESSION, "max_per_img": COUNTS, "mask_thr_binary": ([0.5], [0, 0.4]),
                   **NEEDLESS}}
KEYS = {"RetinaNet": DENSE, "ATSS": DENSE, "PAA": {**DENSE, "nms_pre": LIMITS}, "Faster R-CNN": STAGES,
        "Cascade R-CNN": STAGES,
        "DETR": {"max_per_img": ([7, 1, 2, 30], [0, -1, 5.0, None, 31, 1000]), "score_thr": ([], [0.05]), **NEEDLESS},
        "CenterNet": {"topk": ([7, 1, 100, 4096], COUNTS[1]), "local_maximum_kernel": ([1, 3, 7], [0, 2, -1, 3.0]),
                      "max_per_img": ([0, -1, 5, 100], []), "nms": ([], [{"iou_threshold": 0.5}]), **NEEDLESS}}
"""Of each key the values that are obeyed and those that are refused, as mmdet 2.28.2 and mmcv read them."""


def places(table, place=()):
    for key, values in table.items():
        if isinstance(values, dict):
            yield from places(values, (*place, key))
        else:
            yield (*place, key), values


def put(config, path, value):
    for section in path[:-1]:
        config = config[section]
    config[path[-1]] = value


@st.composite
def configs(draw, name):
    """Return a test_cfg and the path of its one value that is to be refused, None where none is."""
    config, table = copy.deepcopy(MODELS[name]()["test_cfg"]), dict(places(KEYS[name]))
    for path, (obeyed, _) in table.items():
        if obeyed and draw(CHANGED):
            put(config, path, draw(st.sampled_from(obeyed)))
    if draw(st.sampled_from([False, False, False, True])):
        path = draw(st.sampled_from([path for path, (_, refused) in table.items() if refused]))
        put(config, path, draw(st.sampled_from(table[path][1])))
        return config, ".".join(path)
    return config, None


@functools.cache
def lively(name):
    return enliven(build(MODELS[name]()), picture())


def with_test_cfg(detector, test_cfg):
    """Give a detector and its heads another test_cfg, as building it anew would."""
    test_cfg = detector.test_cfg = ConfigDict(test_cfg)
    for name, section in (("bbox_head", test_cfg), ("rpn_head", test_cfg.get("rpn")),
                          ("roi_head", test_cfg.get("rcnn"))):
        head = getattr(detector, name, None)
        if head is not None:
            head.test_cfg = section
    return detector


def require_obeyed_or_refused(name, drawn):
    test_cfg, refused = drawn
    note(f"{name}: {test_cfg}")
    detector, image = with_test_cfg(lively(name), test_cfg), picture()
    if refused is not None:
        with pytest.raises(UserError) as caught:
            require_supported(detector)
        assert caught.value.thing == f"model.test_cfg.{refused}"
        return
    require_supported(detector)
    rows, labels = detected(detector, image)
    assert len(rows) <= find_adapter(detector).max_detections(detector)
    # A score of 0 is padding in a graph.
    rows, labels = with_area(rows[rows[:, 4] > LEAST_SCORE], labels[rows[:, 4] > LEAST_SCORE])
    with tempfile.TemporaryDirectory() as folder:
        found, found_labels = with_area(*exported(detector, image, Path(folder))[:2])
    if len(rows) < 20:
        # Of so few each must be there, but for the last, which may be as good as the next.
        assert abs(len(rows) - len(found)) <= 1
    else:
        assert abs(len(rows) - len(found)) <= 0.02 * len(rows)
    for some, their_labels, others, other_labels in ((rows, labels, found, found_labels),
                                                     (found, found_labels, rows, labels)):
        same = share_found(some, their_labels, others, other_labels) * len(some) if len(some) and len(others) else 0
        assert same >= min(0.95 * len(some), len(some) - 1), (same, len(some), np.sort(some[:, 4])[::-1][:5])


def generated(name, examples):
    # An example is an export: a failing one is shown as it was drawn.
    @settings(max_examples=examples, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
    @given(configs(name))
    def test(drawn):
        require_obeyed_or_refused(name, drawn)

    test()


@pytest.mark.parametrize("name", QUICK)
def test_keys_are_obeyed_together_or_refused(name):
    generated(name, QUICK[name])


@pytest.mark.detectors
@pytest.mark.parametrize("name", MODELS)
def test_more_keys_are_obeyed_together_or_refused(name):
    generated(name, MANY)
