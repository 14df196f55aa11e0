import copy
from pathlib import Path

import pytest

from core.base.errors import UserError
from core.config.adapt import classes_of, nncf_config_of, plain_config, set_classes, set_data
from core.data.dataset import Dataset, Split

TRAIN, TEST = [{"type": "Flip"}], [{"type": "Scale"}]


def split(name: str) -> Split:
    return Split(name, Path(f"/cache/{name}.json"), Path("/data/images"), 5, 9)


def dataset(val: bool = True) -> Dataset:
    return Dataset(("red", "blue"), split("train"), split("val") if val else None, split("test"), "0" * 64, ())


def leaf(name: str, **more) -> dict:
    return {"type": "CocoDataset", "ann_file": f"/cache/{name}.json", "img_prefix": "/data/images/",
            "classes": ("red", "blue"), **more}


def voc(pipeline, **more) -> dict:
    return {"type": "VOCDataset", "ann_file": ["a.txt", "b.txt"], "img_prefix": ["a", "b"], "pipeline": pipeline,
            **more}


def adapted(train, test=None, val=None, dataset_with_val=True):
    data = {"samples_per_gpu": 2, "train": train, "test": test or {"type": "CocoDataset", "pipeline": TEST}}
    config = {"data": {**data, "val": val} if val else data}
    set_data(config, dataset(dataset_with_val))
    return config["data"]


def test_num_classes_is_set_in_every_head():
    model = {"type": "HTC", "backbone": {"num_classes": 1000}, "rpn_head": {"type": "X", "num_classes": 1},
             "roi_head": {"bbox_head": [{"num_classes": 80, "loss_cls": {"num_classes": 80}}, {"num_classes": 80}],
                          "mask_head": {"num_classes": 80}, "semantic_head": {"num_classes": 183}}}
    config = {"model": copy.deepcopy(model)}
    set_classes(config, ("a", "b", "c"))
    expected = copy.deepcopy(model)
    expected["roi_head"]["bbox_head"] = [{"num_classes": 3, "loss_cls": {"num_classes": 3}}, {"num_classes": 3}]
    expected["roi_head"]["mask_head"] = {"num_classes": 3}
    assert config == {"model": expected}


def test_a_model_without_num_classes_stays():
    config = {"model": {"type": "RPN", "rpn_head": {"type": "RPNHead"}}}
    set_classes(config, ("a", "b"))
    assert config == {"model": {"type": "RPN", "rpn_head": {"type": "RPNHead"}}}


def test_splits_are_pointed_at_the_data():
    train = {"type": "CocoDataset", "ann_file": "x", "data_root": "d", "pipeline": TRAIN, "filter_empty_gt": False}
    data = adapted(train, val={"type": "CocoDataset", "ann_file": "y", "pipeline": TEST, "samples_per_gpu": 3})
    assert data == {"samples_per_gpu": 2, "train": leaf("train", pipeline=TRAIN, filter_empty_gt=False),
                    "val": leaf("val", pipeline=TEST), "test": leaf("test", pipeline=TEST)}


def test_wrappers_stay_and_other_types_become_coco():
    wrapped = {"type": "RepeatDataset", "times": 3, "dataset": {
        "type": "ClassBalancedDataset", "oversample_thr": 0.1, "dataset": voc(TRAIN, difficult=True)}}
    assert adapted(wrapped)["train"] == {"type": "RepeatDataset", "times": 3, "dataset": {
        "type": "ClassBalancedDataset", "oversample_thr": 0.1, "dataset": leaf("train", pipeline=TRAIN)}}
    mixed = {"type": "MultiImageMixDataset", "pipeline": [{"type": "Mosaic"}], "dataset": voc(TRAIN)}
    assert adapted(mixed)["train"] == {"type": "MultiImageMixDataset", "pipeline": [{"type": "Mosaic"}],
                                       "dataset": leaf("train", pipeline=TRAIN)}


@pytest.mark.parametrize("train", [
    {"type": "ConcatDataset", "datasets": [voc(TRAIN), voc(TRAIN)]}, [voc(TRAIN), voc(TRAIN)],
])
def test_a_concatenation_becomes_the_one_data_set(train):
    assert adapted(train)["train"] == leaf("train", pipeline=TRAIN)


@pytest.mark.parametrize("parts", [[voc(TRAIN), voc(TEST)], []])
def test_a_concatenation_of_different_pipelines_is_refused(parts):
    with pytest.raises(UserError, match="data.train: a concatenation of . data sets with different pipelines"):
        adapted({"type": "ConcatDataset", "datasets": parts})


@pytest.mark.parametrize("key", ["proposal_file", "seg_prefix"])
def test_data_that_a_data_set_here_lacks_is_refused(key):
    with pytest.raises(UserError, match=f"data.train.{key}: x. Only images and boxes"):
        adapted({"type": "CocoDataset", "pipeline": TRAIN, key: "x"})
    assert key not in adapted({"type": "CocoDataset", "pipeline": TRAIN, key: None})["train"]


def test_a_pipeline_that_loads_masks_needs_a_mask_for_every_box():
    masked = [{"type": "LoadAnnotations", "with_bbox": True, "with_mask": True}]
    with pytest.raises(UserError, match="data, split 'train': 0 of 9 boxes have a mask.*data.train.pipeline"):
        adapted({"type": "CocoDataset", "pipeline": masked})


