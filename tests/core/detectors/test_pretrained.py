"""Which file the weights that a config names are in, and that none is downloaded."""

import json
import os
from pathlib import Path

import mmcv
import pytest

from core.base.errors import UserError
from core.detectors.pretrained import VARIABLE, published_file, read_weights, weights_file, weights_location


@pytest.mark.parametrize(("name", "file"), [
    ("torchvision://resnet50", "resnet50-0676ba61.pth"), ("modelzoo://resnet18", "resnet18-f37072fd.pth"),
    ("torchvision://resnet50.imagenet1k_v2", "resnet50-11ad3fa6.pth"),
    ("torchvision://ResNet50_Weights.IMAGENET1K_V1", "resnet50-0676ba61.pth"),
    ("open-mmlab://detectron2/resnet50_caffe", "resnet50_msra-5891d200.pth"),
    ("openmmlab://resnet50_caffe", "resnet50_caffe-788b5fa3.pth"),
    ("mmcls://mobilenet_v2", "mobilenet_v2_batch256_imagenet_20200708-3b2dc3af.pth"),
    ("https://download.openmmlab.com/a/swin_tiny.pth?x=1", "swin_tiny.pth"), ("backbone.pth", None),
    ("/weights/backbone.pth", None), ("s3://bucket/backbone.pth", None), ("file:///backbone.pth", None)])
def test_file_of_a_published_name(name, file):
    assert published_file(name) == file


def test_every_name_of_mmcvs_tables_has_a_file():
    folder = Path(mmcv.__file__).parent / "model_zoo"
    for scheme, table in (("torchvision", "torchvision_0.12"), ("open-mmlab", "open_mmlab"), ("mmcls", "mmcls")):
        for name, url in json.loads((folder / f"{table}.json").read_text()).items():
            assert url is None or published_file(f"{scheme}://{name}").endswith((".pth", ".pt"))


@pytest.mark.parametrize("name", ["torchvision://resnet51", "open-mmlab://../../etc/passwd", "mmcls://", "https://host/",
                                  "https://[/x.pth", "http://host"])
def test_no_file_of_such_a_name(name):
    with pytest.raises(UserError, match="^pretrained weights"):
        published_file(name)


@pytest.mark.parametrize(("name", "problem"), [
    ("pavi://x.pth", "not a known kind"), ("petrel:s3://x/y.pth", "not a known kind|must be a file"),
    ("", "path or a URI"), ("ftp://host/x.pth", "not a known kind"), ("absent.pth", "must be a file"),
    ("/dev/zero", "must be a file"),
    ({"a": 1}, "named by text"), ("https://user:secret@host/x.pth", "x.pth into a folder"),
    ("torchvision://resnet50", "resnet50-0676ba61.pth into a folder")])
def test_what_is_refused_where_no_place_is_named(name, problem, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=problem) as refused:
        weights_file(name, "")
    assert "secret" not in str(refused.value)


def test_published_weights_are_found_in_the_named_folder(tmp_path):
    file = tmp_path / "resnet50-0676ba61.pth"
    with pytest.raises(UserError, match="has no file resnet50-0676ba61.pth"):
        weights_file("torchvision://resnet50", str(tmp_path))
    file.write_bytes(b"")
    for name in ("torchvision://resnet50", "https://elsewhere.org/resnet50-0676ba61.pth", str(file), f"file://{file}"):
        assert weights_file(name, str(tmp_path)) == file


def test_published_weights_are_found_in_the_named_bucket(s3, tmp_path, monkeypatch):
    monkeypatch.setenv("MMDET_COMPRESS_CACHE", str(tmp_path))
    own = s3.put("mine/backbone.pth", b"own")
    s3.put("zoo/resnet50-0676ba61.pth", b"zoo")
    assert weights_file(own, "").read_bytes() == b"own"
    assert weights_file("torchvision://resnet50", f"{s3.uri}/zoo").read_bytes() == b"zoo"
    with pytest.raises(UserError, match="has no file resnet18"):
        weights_file("torchvision://resnet18", f"{s3.uri}/zoo")


def test_the_config_says_where_before_the_environment_does(monkeypatch):
    assert weights_location({}) == os.environ.get(VARIABLE, "")
    monkeypatch.setenv(VARIABLE, "/of/environment")
    assert weights_location({}) == "/of/environment"
    assert weights_location({"pretrained_weights": "/of/config"}) == "/of/config"
    with pytest.raises(UserError, match="pretrained_weights"):
        weights_location({"pretrained_weights": ["a"]})


def test_a_classifiers_weights_lose_the_prefix_of_its_backbone(tmp_path):
    import torch
    weights = {"backbone.conv1.weight": torch.rand(2), "head.fc.weight": torch.rand(2)}
    torch.save({"state_dict": weights}, tmp_path / published_file("mmcls://vgg11"))
    assert list(read_weights("mmcls://vgg11", str(tmp_path))["state_dict"]) == ["conv1.weight"]
    torch.save([1], tmp_path / "list.pth")
    with pytest.raises(UserError, match="holds a list"):
        read_weights(str(tmp_path / "list.pth"), "")
