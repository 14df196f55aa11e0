"""Payloads at every place of a config, of its nncf_config and of a checkpoint's embedded config: none is followed."""

import contextlib
import copy
import json
import logging
import warnings
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.base.errors import UserError
from tests.hostile.canaries import canaries

pytest.importorskip("mmdet", reason="needs the train environment")

DETECTOR = "configs/nncf_compression/retinanet_r18_small/digits_int8.py"
# Keys that some class of mmcv or mmdet follows; docs/security.md names them with their places.
KEYS = ("init_cfg", "pretrained", "teacher_config", "teacher_ckpt", "file_client_args", "type", "ann_file",
        "proposal_file", "seg_prefix", "custom_imports", "custom_hooks", "load_from", "resume_from", "roi_layer", "nms",
        "plugins", "dcn", "hierarchy_file", "label_file", "rfstructure_file", "out_dir", "log_dir",
        "traces_per_layer_path", "load_ranking_coeffs_path", "save_ranking_coeffs_path", "classes", "policy",
        "pretrained_weights")
# Beside UserError: other tests ask for messages, these for acts.
FAULTS = (ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, OSError, RuntimeError, TypeError,
          ValueError)
EXAMPLES = 40


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with canaries(tmp_path_factory.mktemp("canaries") / "made") as made, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("mmcv").setLevel(logging.ERROR)
        yield made


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    import cv2
    import numpy as np

    from core.data.dataset import Dataset, Split

    folder = tmp_path_factory.mktemp("data")
    (folder / "images").mkdir()
    cv2.imwrite(str(folder / "images" / "1.png"), np.full((64, 64, 3), 128, np.uint8))
    truth = {"images": [{"id": 1, "file_name": "1.png", "width": 64, "height": 64}],
             "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [8, 8, 40, 40], "area": 1600,
                              "iscrowd": 0}], "categories": [{"id": 1, "name": "thing"}]}
    (folder / "truth.json").write_text(json.dumps(truth))
    split = Split("test", folder / "truth.json", folder / "images", 1, 1)
    return Dataset(("thing",), split, None, split, "0" * 64, ())


@pytest.fixture(scope="module")
def plain():
    """A whole config as data, small enough to be built and run many times."""
    from core.config.loading import load_data

    data = load_data(DETECTOR)
    data["data"].update(samples_per_gpu=1, workers_per_gpu=0)
    for part in ("train", "val", "test"):
        for step in data["data"][part]["pipeline"]:
            if "img_scale" in step:
                step["img_scale"] = (64, 64)
    data["model"]["bbox_head"].update(stacked_convs=1, feat_channels=8)
    data["model"]["backbone"]["base_channels"] = 8
    data["model"]["neck"].update(in_channels=[8, 16, 32, 64], out_channels=8)
    data["model"]["bbox_head"]["in_channels"] = 8
    return data