def test_boxes_in_pixels_are_not_taken_for_fractions_of_the_image():
    load = {"type": "LoadAnnotations", "with_bbox": True}
    pipeline = [{**load, "denorm_bbox": True}, *TRAIN]
    data = adapted({"type": "OpenImagesDataset", "label_file": "names.csv", "pipeline": pipeline})
    assert data["train"] == leaf("train", pipeline=[load, *TRAIN])
    assert pipeline[0]["denorm_bbox"]
    with pytest.raises(UserError, match="data.train.pipeline.*denorm_bbox"):
        adapted({"type": "CocoDataset", "pipeline": pipeline})


@pytest.mark.parametrize("train, where", [
    (5, "data.train"), ({"type": "MultiImageMixDataset", "pipeline": TRAIN, "dataset": "x"}, "data.train.dataset"),
])
def test_a_data_set_that_is_no_dict_is_refused(train, where):
    with pytest.raises(UserError, match=f"config, {where}: .* A data set is a dict"):
        adapted(train)


def test_the_val_split():
    train = {"type": "CocoDataset", "pipeline": TRAIN}
    assert adapted(train)["val"] == leaf("val", pipeline=TEST)
    assert adapted(train, val={"type": "CocoDataset"})["val"] == leaf("val", pipeline=TEST)
    assert "val" not in adapted(train, val={"type": "CocoDataset", "pipeline": TEST}, dataset_with_val=False)


def test_adapting_twice_changes_nothing_more():
    config = {"data": {"train": [voc(TRAIN)] * 2, "test": voc(TEST)}}
    set_data(config, dataset())
    once = copy.deepcopy(config)
    set_data(config, dataset())
    assert config == once


def test_the_metric_follows_the_data_sets_type():
    coco = {"type": "CocoDataset", "pipeline": TEST}
    cases = ((voc(TEST), "proposal", "bbox"), (voc(TEST), "mAP", "mAP"), (coco, "proposal", "proposal"))
    for test, given, metric in cases:
        config = {"data": {"train": voc(TRAIN), "test": test}, "evaluation": {"interval": 1, "metric": given}}
        set_data(config, dataset())
        assert config["evaluation"] == {"interval": 1, "metric": metric}


def test_nncf_config_of():
    nncf_config = {"compression": [{"algorithm": "quantization"}], "log_dir": "x"}
    assert nncf_config_of({"nncf_config": nncf_config}) == nncf_config
    assert nncf_config_of({}) is None
    assert nncf_config_of({"nncf_config": {}}) is None
    assert nncf_config_of({"nncf_config": None}) is None
    for value in ([1], "int8", True, 0):
        with pytest.raises(UserError, match="config, nncf_config: .* It is passed to NNCF unchanged, as a dict"):
            nncf_config_of({"nncf_config": value})


def test_plain_config_is_a_copy_without_nncf():
    config = {"model": {"a": 1}, "nncf_config": {"x": 1}, "nncf_compress_postprocessing": True}
    plain = plain_config(config)
    assert plain == {"model": {"a": 1}}
    plain["model"]["a"] = 2
    assert config["model"] == {"a": 1}
    assert "nncf_config" in config


def test_with_mmcvs_config(detector):
    from core.config.loading import load_config

    config = load_config(detector, {"nncf_config": {"compression": {"algorithm": "quantization"}}})
    set_classes(config, ("red", "blue"))
    set_data(config, dataset())
    assert config.model.bbox_head.num_classes == 2
    assert config.data.train.ann_file == "/cache/train.json"
    assert config.data.val.pipeline[1].transforms[0].keep_ratio is True
    assert type(nncf_config_of(config)) is dict
    assert type(nncf_config_of(config)["compression"]) is dict
    plain = plain_config(config)
    assert nncf_config_of(plain) is None
    assert plain.model == config.model
    assert nncf_config_of(config) is not None


def test_mmdet_builds_the_adapted_data_sets(detector, tmp_path):
    import json

    from mmdet.datasets import build_dataset

    from core.config.loading import load_config

    annotations = tmp_path / "train.json"
    box = {"id": 1, "image_id": 1, "category_id": 2, "bbox": [1, 2, 30, 20], "area": 600, "iscrowd": 0}
    annotations.write_text(json.dumps({
        "images": [{"id": 1, "file_name": "a.jpg", "width": 50, "height": 40}], "annotations": [box],
        "categories": [{"id": 1, "name": "red"}, {"id": 2, "name": "blue"}]}))
    config = load_config(detector)
    config.data.train = {"type": "RepeatDataset", "times": 2, "dataset": [voc(config.data.train.pipeline)] * 2}
    one = Split("train", annotations, tmp_path, 1, 1)
    set_data(config, Dataset(("red", "blue"), one, None, one, "0" * 64, ()))
    built = build_dataset(config.data.train)
    assert len(built) == 2
    assert built.CLASSES == ("red", "blue")
    assert built.dataset.get_ann_info(0)["labels"].tolist() == [1]


@pytest.mark.parametrize(("train", "names"), [
    ({}, ()), ({"classes": ("a", "b")}, ("a", "b")), ({"classes": "cell"}, ("cell",)),
    ({"dataset": {"classes": ["a"]}}, ("a",)), ([{"pipeline": []}, {"classes": ["a"]}], ("a",))])
def test_classes_that_a_config_declares(train, names):
    assert classes_of({"data": {"train": train}}) == names


def test_declared_classes_that_are_no_names_are_refused():
    with pytest.raises(UserError, match="data.train.classes"):
        classes_of({"data": {"train": {"classes": [1, 2]}}})
