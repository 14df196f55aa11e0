"""Interrupted training ends with the bits of undisturbed training, and only the same training is gone on with."""

import copy
import dataclasses
import errno
import json
import logging
import os
import signal
from types import SimpleNamespace

import pytest

from core.base.errors import CandidateFailed, StateSaved, Terminated, UserError
from core.base.supervision import raise_once
from core.checkpoint.checkpoint import load_checkpoint, weights_digest
from core.config.adapt import plain_config
from core.storage.folder_store import FolderStore
from core.training import evaluate as evaluation
from core.training import hooks, trainer
from core.training.fit import fit
from core.training.progress import seconds_of
from core.training.states import IDENTITY, StateSettings

FEW_SAMPLES = {"batchnorm_adaptation": {"num_bn_adaptation_samples": 8}}
QUANTIZATION = {"algorithm": "quantization", "initializer": {**FEW_SAMPLES, "range": {"num_init_samples": 8}}}
# The masks are chosen anew in the second epoch and are final in the third.
PRUNING = {"algorithm": "filter_pruning", "initializer": FEW_SAMPLES,
           "params": {"schedule": "exponential", "pruning_target": 0.4, "pruning_steps": 2, "num_init_steps": 0}}
KINDS = {"plain": [], "int8": [QUANTIZATION], "pruning": [PRUNING], "both": [PRUNING, QUANTIZATION]}
EPOCHS = 3


class Killed(Exception):
    """Stands in for the end of the process."""


@pytest.fixture
def config(tiny_config):
    """Return a function that gives the config of a kind: three epochs of two iterations, with random flips."""
    def make(kind, **options):
        loaded = tiny_config(**{"runner.max_epochs": EPOCHS, "evaluation.interval": EPOCHS, "data.samples_per_gpu": 8,
                                "lr_config.warmup": "linear", "lr_config.warmup_iters": 3,
                                "lr_config.warmup_ratio": 0.1, **options})
        if "runner" in options:
            loaded.runner = options["runner"]
        for step in loaded.data.train.pipeline:
            if step["type"] == "RandomFlip":
                step["flip_ratio"] = 0.5
        loaded.nncf_config.compression = copy.deepcopy(KINDS[kind])
        return loaded if kind != "plain" else plain_config(loaded)

    return make


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("resume")


@pytest.fixture
def parent(plain):
    return plain


@pytest.fixture
def train(config, parent, tiny_data, tmp_path):
    """Return a function that trains a kind and gives its checkpoint and log.

    ``at`` calls a function of the runner in the iteration of that number, before its hooks have run.
    """
    def run(kind, name, state=None, at=None, seed=0, data=tiny_data, **options):
        target = tmp_path / f"{name}.pth"
        with pytest.MonkeyPatch.context() as patch:
            if at is not None:
                _call_at(patch, *at)
            fit(config(kind, **options), data, target, tmp_path / f"{name}.log", tmp_path / name,
                parent=None if kind == "plain" else parent, seed=seed, state=state)
        lines = [json.loads(line) for line in (tmp_path / f"{name}.log").read_text().splitlines()]
        return load_checkpoint(target), lines

    return run


@pytest.fixture
def undisturbed(folder, config, tiny_data):
    """The plain checkpoint without any interruption, made once."""
    path = folder / "undisturbed.pth"
    if not path.exists():
        fit(config("plain"), tiny_data, path, folder / "undisturbed.log", folder / "undisturbed")
    return load_checkpoint(path)


def _call_at(patch, iteration, function):
    after_train_iter = hooks.CheckLossHook.after_train_iter

    def called(hook, runner):
        after_train_iter(hook, runner)
        if runner.iter == iteration:
            function()

    patch.setattr(hooks.CheckLossHook, "after_train_iter", called)


def killed():
    raise Killed


def terminated():
    os.kill(os.getpid(), signal.SIGTERM)