def places(node, path=()):
    """Return the paths of all values."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, (list, tuple)) else ()
    return [path, *(place for key, item in items for place in places(item, (*path, key)))] if path else [
        place for key, item in items for place in places(item, (key,))]


def planted(data, path, key, value):
    """Return ``data`` with ``value`` at ``path``, or below it as ``key``."""
    if not path:
        return {**data, key: value} if key else value
    step, node = path[0], list(data) if isinstance(data, (list, tuple)) else dict(data)
    inner = node[step]
    node[step] = planted(inner, path[1:], key, value) if path[1:] or key and isinstance(inner, dict) else value
    return tuple(node) if isinstance(data, tuple) else node


def attempt(data, dataset, folder):
    """Do with a config what the stages do, one after the other, as far as each comes."""
    from core.checkpoint.checkpoint import Checkpoint, save_checkpoint
    from core.compression.config_check import require_valid
    from core.config.adapt import nncf_config_of, plain_config, set_classes, set_data
    from core.config.fingerprint import config_to_text
    from core.config.loading import load_config
    from core.detectors.building import build_detector
    from core.detectors.initialising import check_weights, initialise
    from core.training.evaluate import evaluate_network
    from core.training.model import restore_detector
    from core.training.samples import train_loader
    from core.training.trainer import Output, Trainer, _source

    tolerated = contextlib.suppress(UserError, *FAULTS)
    (folder / "config.json").write_text(json.dumps(data))
    with tolerated:
        config = load_config(folder / "config.json")
        config.work_dir = str(folder / "work")
        with tolerated:
            require_valid(nncf_config_of(config))
        for step in (lambda: check_weights(copy.deepcopy(config), dataset.classes), lambda: _source(config, None),
                     lambda: set_classes(config, dataset.classes), lambda: set_data(config, dataset),
                     lambda: next(iter(train_loader(config, dataset, 0)))):
            with tolerated:
                step()
        detector = None
        with tolerated:
            detector = build_detector(plain_config(config))
            detector.CLASSES = dataset.classes
            initialise(detector, config)
        if detector is None:
            return
        # What is refused before anything is built is built all the same.
        with mock.patch("core.training.refusals.require_obeyed"), tolerated:
            Trainer(config, dataset, Output(folder / "work"))
        with tolerated:
            detector.bbox_head.retina_cls.bias.data.fill_(3.0)
            evaluate_network(detector, config, dataset.test, dataset.classes)
        with tolerated:
            save_checkpoint(Checkpoint(detector.state_dict(), dataset.classes, config_to_text(config)),
                            folder / "checkpoint.pth")
            restored = restore_detector(folder / "checkpoint.pth", dataset.classes)
            set_data(restored.config, dataset)
            evaluate_network(restored.network, restored.config, dataset.test, dataset.classes)


def test_the_untouched_config_comes_all_the_way(plain, dataset, made, tmp_path):
    """Else the other tests would show nothing."""
    attempt(plain, dataset, tmp_path)
    assert (tmp_path / "checkpoint.pth").exists()
    assert made.fired() == []


@pytest.mark.parametrize("path", [("model",), ("model", "backbone"), ("model", "neck"), ("model", "bbox_head")])
def test_pretrained_weights_anywhere_are_not_fetched_and_not_unpickled(plain, dataset, made, tmp_path, path):
    from core.config.loading import load_config
    from core.detectors.initialising import check_weights

    for payload in made.payloads()[:6]:
        (tmp_path / "config.json").write_text(json.dumps(planted(plain, path, "init_cfg", payload)))
        with pytest.raises(UserError):
            check_weights(load_config(tmp_path / "config.json"), dataset.classes)
        attempt(planted(plain, path, "init_cfg", payload), dataset, tmp_path)
    assert made.fired() == []


def test_the_type_of_nms_is_not_evaluated(plain, dataset, made, tmp_path):
    for place in (("model", "test_cfg", "nms", "type"), ("model", "test_cfg", "nms")):
        attempt(planted(plain, place, "", made.expression), dataset, tmp_path)
        attempt(planted(plain, place, "", {"type": f"(lambda *a, **k: {made.expression})"}), dataset, tmp_path)
    assert made.fired() == []


def test_a_payload_at_any_place_is_not_followed(plain, dataset, made, tmp_path_factory):
    folder, everywhere, payloads = tmp_path_factory.mktemp("any"), places(plain), made.payloads()

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
              suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(st.sampled_from(everywhere), st.sampled_from(("", *KEYS)), st.sampled_from(payloads)),
                    min_size=1, max_size=3))
    def plant(choices):
        data = plain
        for path, key, payload in choices:
            with contextlib.suppress(LookupError, TypeError):
                data = planted(data, path, key, payload)
        attempt(data, dataset, folder)
        assert made.fired() == []

    plant()


def test_the_canaries_themselves_fire(tmp_path):
    """What the tests look for is seen where it happens."""
    import pickle
    import urllib.request
    from pathlib import Path

    with canaries(tmp_path / "made") as made:
        with contextlib.suppress(TypeError):
            pickle.loads(Path(made.file(".pkl")).read_bytes())
        eval(made.expression)
        urllib.request.urlopen(made.url + "evil.pth").read()
        exec(Path(made.file(".py")).read_text())
        assert sorted(made.fired()) == ["/evil.pth", "evaluated", "run", "unpickled"]
