"""A compressed checkpoint whose compression state was tampered with ends in a message, whichever stage reads it."""

import copy
import json
from dataclasses import replace

import pytest
import torch

from core.checkpoint.checkpoint import load_checkpoint, save_checkpoint

OPTIONS = {"runner.max_epochs": 1, "data.workers_per_gpu": 0,
           "nncf_config.input_info.sample_size": [1, 3, 64, 64],
           "nncf_config.compression.initializer.range.num_init_samples": 4,
           "nncf_config.compression.initializer.batchnorm_adaptation.num_bn_adaptation_samples": 4}
HUGE, NAN = 10 ** 9, float("nan")


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    """References of four images and of a config, as resolve writes them."""
    from core.config.reference import resolve_config
    from core.data.dataset import resolve_data

    patch = pytest.MonkeyPatch()
    patch.setenv("MMDET_COMPRESS_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield (resolve_data("builtin://digits?train=4&val=2&test=2"),
           resolve_config("configs/nncf_compression/retinanet_r18_small/digits_int8.py", OPTIONS, False))
    patch.undo()


@pytest.fixture(scope="module")
def sound(references, tmp_path_factory):
    """A detector right after its compression was initialised."""
    from core.config.adapt import set_classes, set_data
    from core.config.reference import open_config
    from core.data.dataset import open_dataset
    from core.training.trainer import Output, Trainer

    folder = tmp_path_factory.mktemp("compressed")
    dataset, config = open_dataset(references[0]), open_config(references[1], False)
    set_classes(config, dataset.classes)
    set_data(config, dataset)
    save_checkpoint(Trainer(config, dataset, Output(folder / "work")).snapshot(), folder / "sound.pth")
    return load_checkpoint(folder / "sound.pth")


@pytest.fixture
def tampered(sound, tmp_path):
    """Return a function that writes the sound checkpoint after a change of its state, config and weights."""
    def write(change):
        record, weights = copy.deepcopy(sound.compression), dict(sound.state_dict)
        change(record.state, record.config, weights)
        save_checkpoint(replace(sound, compression=record, state_dict=weights), tmp_path / "tampered.pth")
        return tmp_path / "tampered.pth"

    return write


def setup(state):
    return state["builder_state"]["quantization"]["quantizer_setup"]


def points(state):
    return setup(state)["quantization_points"]


def first(state, weight=False):
    kind = "WeightQuantizationInsertionPoint" if weight else "ActivationQuantizationInsertionPoint"
    return next(point for point in points(state).values() if point["qip_class"] == kind)


def controller(state):
    return state["ctrl_state"]["quantization"]


def of_qconfig(weight=False, **values):
    return lambda state, config, weights: first(state, weight)["qconfig"].update(values)


def renumbered(state, config, weights):
    setup(state)["quantization_points"] = {key + 1000: point for key, point in points(state).items()}


def without(part, key):
    def change(state, config, weights):
        del part(state)[key]

    return change


def put(part, key, value):
    def change(state, config, weights):
        part(state)[key] = value

    return change


def weights_in_the_state(state, config, weights):
    # NNCF takes a state without its two keys for weights of an older version.
    state.clear()
    state["state_dict"] = dict(weights)


def fewer_points(state, config, weights):
    key = max(points(state))
    del points(state)[key]
    groups = setup(state)["shared_input_operation_set_groups"]
    for group in groups.values():
        if key in group:
            group.remove(key)


def more_bits_in_the_weights(state, config, weights):
    name = next(name for name in weights if name.endswith("num_bits"))
    weights[name] = torch.full_like(weights[name], HUGE)


def nested(state, config, weights):
    value = {}
    for _ in range(60):
        value = {"deeper": value}
    setup(state)["unified_scale_groups"] = value