def every_iteration(tmp_path, **options):
    return StateSettings(str(tmp_path / "states"), minutes=1e-9, **options)


def losses(log):
    return [(line["epoch"], line["iter"], line["loss"]) for line in log if line["mode"] == "train"]


def stored(tmp_path):
    return sorted(path for path in (tmp_path / "states").rglob("*.pth"))


def iterations_of(checkpoint_log):
    return [(line["epoch"], line["iter"]) for line in checkpoint_log if line["mode"] == "train"]


@pytest.mark.parametrize("kind", [
    # Both together have all that each alone has.
    pytest.param(kind, marks=pytest.mark.release) if kind in ("int8", "pruning") else kind for kind in KINDS])
def test_resumed_training_has_the_weights_of_undisturbed_training(kind, train, tmp_path):
    undisturbed, whole_log = train(kind, "whole")
    for iteration in (3, 5):
        with pytest.raises(Killed):
            train(kind, f"killed-{iteration}", every_iteration(tmp_path), at=(iteration, killed))
    resumed, log = train(kind, "resumed", every_iteration(tmp_path))

    assert weights_digest(resumed.state_dict) == weights_digest(undisturbed.state_dict)
    assert losses(log) == losses(whole_log)
    if kind != "plain":
        assert resumed.compression.state == undisturbed.compression.state


@pytest.mark.parametrize("options", [
    {"data.workers_per_gpu": 2},
    pytest.param({"data.workers_per_gpu": 2, "data.persistent_workers": True}, marks=pytest.mark.release),
    {"custom_hooks": [{"type": "ExpMomentumEMAHook", "momentum": 0.1, "priority": 49}]},
    {"optimizer_config": {"type": "GradientCumulativeOptimizerHook", "cumulative_iters": 2}},
    {"runner": {"type": "IterBasedRunner", "max_iters": 6}, "evaluation.interval": 6},
], ids=["workers", "persistent workers", "EMA", "gradient accumulation", "iterations"])
def test_what_a_config_asks_of_training_is_resumed_to_the_bit(options, train, tmp_path):
    """The place of entry is the second batch of an epoch, and then its end."""
    whole, whole_log = train("plain", "whole", **options)
    for iteration in (3, 4):
        with pytest.raises(Killed):
            train("plain", f"killed-{iteration}", every_iteration(tmp_path), at=(iteration, killed), **options)
    resumed, log = train("plain", "resumed", every_iteration(tmp_path), **options)
    assert weights_digest(resumed.state_dict) == weights_digest(whole.state_dict)
    assert losses(log) == losses(whole_log)


def test_sigterm_saves_the_present_iteration_and_the_next_run_goes_on_there(train, undisturbed, tmp_path):
    hourly = StateSettings(str(tmp_path / "states"), minutes=60)
    with pytest.raises(StateSaved, match=r"after epoch 2, iteration 1 is in .*states"):
        train("plain", "terminated", hourly, at=(2, terminated))
    assert [path.name[:14] for path in stored(tmp_path)] == ["00001-00000000", "00001-00000001"]

    resumed, log = train("plain", "resumed", hourly)

    assert iterations_of(log) == [(epoch, step) for epoch in (1, 2, 3) for step in (1, 2)]
    assert weights_digest(resumed.state_dict) == weights_digest(undisturbed.state_dict)


def test_sigterm_during_an_evaluation_does_not_wait_for_its_end(train, undisturbed, tmp_path, monkeypatch):
    hourly = StateSettings(str(tmp_path / "states"), minutes=60)
    reached = []

    def evaluate(*arguments):
        terminated()
        reached.append("the end of the evaluation")

    with monkeypatch.context() as patch, pytest.raises(StateSaved, match="epoch 2, iteration 2"):
        patch.setattr("core.training.evaluate.results_of", evaluate)
        train("plain", "terminated", hourly, **{"evaluation.interval": 2})
    assert reached == []
    resumed, log = train("plain", "resumed", hourly, **{"evaluation.interval": 2})
    assert [line["epoch"] for line in log if line["mode"] == "val"] == [2, 3]
    assert weights_digest(resumed.state_dict) == weights_digest(undisturbed.state_dict)


