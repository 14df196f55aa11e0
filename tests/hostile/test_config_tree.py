"""Payloads at every place of a config, of its nncf_config and of a checkpoint's embedded config: none is followed."""

import contextlib
import copy
import json
import logging
import shutil
import warnings
from unittest import mock

import cv2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.base.errors import UserError
from tests.hostile.canaries import canaries

DETECTOR = "configs/nncf_compression/retinanet_r18_small/digits_int8.py"
# Keys that some class of mmcv or mmdet follows; docs/security.md names them with their places.
KEYS = ("init_cfg", "pretrained", "teacher_config", "teacher_ckpt", "file_client_args", "type", "ann_file",
        "proposal_file", "seg_prefix", "custom_imports", "custom_hooks", "load_from", "resume_from", "roi_layer", "nms",
        "plugins", "dcn", "hierarchy_file", "label_file", "rfstructure_file", "out_dir", "log_dir",
        "traces_per_layer_path", "load_ranking_coeffs_path", "save_ranking_coeffs_path", "classes", "policy",
        "pretrained_weights")
# Beside UserError: other tests ask for messages, these for acts.
FAULTS = (ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, OSError, RuntimeError, TypeError,
          ValueError, cv2.error)
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
    for number in (1, 2):
        cv2.imwrite(str(folder / "images" / f"{number}.png"), np.full((64, 64, 3), 60 * number, np.uint8))
    truth = {"images": [{"id": number, "file_name": f"{number}.png", "width": 64, "height": 64} for number in (1, 2)],
             "annotations": [{"id": number, "image_id": number, "category_id": 1, "bbox": [8, 8, 40, 40], "area": 1600,
                              "iscrowd": 0} for number in (1, 2)], "categories": [{"id": 1, "name": "thing"}]}
    (folder / "truth.json").write_text(json.dumps(truth))
    split = Split("test", folder / "truth.json", folder / "images", 2, 2)
    return Dataset(("thing",), split, None, split, "0" * 64, ())


@pytest.fixture(scope="module")
def plain():
    """A whole config as data, small enough to be built and run many times."""
    from core.config.loading import load_data

    data = load_data(DETECTOR)
    data["data"].update(samples_per_gpu=2, workers_per_gpu=0)
    for part in ("train", "val", "test"):
        for step in data["data"][part]["pipeline"]:
            if "img_scale" in step:
                step["img_scale"] = (64, 64)
    data["model"]["bbox_head"].update(stacked_convs=1, feat_channels=8)
    data["nncf_config"]["compression"]["initializer"] = {
        "range": {"num_init_samples": 1}, "batchnorm_adaptation": {"num_bn_adaptation_samples": 0}}
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


def attempt(data, dataset, folder, compressed=True):
    """Do with a config what the stages do, one after the other, as far as each comes; return what was done.

    Where not ``compressed``, training is prepared without NNCF, which takes a second.
    """
    from core.checkpoint.checkpoint import Checkpoint, save_checkpoint
    from core.compression.config_check import require_valid
    from core.config.adapt import nncf_config_of, plain_config, set_classes, set_data
    from core.config.fingerprint import config_to_text
    from core.config.loading import load_config
    from core.detectors.building import build_detector
    from core.detectors.initialising import check_weights, initialise
    from core.detectors.pretrained import weights_file, weights_location
    from core.training.evaluate import evaluate_network
    from core.training.model import restore_detector
    from core.training.samples import train_loader
    from core.training.trainer import Output, Trainer

    done = []

    @contextlib.contextmanager
    def step(name):
        with contextlib.suppress(UserError, *FAULTS):
            yield
            done.append(name)

    (folder / "config.py").write_text(as_python(data))
    with step("read"):
        config = load_config(folder / "config.py")
        config.work_dir = str(folder / "work")
    if not done:
        return done
    with step("nncf_config"):
        require_valid(nncf_config_of(config))
    with step("weights"):
        check_weights(copy.deepcopy(config), dataset.classes)
    with step("source"):
        key = "resume_from" if config.get("resume_from") else "load_from"
        if config.get(key):
            weights_file(config[key], weights_location(config), key)
    with step("classes"):
        set_classes(config, dataset.classes)
        set_data(config, dataset)
    with step("sample"):
        next(iter(train_loader(config, dataset, 0)))
    detector = None
    with step("detector"):
        detector = build_detector(plain_config(config))
        detector.CLASSES = dataset.classes
        initialise(detector, config)
    if detector is None:
        return done
    # What is refused before anything is built is built all the same.
    with step("trainer"), mock.patch("core.training.trainer.require_obeyed"):
        Trainer(config if compressed else plain_config(config), dataset, Output(folder / "work"))
    with step("evaluation"):
        detector.bbox_head.retina_cls.bias.data.fill_(3.0)
        evaluate_network(detector, config, dataset.test, dataset.classes)
    with step("checkpoint"):
        save_checkpoint(Checkpoint(detector.state_dict(), dataset.classes, config_to_text(config)),
                        folder / "checkpoint.pth")
        restored = restore_detector(folder / "checkpoint.pth", dataset.classes)
        set_data(restored.config, dataset)
        evaluate_network(restored.network, restored.config, dataset.test, dataset.classes)
    return done