CHANGES = {
    "nothing in it": lambda state, config, weights: state.clear(),
    "weights for its parts": weights_in_the_state,
    "no builder state": without(lambda state: state, "builder_state"),
    "no controller state": without(lambda state: state, "ctrl_state"),
    "a list for the builder state": put(lambda state: state, "builder_state", [1, 2]),
    "a text for the controller state": put(lambda state: state, "ctrl_state", "quantization"),
    "no algorithm": put(lambda state: state, "builder_state", {}),
    "another algorithm": put(lambda state: state, "builder_state", {"filter_pruning": {}}),
    "one more algorithm": put(lambda state: state["ctrl_state"], "magnitude_sparsity", {
        "loss_state": None, "scheduler_state": {"current_step": 0, "current_epoch": 0},
        "compression_stage": {"compression_stage": "FULLY_COMPRESSED"}}),
    "no quantizer setup": without(lambda state: state["builder_state"]["quantization"], "quantizer_setup"),
    "a list of quantizers": put(setup, "quantization_points", [{"qconfig": {}}]),
    "no quantizers": put(setup, "quantization_points", {}),
    "a quantizer less": fewer_points,
    "other quantizer ids": renumbered,
    "a group of quantizers that are not there": put(setup, "shared_input_operation_set_groups", {0: [77777, 77778]}),
    "a group of texts": put(setup, "shared_input_operation_set_groups", {0: ["1", "95"]}),
    "groups of groups": nested,
    "a quantizer without settings": without(first, "qconfig"),
    "a quantizer of no kind": put(first, "qip_class", "os.system"),
    "a quantizer of the other kind": put(first, "qip_class", "WeightQuantizationInsertionPoint"),
    "a quantizer of no operation": put(lambda state: first(state)["qip"], "target_node_name", "RetinaNet/none_0"),
    "a weight quantizer of an activation": put(lambda state: first(state, True)["qip"], "target_node_name",
                                               "/nncf_model_input_0"),
    "an operation of number 7": put(lambda state: first(state)["qip"], "target_node_name", 7),
    "an input port far away": put(lambda state: first(state)["qip"], "input_port_id", HUGE),
    "bits in words": of_qconfig(num_bits="eight"),
    "a billion bits": of_qconfig(num_bits=HUGE),
    "no bits": of_qconfig(num_bits=0),
    "bits that are no number": of_qconfig(num_bits=NAN),
    "other bits than the weights": of_qconfig(num_bits=4),
    "a billion bits in the weights": more_bits_in_the_weights,
    "an unknown mode": of_qconfig(mode="diagonal"),
    "another mode than the weights": of_qconfig(mode="asymmetric"),
    "channels in words": of_qconfig(True, per_channel="yes"),
    "another granularity than the weights": of_qconfig(True, per_channel=False),
    "a sign of 3": of_qconfig(signedness_to_force=3),
    "an entry that NNCF does not know": put(setup, "more", {"a": 1}),
    "negative counts": put(lambda state: state["builder_state"]["quantization"]["build_time_metric_infos"],
                           "aq_potential_num", -1),
    "no schedule": without(controller, "scheduler_state"),
    "an epoch in words": put(lambda state: controller(state)["scheduler_state"], "current_epoch", "first"),
    "an epoch that is no number": put(lambda state: controller(state)["scheduler_state"], "current_epoch", NAN),
    "an epoch beyond all training": put(lambda state: controller(state)["scheduler_state"], "current_epoch", 10 ** 30),
    "an epoch before all training": put(lambda state: controller(state)["scheduler_state"], "current_step", -7),
    "an unknown stage": put(controller, "compression_stage", {"compression_stage": "HALF"}),
    "a stage of number 2": put(controller, "compression_stage", 2),
    "a loss in a list": put(controller, "loss_state", [0.5]),
    "a config without algorithms": lambda state, config, weights: config.pop("compression"),
    "a config of another algorithm": lambda state, config, weights: config.update(
        compression={"algorithm": "magnitude_sparsity"}),
}


def message_of(code, capsys, stage):
    error = capsys.readouterr().err
    assert code == 2 and "Traceback" not in error
    line = next(line for line in error.splitlines() if line.startswith(f"{stage}: "))
    assert len(line) < 4000
    return line


@pytest.mark.parametrize("name", CHANGES)
def test_export_says_that_the_state_does_not_fit(name, tampered, tmp_path, capsys):
    from components.export.stage import STAGE

    path = tampered(CHANGES[name])
    message = message_of(STAGE.main(["--checkpoint", str(path), "--onnx", str(tmp_path / "onnx")]), capsys, "export")
    assert str(path) in message and "compression state is damaged, or does not fit" in message
    assert "compress the model again" in message
    assert not (tmp_path / "onnx").exists()