BY_ITERATIONS = {"runner": {"type": "IterBasedRunner", "max_iters": 6}, "evaluation.interval": 2,
                 "evaluation.save_best": "auto"}
SCORES = (0.1, 0.2, 0.3, 0.5, 0.4, 0.2)


@pytest.mark.parametrize("stopped, options", [
    pytest.param([1], {}, marks=pytest.mark.release), pytest.param([3], {}, marks=pytest.mark.release),
    ([1, 1, 3], {}), pytest.param([1, 1, 3], {"data.workers_per_gpu": 2}, marks=pytest.mark.release),
    pytest.param([1, 1, 3], {"evaluation.start": 0, "evaluation.interval": 1}, marks=pytest.mark.release),
    ([1, 1, 3], {"optimizer_config": {"type": "GradientCumulativeOptimizerHook", "cumulative_iters": 2}})],
    ids=["first", "last", "again", "workers", "scored at the start", "gradient accumulation"])
def test_sigterm_while_an_iteration_is_scored_neither_trains_it_again_nor_leaves_the_score_out(
        train, tmp_path, monkeypatch, stopped, options):
    """Evaluations come after iterations 2, 4 and 6, the last; each of ``stopped`` is one of a process's own."""
    options = {**BY_ITERATIONS, **options}
    hourly, trained = StateSettings(str(tmp_path / "states"), minutes=60), []
    after_train_iter, evaluate = hooks.CheckLossHook.after_train_iter, hooks.EvaluationHook.evaluate

    def scored(hook, runner, results):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(hooks, "validation_metrics", lambda *_: {"bbox_mAP": SCORES[runner.iter]})
            return evaluate(hook, runner, results)

    monkeypatch.setattr(hooks.EvaluationHook, "evaluate", scored)
    monkeypatch.setattr(hooks.CheckLossHook, "after_train_iter", lambda hook, runner: (
        trained.append(runner.iter), after_train_iter(hook, runner))[1])
    whole, whole_log = train("plain", "whole", **options)
    trained.clear()
    results_of = evaluation.results_of
    for number, place in enumerate(stopped):
        # One before the first step is none of an iteration.
        left = iter(range(place + ("evaluation.start" in options and number == 0), -99, -1))

        def results(*arguments, left=left):
            if next(left) == 1:
                terminated()
            return results_of(*arguments)

        with monkeypatch.context() as patch, pytest.raises(StateSaved):
            patch.setattr("core.training.evaluate.results_of", results)
            train("plain", f"terminated-{number}", hourly, **options)
    resumed, log = train("plain", "resumed", hourly, **options)
    assert trained == list(range(6))
    assert weights_digest(resumed.state_dict) == weights_digest(whole.state_dict)
    assert losses(log) == losses(whole_log)
    kept = [[{name: line[name] for name in ("epoch", "iter", "lr", "bbox_mAP")} for line in lines
             if line["mode"] == "val"] for lines in (log, whole_log)]
    assert kept[0] == kept[1]
    assert resumed.training["iter"] == whole.training["iter"]
    assert resumed.training["hook_msgs"]["best_score"] == whole.training["hook_msgs"]["best_score"] == 0.5


