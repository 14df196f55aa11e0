"""What a config's ``evaluation`` may say: MMDetection's hook and data sets do it, or it is refused before training."""

import copy
import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmcv.runner import LogBuffer

from core.base.errors import UserError
from core.config.decisions import METRIC_ITEMS, METRICS
from core.config.loading import load_config
from core.training.hooks import EvaluationHook, summary_of, validation_metrics
from core.training.refusals import refused_of
from core.training.run_check import check_run
from core.training.samples import evaluation_loader
from core.training.settings import evaluation_settings, metric_names
from core.training.signals import Interruptions

BOXES = "configs/detectors/retinanet_r18_small_digits.py"
ODD = st.sampled_from([None, 0, -1, 1, 2.5, True, "", "auto", [], ["x"], {}, [1, 2, 3]])
NAMES = st.sampled_from(["auto", "bbox_mAP", "bbox_mAP_50", "AR@100", "AR_s@1000", "mAP", "AP50", "segm_mAP",
                         "bbox_mAP_copypaste", "bbox_AR@100", "map", "loss"])
KEYS = {
    "interval": st.integers(1, 3), "start": st.integers(0, 9), "rule": st.sampled_from(["greater", "less"]),
    "save_best": NAMES, "greater_keys": st.sampled_from(["AP", ["mAP", "AR"], ("x",)]),
    "less_keys": st.sampled_from(["loss", ["mAP"]]), "classwise": st.booleans(),
    "dynamic_intervals": st.sampled_from([[[3, 1]], [(2, 2), (4, 1)], [(4, 1), (2, 2)], [(1, 0)]]),
    "metric": st.sampled_from(METRICS) | st.lists(st.sampled_from(METRICS), min_size=1, max_size=3, unique=True)
    | st.just(("bbox", "proposal")), "proposal_nums": st.sampled_from([(100, 300, 1000), [1, 10, 100], (100, 1, 10),
                                                                      (300,), [5, 6, 7]]),
    "iou_thr": st.sampled_from([0.5, [0.5, 0.75], (0.5,), 1]),
    "iou_thrs": st.sampled_from([[0.5], [0.5, 0.75], [0.6, 0.75], 0.5]),
    "metric_items": st.sampled_from(METRIC_ITEMS) | st.lists(st.sampled_from(METRIC_ITEMS), min_size=1, unique=True),
    "scale_ranges": st.just([(0, 32)])}
# A few keys at once: of all of them hardly any combination is one that goes together.
EVALUATION = st.lists(st.sampled_from(sorted(KEYS)), max_size=4, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: st.one_of(*[KEYS[name]] * 9, ODD) for name in names}))


def config_of(evaluation, compressed=False):
    config = load_config(BOXES)
    config.evaluation = copy.deepcopy(evaluation)
    if compressed:
        config.nncf_config = {"input_info": {"sample_size": [1, 3, 8, 8]}, "compression": {"algorithm": "quantization"}}
    return config


@pytest.fixture(scope="module")
def images(tiny_data):
    """The validation images, and results of them: none, and boxes that are there."""
    from core.config.adapt import fit_to_data

    config = load_config(BOXES)
    fit_to_data(config, tiny_data)
    dataset = evaluation_loader(config, "val", tiny_data.val).dataset
    none = [[np.zeros((0, 5), np.float32) for _ in dataset.CLASSES] for _ in range(len(dataset))]
    found = copy.deepcopy(none)
    for place in range(len(dataset)):
        truth = dataset.get_ann_info(place)
        for box, label in zip(truth["bboxes"], truth["labels"]):
            found[place][label] = np.concatenate([found[place][label], np.append(box, 0.9).astype(np.float32)[None]])
    return dataset, none, found


def scored(hook, results):
    """Return what a hook keeps the best by, and what it logs."""
    runner = SimpleNamespace(logger=logging.getLogger("evaluation"), log_buffer=LogBuffer(), last_metrics={}, best={},
                             epoch=0)
    return hook.evaluate(runner, results), runner


