"""Pretrained weights have the effect that they have with mmcv, and nothing is random in silence."""

import copy
import warnings

import pytest
import torch

from core.base.errors import UserError
from core.detectors.building import build_detector
from core.detectors.initialising import check_weights, initialise, initialise_at_random
from core.detectors.loaders import originals

BACKBONE = {"type": "ResNet", "depth": 18, "base_channels": 8, "frozen_stages": -1}
MODEL = {
    "type": "RetinaNet", "backbone": BACKBONE,
    "neck": {"type": "FPN", "in_channels": [8, 16, 32, 64], "out_channels": 8, "start_level": 1, "num_outs": 3},
    "bbox_head": {"type": "RetinaHead", "num_classes": 3, "in_channels": 8, "feat_channels": 8, "stacked_convs": 1,
                  "anchor_generator": {"type": "AnchorGenerator", "octave_base_scale": 4, "scales_per_octave": 1,
                                       "ratios": [1.0], "strides": [8, 16, 32]}},
    "train_cfg": {}, "test_cfg": {"nms": {"type": "nms", "iou_threshold": 0.5}}}


def config(**model):
    """Return a config of the small RetinaNet; dicts are merged into the model's parts."""
    from mmcv import Config

    made = Config({"model": copy.deepcopy(MODEL)})
    made.merge_from_dict({"model": model})
    return made


def pretrained(path, **more):
    return {"type": "Pretrained", "checkpoint": str(path), **more}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.fixture(scope="module")
def whole():
    """Weights of a whole detector, unlike any that are drawn."""
    torch.manual_seed(1)
    detector = build_detector(config())
    return {name: torch.rand(value.shape) if value.is_floating_point() else value
            for name, value in detector.state_dict().items()}


@pytest.fixture(scope="module")
def backbone(whole):
    return {name[len("backbone."):]: value for name, value in whole.items() if name.startswith("backbone.")}


def first_weights(settings, seed=3):
    torch.manual_seed(seed)
    detector = build_detector(settings)
    initialise(detector, settings)
    return detector.state_dict()