def test_an_older_state_s_log_goes_on_under_a_head_of_this_version(train, tmp_path, monkeypatch):
    """Of a training that counts iterations an older head said epochs, and the report drew it so."""
    def older(*arguments):
        found = progress_of(*arguments)
        head, _, rest = found["log"].partition("\n")
        return {**found, "log": json.dumps({**json.loads(head), "iterations": 0, "epochs": 6}) + "\n" + rest}

    progress_of = trainer.progress_of
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(trainer, "progress_of", older)
        train("plain", "killed", every_iteration(tmp_path), at=(3, killed), **BY_ITERATIONS)
    _, log = train("plain", "resumed", every_iteration(tmp_path), **BY_ITERATIONS)
    assert [(line["iterations"], line["epochs"]) for line in log if line["mode"] == "env"] == [(6, 0)]
    assert [step for _, step in iterations_of(log)] == [1, 2, 3, 4, 5, 6]


def test_sigterm_without_a_place_for_the_state_ends_as_in_any_command(train):
    # As the worker of every command has it.
    before = signal.signal(signal.SIGTERM, raise_once(Terminated))
    try:
        with pytest.raises(Terminated) as ended:
            train("plain", "terminated", at=(1, terminated))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not isinstance(ended.value, StateSaved)


def test_the_time_of_all_processes_is_added_up(config, tiny_data, tmp_path, monkeypatch):
    # Each process begins at a thousand seconds, and an hour goes by in its second iteration.
    now = [1000.0]
    monkeypatch.setattr(trainer, "time", SimpleNamespace(monotonic=lambda: now[0], time=lambda: now[0]))

    def work(name, at):
        now[0] = 1000.0
        with pytest.MonkeyPatch.context() as patch:
            _call_at(patch, *at)
            return fit(config("plain"), tiny_data, tmp_path / "it.pth", tmp_path / "it.log", tmp_path / name,
                       state=StateSettings(str(tmp_path / "states"), minutes=1e-9))

    def passes():
        now[0] += 3600

    with pytest.raises(Killed), monkeypatch.context() as patch:
        patch.setattr(hooks.StateHook, "after_train_epoch", lambda hook, runner: killed())
        work("killed", (0, passes))
    def diverges():
        passes()
        raise CandidateFailed("loss", "nan", "It must be finite.", "Lower optimizer.lr.")

    with pytest.raises(CandidateFailed) as failed:
        work("diverged", (3, diverges))
    assert failed.value.seconds == pytest.approx(7200, abs=60)
    result = work("resumed", (3, passes))
    assert result.seconds == pytest.approx(7200, abs=60)
    # What the last process alone took is no part of a finished training again.
    assert work("again", (99, passes)).seconds == pytest.approx(7200, abs=60)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), True, "long", None])
def test_a_state_s_time_that_is_none_is_refused(seconds):
    assert seconds_of({}) == 0 and seconds_of({"seconds": 2}) == 2
    with pytest.raises(UserError, match="training state: seconds"):
        seconds_of({"seconds": seconds})


def test_only_the_same_training_is_gone_on_with(train, tmp_path, tiny_data):
    """One thing at a time differs, and training begins in its first iteration."""
    with pytest.raises(Killed):
        train("plain", "killed", every_iteration(tmp_path), at=(3, killed))
    others = {"config": {"optimizer.lr": 2e-4}, "seed": {"seed": 1},
              "data": {"data": dataclasses.replace(tiny_data, digest="0" * 64)}}
    for name, other in others.items():
        with pytest.raises(Killed):
            train("plain", name, every_iteration(tmp_path), at=(0, killed), **other)
    resumed, log = train("plain", "resumed", every_iteration(tmp_path))
    assert resumed.training["epoch"] == EPOCHS
    folders = [path for path in (tmp_path / "states").iterdir()]
    identities = [json.loads((path / IDENTITY).read_text()) for path in folders]
    assert len(folders) == 1 + len(others)
    assert {identity["seed"] for identity in identities} == {0, 1}