def as_python(data):
    """Return a config as a file that tells tuples from lists, as MMDetection's transforms do."""
    return "".join(f"{key} = {value!r}\n" for key, value in data.items())


def test_the_untouched_config_comes_all_the_way(plain, dataset, made, tmp_path):
    """Else the other tests would show nothing."""
    assert attempt(plain, dataset, tmp_path) == [
        "read", "nncf_config", "weights", "source", "classes", "sample", "detector", "trainer", "evaluation",
        "checkpoint"]
    assert made.fired() == []


@pytest.mark.parametrize("path", [("model",), ("model", "backbone"), ("model", "neck"), ("model", "bbox_head")])
def test_pretrained_weights_anywhere_are_not_fetched_and_not_unpickled(plain, dataset, made, tmp_path, path):
    from core.config.loading import load_config
    from core.detectors.initialising import check_weights

    for payload in made.payloads()[:6]:
        (tmp_path / "config.py").write_text(as_python(planted(plain, path, "init_cfg", payload)))
        with pytest.raises(UserError):
            check_weights(load_config(tmp_path / "config.py"), dataset.classes)
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
        attempt(data, dataset, folder, any(path[0] == "nncf_config" for path, _, _ in choices))
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


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory, dataset):
    """The data set as a folder that commands are given."""
    folder = tmp_path_factory.mktemp("folder")
    shutil.copytree(dataset.test.image_root, folder / "images")
    (folder / "annotations").mkdir()
    for split in ("train", "val", "test"):
        shutil.copy(dataset.test.annotation_file, folder / "annotations" / f"{split}.json")
    return folder


def attacks(made, outside):
    """Return places of a config and values there, each of which something in mmcv, mmdet or NNCF would act on."""
    url, pipeline = made.url + "evil.pth", ("data", "train", "pipeline", 1)
    albu = [{"type": "OneOf", "transforms": [{"type": "Lambda", "image": made.expression}]},
            {"type": "Sequential", "transforms": [{"type": "FDA", "reference_images": [made.file(".pkl")],
                                                   "read_fn": made.expression}]},
            {"type": "load", "filepath": made.file(".yaml"), "data_format": "yaml"}, {"type": "from_dict"},
            {"type": "__builtins__"}]
    open_images = {"type": "OpenImagesDataset", "ann_file": made.file(".py"), "label_file": made.file(".py"),
                   "image_level_ann_file": made.file(".py"), "hierarchy_file": made.file(".npy"), "pipeline": []}
    quantization = {"algorithm": "quantization", "initializer": {"precision": {
        "type": "hawq", "bits": [4, 8], "traces_per_layer_path": made.file(".pth")}}}
    pruning = {"algorithm": "filter_pruning", "params": {"pruning_target": 0.3, "load_ranking_coeffs_path": made.file(
        ".pkl"), "save_ranking_coeffs_path": f"{outside}/coefficients.json"}}
    nncf = {"input_info": {"sample_size": [1, 3, 64, 64]}, "log_dir": f"{outside}/nncf"}
    yield from ((f"albumentations {number}", pipeline, {"type": "Albu", "transforms": [transform]})
                for number, transform in enumerate(albu))
    yield "profiler", ("custom_hooks",), [{
        "type": "ProfilerHook", "by_epoch": False, "profile_iters": 1, "schedule": {},
        "json_trace_path": f"{outside}/trace.json",
        "on_trace_ready": {"type": "tb_trace", "dir_name": f"{outside}/trace"}}]
    yield "log elsewhere", ("log_config",), {"interval": 1, "hooks": [
        {"type": "TextLoggerHook", "out_dir": outside}, {"type": "TensorboardLoggerHook", "log_dir": outside}]}
    yield "checkpoints elsewhere", ("checkpoint_config",), {"interval": 1, "out_dir": outside}
    yield "results elsewhere", ("evaluation",), {
        "interval": 1, "jsonfile_prefix": f"{outside}/found", "tmpdir": outside, "out_dir": outside}
    yield "the best elsewhere", ("evaluation",), {"interval": 1, "save_best": "auto", "out_dir": outside}
    yield "results as JSON elsewhere", ("evaluation",), {"interval": 1, "jsonfile_prefix": f"{outside}/found"}
    yield "EMA", ("custom_hooks",), [{"type": "EMAHook", "resume_from": url}]
    yield "EMA of mmdet", ("custom_hooks",), [{"type": "ExpMomentumEMAHook", "resume_from": made.file(".pth")}]
    yield "architecture search", ("custom_hooks",), [{
        "type": "RFSearchHook", "mode": "fixed_single_branch", "config": {}, "rfstructure_file": made.file(".pkl")}]
    yield "W&B", ("custom_hooks",), [{"type": "MMDetWandbHook", "init_kwargs": {"project": url}}]
    yield "open images", ("data", "train"), {"type": "RepeatDataset", "times": 1, "dataset": open_images}
    yield "occluded", ("data", "test", "type"), "OccludedSeparatedCocoDataset"
    yield "segmentation", ("data", "train", "seg_prefix"), made.url
    yield "proposals", ("data", "train", "proposal_file"), made.file(".pkl")
    yield "HAWQ", ("nncf_config",), {**nncf, "compression": quantization}
    yield "ranking", ("nncf_config",), {**nncf, "compression": pruning}
    yield "another package", ("model", "backbone", "type"), f"mmcls.{made.module}"
    yield "distributed", ("dist_params",), {"backend": made.expression, "port": made.expression}
    yield "a key of code", (), {f"{made.expression} #": 1}
    yield "modules", ("custom_imports",), {"imports": made.module}