def mmcvs_own(settings, seed=3):
    """Return the weights that MMDetection gives the same model by itself."""
    from mmdet.models import build_detector as build

    build_detector(config())
    with originals(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        detector = build(copy.deepcopy(settings.model))
        detector.init_weights()
    return detector.state_dict()


def test_local_weights_have_mmcvs_effect(tmp_path, whole, backbone):
    files = {
        "bare": backbone, "state_dict": {"state_dict": backbone, "meta": {"epoch": 3}},
        "data_parallel": {"state_dict": {f"module.{name}": value for name, value in backbone.items()}},
        "partial": {"state_dict": {name: value for name, value in backbone.items() if "layer4" not in name}},
        "other_shape": {**backbone, "layer1.0.conv1.weight": torch.rand(1, 2, 3, 3), "fc.weight": torch.rand(10, 4)},
        "half": {name: value.half() if value.is_floating_point() else value for name, value in backbone.items()}}
    for name, contents in files.items():
        torch.save(contents, tmp_path / f"{name}.pth")
        settings = config(backbone={"init_cfg": pretrained(tmp_path / f"{name}.pth")})
        own = first_weights(settings)
        assert equal(own, mmcvs_own(settings)), name
        assert torch.equal(own["backbone.conv1.weight"], files["bare"]["conv1.weight"].to(
            torch.float16 if name == "half" else torch.float32).float())


def test_a_prefix_a_list_a_neck_the_model_itself_and_the_older_key(tmp_path, whole):
    torch.save({"state_dict": whole}, tmp_path / "whole.pth")
    torch.save({name[9:]: value for name, value in whole.items() if name.startswith("backbone.")},
               tmp_path / "backbone.pth")
    file, conv = tmp_path / "whole.pth", {"type": "Normal", "std": 0.5, "layer": "Conv2d"}
    for settings in (
            config(backbone={"init_cfg": pretrained(file, prefix="backbone.")}),
            config(backbone={"init_cfg": pretrained(file, prefix="backbone", map_location="cpu")}),
            config(neck={"init_cfg": pretrained(file, prefix="neck.")}),
            config(backbone={"init_cfg": [conv, pretrained(tmp_path / "backbone.pth")]}),
            config(init_cfg=pretrained(file)),
            config(init_cfg=pretrained(file), backbone={"frozen_stages": 1}),
            config(pretrained=str(tmp_path / "backbone.pth")),
            config(backbone={"pretrained": str(tmp_path / "backbone.pth")})):
        assert equal(first_weights(settings), mmcvs_own(settings)), settings.model
    assert equal(first_weights(config(init_cfg=pretrained(file))), whole)


def test_weights_on_s3(s3, tmp_path, monkeypatch, backbone):
    monkeypatch.setenv("MMDET_COMPRESS_CACHE", str(tmp_path))
    torch.save(backbone, tmp_path / "backbone.pth")
    place = s3.put("weights/backbone.pth", (tmp_path / "backbone.pth").read_bytes())
    found = first_weights(config(backbone={"init_cfg": pretrained(place)}))
    assert torch.equal(found["backbone.conv1.weight"], backbone["conv1.weight"])


def test_published_weights_come_from_the_users_copy(tmp_path, backbone, monkeypatch):
    settings = config(backbone={"init_cfg": pretrained("torchvision://resnet50"), "frozen_stages": 1})
    with pytest.raises(UserError, match="resnet50-0676ba61.pth into a folder"):
        first_weights(settings)
    torch.save(backbone, tmp_path / "resnet50-0676ba61.pth")
    settings.pretrained_weights = str(tmp_path)
    assert torch.equal(first_weights(settings)["backbone.conv1.weight"], backbone["conv1.weight"])
    settings.pop("pretrained_weights")
    monkeypatch.setenv("MMDET_COMPRESS_WEIGHTS", str(tmp_path))
    assert torch.equal(first_weights(settings)["backbone.conv1.weight"], backbone["conv1.weight"])


@pytest.mark.parametrize("contents", [{"conv1.weight": [1.0]}, {"w": "text"}])
def test_files_that_fit_nowhere_are_refused(tmp_path, contents):
    torch.save({name: torch.rand(3, 3) for name in contents}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="None of its 1 tensors .* fits"):
        first_weights(config(backbone={"init_cfg": pretrained(tmp_path / "other.pth")}))
    with pytest.raises(UserError, match="prefix|not in the pretrained model"):
        first_weights(config(backbone={"init_cfg": pretrained(tmp_path / "other.pth", prefix="backbone.")}))


def test_frozen_stages_above_random_weights_are_refused(tmp_path, backbone, whole):
    frozen = config(backbone={"frozen_stages": 1})
    for attempt in (lambda: first_weights(frozen), lambda: check_weights(frozen, ("a", "b", "c"))):
        with pytest.raises(UserError, match=r"backbone.frozen_stages=1.*backbone.conv1, backbone.layer1 .*at random"):
            attempt()
    partial = {name: value for name, value in backbone.items() if not name.startswith("layer1")}
    torch.save(partial, tmp_path / "partial.pth")
    with pytest.raises(UserError, match=r"backbone.layer1 \("):
        first_weights(config(backbone={"frozen_stages": 1, "init_cfg": pretrained(tmp_path / "partial.pth")}))
    # A checkpoint that is loaded afterwards gives them their weights.
    detector = build_detector(frozen)
    initialise(detector, frozen, whole)
    first_weights(config(backbone={"frozen_stages": -1}))


def test_frozen_norms_at_their_first_values_are_no_random_weights():
    first_weights(config(backbone={"norm_cfg": {"type": "BN", "requires_grad": False}}))


def test_modules_that_a_checkpoint_covers_need_no_file(whole):
    settings = config(backbone={"init_cfg": pretrained("torchvision://resnet50"), "frozen_stages": 1})
    initialise(build_detector(settings), settings, whole)
    del (lacking := dict(whole))["backbone.conv1.weight"]
    with pytest.raises(UserError, match="resnet50-0676ba61.pth"):
        initialise(build_detector(settings), settings, lacking)


def test_trials_need_no_file():
    settings = config(backbone={"init_cfg": pretrained("torchvision://resnet50")})
    initialise_at_random(build_detector(settings))


def test_building_leaves_the_config_as_it_is():
    settings = config(pretrained="torchvision://resnet50")
    before = copy.deepcopy(settings.model)
    build_detector(settings)
    assert settings.model == before


def test_what_resolve_checks(tmp_path, whole):
    torch.save({"state_dict": whole}, tmp_path / "whole.pth")
    check_weights(config(), "abc")
    settings = config(backbone={"frozen_stages": 1})
    settings.load_from = "https://download.openmmlab.com/x/whole.pth"
    with pytest.raises(UserError, match="^load_from: https.*whole.pth into a folder"):
        check_weights(settings, "abc")
    settings.pretrained_weights = str(tmp_path)
    check_weights(settings, "abc")