def test_the_key_knows_nncf_config_and_parent(config, parent, tiny_data, tmp_path):
    from core.training.states import training_identity

    given = load_checkpoint(parent)
    moved = dataclasses.replace(given, state_dict={name: value + 1 for name, value in given.state_dict.items()})
    other = config("int8")
    other.nncf_config.compression[0]["initializer"]["range"]["num_init_samples"] = 4
    identities = [training_identity(*arguments) for arguments in [
        (config("int8"), tiny_data, given, 0), (config("int8"), tiny_data, moved, 0), (other, tiny_data, given, 0),
        (config("int8"), tiny_data, None, 0)]]
    assert len({json.dumps(identity, sort_keys=True) for identity in identities}) == 4
    assert training_identity(config("int8"), tiny_data, given, 0) == identities[0]


def test_a_damaged_state_is_passed_over_and_the_one_before_it_taken(train, undisturbed, tmp_path, caplog):
    with pytest.raises(Killed):
        train("plain", "killed", every_iteration(tmp_path), at=(3, killed))
    newest = stored(tmp_path)[-1]
    newest.write_bytes(newest.read_bytes()[:-100])
    with caplog.at_level(logging.INFO):
        resumed, _ = train("plain", "resumed", every_iteration(tmp_path))
    assert "a damaged training state is skipped" in caplog.text
    assert "an interrupted training is resumed after epoch 1" in caplog.text
    assert weights_digest(resumed.state_dict) == weights_digest(undisturbed.state_dict)


def test_a_finished_training_is_not_trained_again_and_keeps_one_state(train, tmp_path):
    first, _ = train("plain", "first", every_iteration(tmp_path))
    assert [path.name[:14] for path in stored(tmp_path)] == ["00003-00000000"]
    again, log = train("plain", "again", every_iteration(tmp_path), at=(0, killed))
    assert weights_digest(again.state_dict) == weights_digest(first.state_dict)
    assert len(iterations_of(log)) == 6


def test_the_last_states_are_kept_while_training_goes_on(train, tmp_path):
    with pytest.raises(Killed):
        train("plain", "killed", every_iteration(tmp_path, kept=2), at=(3, killed))
    assert len(stored(tmp_path)) == 2


def test_a_state_that_cannot_be_stored_is_a_warning_and_training_goes_on(train, undisturbed, tmp_path, caplog,
                                                                         monkeypatch):
    def refuse(store, file, name, digest):
        raise UserError("object", name, "The service is away.", "Wait.")

    monkeypatch.setattr(FolderStore, "upload", refuse)
    result, _ = train("plain", "unstored", every_iteration(tmp_path))
    assert "could not be stored" in caplog.text and "The service is away" in caplog.text
    assert weights_digest(result.state_dict) == weights_digest(undisturbed.state_dict)


def test_a_place_that_cannot_be_written_stops_before_training(train, tmp_path):
    (tmp_path / "states").write_text("a file")
    with pytest.raises(UserError, match="states"):
        train("plain", "refused", every_iteration(tmp_path), at=(0, killed))


def test_states_on_s3_are_gone_on_with(train, undisturbed, s3):
    settings = StateSettings(f"{s3.uri}/states", minutes=1e-9)
    with pytest.raises(Killed):
        train("plain", "killed", settings, at=(3, killed))
    names = [key.rpartition("/")[2][:14] for key in s3.names() if key.endswith(".pth")]
    assert names == ["00000-00000002", "00001-00000000", "00001-00000001"]
    resumed, _ = train("plain", "resumed", settings)
    assert weights_digest(resumed.state_dict) == weights_digest(undisturbed.state_dict)


def test_a_full_disk_is_named_and_stops_training(train, tmp_path, file_size_limit, monkeypatch):
    monkeypatch.setattr(hooks, "write_checkpoint", _limited(hooks.write_checkpoint, file_size_limit))
    with pytest.raises(OSError) as raised:
        train("plain", "full", every_iteration(tmp_path))
    assert raised.value.errno == errno.EFBIG
    assert not (tmp_path / "full.pth").exists()


def _limited(write, file_size_limit):
    def write_limited(content, path):
        with file_size_limit(1 << 20):
            write(content, path)

    return write_limited