@given(evaluation=EVALUATION, compressed=st.booleans())
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_not_refused_is_done(images, evaluation, compressed):
    dataset, none, found = images
    config = config_of(evaluation, compressed)
    refused = refused_of(config, 0)
    if refused:
        assert all(error.thing.startswith("config, evaluation.") for error in refused)
        return
    settings_of = evaluation_settings(config)
    if compressed:
        settings_of.setdefault("save_best", "auto")
    for order in ((none, found), (found, none)):
        loader = torch.utils.data.DataLoader(dataset)
        hook = EvaluationHook(None, loader, Interruptions(saving=False), lambda: True, compared=compressed,
                              by_epoch=True, **copy.deepcopy(settings_of))
        hook._decide_interval(SimpleNamespace(epoch=3, iter=3))
        for results in order:
            value, runner = scored(hook, results)
            names = metric_names(settings_of)
            assert set(names) <= set(runner.log_buffer.output)
            assert (value is None) == (settings_of.get("save_best") is None)
            if value is not None:
                name = names[0] if settings_of["save_best"] == "auto" else settings_of["save_best"]
                assert hook.key_indicator == name and hook.rule in ("greater", "less")
            if compressed:
                # COCO's of boxes, which is what the model before compression was scored with.
                assert runner.last_metrics["map"] == (1.0 if results is found else 0.0)


@pytest.mark.parametrize("evaluation, named", [
    ({"interval": 0}, "interval: 0"), ({"interval": -1}, "interval: -1"), ({"start": -1}, "start: -1"),
    ({"save_best": True}, "save_best: True"), ({"save_best": ""}, "save_best: ''"), ({"rule": "more"}, "rule: 'more'"),
    ({"save_best": "bbox_map"}, "Did you mean `bbox_mAP`"), ({"save_best": "AR@100"}, "The validation gives bbox_mAP"),
    ({"save_best": "bbox_mAP_75", "metric_items": ["mAP"]}, "The validation gives bbox_mAP."),
    ({"save_best": "bbox_mAP_50", "iou_thrs": [0.6, 0.75]}, "The validation gives bbox_mAP, bbox_mAP_75"),
    ({"save_best": "bbox_mAP_75", "iou_thrs": [0.5]}, "save_best: bbox_mAP_75"),
    ({"metric_items": ["mAP_50"], "iou_thrs": [0.75]}, "metric_items: ['mAP_50']. None of them is measured"),
    ({"save_best": "bbox_mAP_copypaste"}, "save_best: bbox_mAP_copypaste"),
    ({"save_best": "auto", "greater_keys": ["acc"]}, "None of them is a part of bbox_mAP"),
    ({"dynamic_intervals": [(4, 0)]}, "dynamic_intervals"), ({"dynamic_intervals": [(4, 1), (2, 1)]}, "places rise"),
    ({"metric": "segm"}, "segm. It is of masks"), ({"metric": "proposal_fast"}, "Write proposal."),
    ({"metric": "mAP", "classwise": True}, "classwise: True. MMDetection does not take it for the metric mAP"),
    ({"iou_thr": 0.5}, "iou_thr: 0.5. MMDetection does not take it for the metric bbox"),
    ({"iou_thrs": 0.5}, "iou_thrs: 0.5"), ({"metric": "mAP", "scale_ranges": [(0, 32)]}, "scale_ranges"),
    ({"proposal_nums": (300,)}, "proposal_nums"), ({"proposal_nums": [1, 2, 3]}, "100 among them"),
    ({"metric_items": ["mAP_90"]}, "metric_items")])
def test_what_mmdetection_fails_of_late_is_refused_by_name(evaluation, named):
    (error,) = refused_of(config_of(evaluation), 0)
    assert named in str(error)


def test_the_first_metric_is_the_best_one_s_where_that_is_auto(images):
    """mmcv cannot infer that more of AP50 and AR_s@1000 is better, and ended in its ValueError after an epoch."""
    dataset, _, found = images
    for evaluation, name in (({"metric": "mAP"}, "AP50"), ({"metric": "proposal"}, "AR@100"),
                             ({"metric": "proposal", "metric_items": ["AR_s@1000"]}, "AR_s@1000"),
                             ({"metric": ["mAP"]}, "AP50"), ({"metric": ("bbox", "proposal")}, "bbox_mAP")):
        chosen = evaluation_settings(config_of({**evaluation, "save_best": "auto"}))
        hook = EvaluationHook(None, torch.utils.data.DataLoader(dataset), Interruptions(saving=False), lambda: True,
                              **chosen)
        assert scored(hook, found)[0] is not None
        assert (hook.key_indicator, hook.rule) == (name, "greater")