@pytest.mark.parametrize("change, message", [
    (lambda state, config, weights: config.pop("input_info"), "'input_info' is a required property"),
    (lambda state, config, weights: config["input_info"].update(sample_size=[1, 3, HUGE, HUGE]),
     "NNCF cannot restore it"),
    (lambda state, config, weights: config.update(compression=7), "compression"),
])
def test_export_names_a_config_that_nncf_refuses(change, message, tampered, tmp_path, capsys):
    from components.export.stage import STAGE

    path = tampered(change)
    code = STAGE.main(["--checkpoint", str(path), "--onnx", str(tmp_path / "onnx")])
    assert message in message_of(code, capsys, "export")


def test_a_checkpoint_makes_no_folders(tampered, tmp_path, capsys):
    from components.export.stage import STAGE

    path = tampered(lambda state, config, weights: config.update(log_dir=str(tmp_path / "made")))
    STAGE.main(["--checkpoint", str(path), "--onnx", str(tmp_path / "onnx")])
    assert not (tmp_path / "made").exists()


def test_evaluate_takes_the_same_checkpoint_untampered(tampered, references, tmp_path):
    from components.evaluate.stage import STAGE

    path = tampered(lambda state, config, weights: None)
    assert STAGE.main(["--data", json.dumps(references[0].to_json()), "--checkpoint", str(path),
                       "--evaluation", str(tmp_path / "evaluation"), "--detections", str(tmp_path / "detections")]) == 0


@pytest.mark.parametrize("name", ["no controller state", "a quantizer less", "other bits than the weights"])
def test_compress_and_evaluate_say_so_too(name, tampered, references, tmp_path, capsys):
    from components.compress.stage import STAGE as COMPRESS
    from components.evaluate.stage import STAGE as EVALUATE

    path, data = tampered(CHANGES[name]), ["--data", json.dumps(references[0].to_json())]
    out = [text for option in ("checkpoint", "log") for text in (f"--{option}", str(tmp_path / option))]
    code = COMPRESS.main([*data, "--compression", json.dumps(references[1].to_json()), "--fp32-checkpoint", str(path),
                          *out])
    assert "compression state is damaged" in message_of(code, capsys, "compress")
    code = EVALUATE.main([*data, "--checkpoint", str(path), "--evaluation", str(tmp_path / "evaluation"),
                          "--detections", str(tmp_path / "detections")])
    assert "compression state is damaged" in message_of(code, capsys, "evaluate")


@pytest.mark.parametrize("key", ["save_ranking_coeffs_path", "load_ranking_coeffs_path"])
def test_an_nncf_config_in_a_checkpoint_neither_writes_nor_reads_files(key, references, tmp_path):
    """NNCF writes the first whenever it builds the algorithm (nncf/torch/pruning/filter_pruning/algo.py:186)."""
    from core.base.errors import UserError
    from core.checkpoint.checkpoint import Checkpoint
    from core.compression.restoring import restore_compression
    from core.compression.wrap import compress_detector
    from core.config.adapt import plain_config
    from core.config.reference import open_config
    from core.detectors.building import build_detector

    config = plain_config(open_config(references[1], False))
    nncf_config = {"input_info": {"sample_size": [1, 3, 64, 64]}, "compression": [
        {"algorithm": "filter_pruning", "initializer": {"batchnorm_adaptation": {"num_bn_adaptation_samples": 0}},
         "params": {"pruning_target": 0.3}}], "log_dir": str(tmp_path)}
    compressed = compress_detector(build_detector(config), nncf_config, [], postprocessing=False)
    record, weights = compressed.record(), compressed.network.state_dict()
    place = tmp_path / "ranking.json"
    if key.startswith("load"):
        place.write_text("{}")
        record.config["compression"][0]["params"]["interlayer_ranking_type"] = "learned_ranking"
    record.config["compression"][0]["params"][key] = str(place)
    with pytest.raises(UserError, match="compressed checkpoint, nncf_config: open .*ranking.json"):
        restore_compression(build_detector(config), record.config, Checkpoint(weights, compression=record), "x.pth")
    assert place.exists() == key.startswith("load")