def changed(data, path, value):
    """Return a copy of ``data`` with ``value`` at ``path``; of the whole, where that is empty, with its keys."""
    data = copy.deepcopy(data)
    if not path:
        return {**data, **value}
    node = data
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    return data


def test_no_command_follows_what_a_config_or_a_checkpoint_asks_for(plain, data_folder, made, tmp_path, monkeypatch):
    """Each attack through tools/train.py, and from within a checkpoint through tools/test.py and the stages."""
    from components.evaluate.stage import STAGE
    from core.checkpoint.checkpoint import Checkpoint, save_checkpoint
    from core.config.fingerprint import config_to_text
    from core.config.loading import load_config
    from core.data.dataset import resolve_data
    from core.detectors.building import build_detector
    from tools import test, train

    monkeypatch.setenv("MMDET_COMPRESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    outside = tmp_path / "outside"
    outside.mkdir()
    small = {**plain, "runner": {"type": "EpochBasedRunner", "max_epochs": 1}}
    small = changed(small, ("model", "bbox_head", "num_classes"), 1)
    small.pop("nncf_config")
    (tmp_path / "plain.py").write_text(as_python(small))
    weights = build_detector(load_config(tmp_path / "plain.py")).state_dict()
    reference = json.dumps(resolve_data(str(data_folder), classes=("thing",)).to_json())
    answers = {}
    for number, (name, path, value) in enumerate([("none", (), {}), *attacks(made, str(outside))]):
        hostile = changed(small, path, value)
        work = tmp_path / f"work-{number}"
        # Only JSON has keys that are no names.
        file = tmp_path / ("config.py" if all(key.isidentifier() for key in hostile) else "config.json")
        file.write_text(as_python(hostile) if file.suffix == ".py" else json.dumps(hostile))
        codes = [train.main([str(file), "--data", str(data_folder), "--work-dir", str(work)])]
        written = [line for file in work.glob("*.py") for line in file.read_text().splitlines()]
        assert not any(line.startswith("__import__") for line in written)
        with contextlib.suppress(UserError):
            text = config_to_text(load_config(file))
            save_checkpoint(Checkpoint(weights, ("thing",), text), tmp_path / "checkpoint.pth")
            codes.append(test.main([str(tmp_path / "checkpoint.pth"), "--data", str(data_folder)]))
            if not path or path[0] in ("model", "data", "nncf_config"):
                codes.append(STAGE.main(["--data", reference, "--checkpoint", str(tmp_path / "checkpoint.pth"),
                                         "--evaluation", str(work / "e.json"), "--detections", str(work / "d.npz")]))
        answers[name] = codes
        assert made.fired() == [] and list(outside.iterdir()) == [], name
    assert answers.pop("none") == [0, 0, 0]
    # What a checkpoint's config says of training does not matter to a test; but training stops, or does not do it.
    assert all(set(codes) <= {0, 2} for codes in answers.values()), answers
    assert sum(codes[0] == 2 for codes in answers.values()) > 15, answers