def test_thresholds_are_looked_up(images):
    """pycocotools finds none in a list: mAP at 0.5 was -1."""
    dataset, _, found = images
    chosen = evaluation_settings(config_of({"iou_thrs": [0.5, 0.75]}))
    assert validation_metrics(dataset, found, logging.getLogger("evaluation"), chosen)["bbox_mAP_50"] == 1


@pytest.mark.parametrize("evaluation", [
    {"metric": ["proposal", "bbox"]}, {"metric": ["bbox", "proposal"]}, {"metric": "proposal"}, {"metric": "mAP"},
    {"metric_items": ["AR@100"]}, {"metric_items": ["mAP"]}, {"iou_thrs": [0.75]}])
def test_a_compressed_model_s_map_is_there_whatever_is_measured(images, evaluation):
    """Without it a training that ends when it has done enough never did: of boxes after proposals there was none."""
    dataset, none, found = images
    chosen = evaluation_settings(config_of(evaluation, compressed=True))
    for results, value in ((none, 0), (found, 1)):
        hook = EvaluationHook(None, torch.utils.data.DataLoader(dataset), Interruptions(saving=False), lambda: True,
                              compared=True, **chosen)
        metrics = scored(hook, results)[1].last_metrics
        assert (metrics["map"], metrics["map50"]) == (value, value)


@pytest.mark.parametrize("compared", [False, True])
def test_pascal_voc_s_metric_is_of_the_boxes_of_a_detector_with_masks(images, compared):
    dataset, _, found = images
    masks = [(boxes, [[{"size": [1, 1], "counts": b"0"} for _ in rows] for rows in boxes]) for boxes in found]
    chosen = evaluation_settings(config_of({"metric": "mAP"}))
    metrics = validation_metrics(dataset, masks, logging.getLogger("evaluation"), chosen, compared)
    assert metrics == {"AP50": 1, "mAP": 1, **({"map": 1, "map50": 1} if compared else {})}


def test_what_is_not_measured_at_a_threshold_is_left_out(images):
    """pycocotools gives -1 for it: the log and a training's figures had that, and save_best kept nothing by it."""
    dataset, _, found = images
    chosen = evaluation_settings(config_of({"iou_thrs": [0.6, 0.75]}))
    hook = EvaluationHook(None, torch.utils.data.DataLoader(dataset), Interruptions(saving=False), lambda: True,
                          **chosen)
    runner = scored(hook, found)[1]
    logged = runner.log_buffer.output
    assert "bbox_mAP_50" not in logged and (logged["bbox_mAP"], logged["bbox_mAP_75"]) == (1, 1)
    assert runner.last_metrics["map"] == 1 and np.isnan(runner.last_metrics["map50"])


def test_map50_of_a_split_without_a_box_is_none():
    assert np.isnan(summary_of({"bbox_mAP": -1.0, "bbox_mAP_50": -1.0})["map50"])
    assert summary_of({"bbox_mAP": 0.0, "bbox_mAP_50": 0.0})["map50"] == 0


def test_none_is_the_default_as_in_the_signatures_of_mmdetection():
    assert refused_of(config_of(None), 0) == []
    assert evaluation_settings(config_of(None)) == {"metric": "bbox"}
    assert evaluation_settings(config_of({"interval": None, "metric": None, "save_best": None})) == {
        "metric": "bbox", "save_best": None}


@pytest.mark.parametrize("key", ["out_dir", "jsonfile_prefix"])
def test_a_stage_writes_no_files_of_the_validation(key):
    with pytest.raises(UserError, match=f"model_config, evaluation.{key}: '/tmp'. A stage of the pipeline"):
        check_run(config_of({key: "/tmp"}), load_config(BOXES), 0)


def test_masks_are_measured_where_every_box_has_one(tiny_config, tiny_data):
    import dataclasses

    from core.config.adapt import fit_to_data

    config = tiny_config()
    config.evaluation.metric = ["bbox", "segm"]
    data = dataclasses.replace(tiny_data, val=dataclasses.replace(tiny_data.val, masks=0))
    with pytest.raises(UserError, match="0 of .* boxes have a mask"):
        fit_to_data(config, data)


@pytest.mark.parametrize("evaluation", [[1], 5, "x"])
def test_an_evaluation_that_is_no_dictionary_is_refused(evaluation):
    config = config_of({})
    config.evaluation = evaluation
    with pytest.raises(UserError, match="config, evaluation: .* It is a dictionary"):
        check_run(config, load_config(BOXES), 0)
