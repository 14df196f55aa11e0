"""Two processes that train together by gloo, against one process that does by hand what they should do.

What must be equal: a step's gradient is the mean of the ranks' gradients, each over its own batch, whose batch norm
sees that batch alone; every rank is compressed alike; images are evaluated once.
"""

import copy
import json
import os
import sys
from pathlib import Path

import pytest
import torch

from core.checkpoint.checkpoint import load_checkpoint, weights_digest
from core.config.adapt import plain_config
from core.config.fingerprint import config_to_text
from core.training.launch import launch
from core.training.trainer import Output, Trainer
from tests.core.training.rank_fit import STOPPED

RANK_FIT = Path(__file__).parent / "rank_fit.py"
BATCH, EPOCHS = 4, 1
# Single precision, added up in another order: weights that move by a hundred times as much may differ by this.
TOLERANCE = 1e-4


@pytest.fixture(autouse=True)
def fixture_threads():
    """Compute with as many threads as a rank: another order of sums flips roundings in the quantizers."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))
    yield
    torch.set_num_threads(before)


@pytest.fixture(name="config")
def fixture_config(tiny_config):
    """Return a function that gives a config whose every step is plain gradient descent."""
    def config():
        loaded = tiny_config(**{"runner.max_epochs": EPOCHS, "data.samples_per_gpu": BATCH})
        loaded.nncf_compress_postprocessing = False
        loaded.lr_config = dict(policy="fixed")
        loaded.optimizer = dict(type="SGD", lr=0.05, momentum=0.9)
        loaded.optimizer_config = dict(grad_clip=None)
        return loaded

    return config


def on_two_ranks(config, data_ref, folder, parent=None):
    assert run_two_ranks(config, data_ref, folder, parent) == 0
    return load_checkpoint(folder / "out.pth")


def run_two_ranks(config, data_ref, folder, parent=None, **options):
    """Return the exit code; options are those of rank_fit.py's job."""
    folder.mkdir(exist_ok=True)
    job = {"data": data_ref.to_json(), "config": config_to_text(copy.deepcopy(config)), "folder": str(folder),
           "parent": str(parent or ""), **options}
    (folder / "job.json").write_text(json.dumps(job))
    return launch([sys.executable, str(RANK_FIT), str(folder / "job.json")], 2)


def weights(network):
    """Return what training moves; batch norm's statistics are the ranks' own until they are averaged."""
    return {name: value.clone() for name, value in network.state_dict().items()
            if value.is_floating_point() and "running_" not in name}


def by_hand(config, dataset, folder, parent=None):
    """Return the trained network, its weights before and the first rank's losses."""
    from mmcv.parallel import collate
    from mmdet.datasets.samplers import DistributedGroupSampler
    from torch.utils.data import DataLoader

    from core.detectors.building import build_dataset

    training = Trainer(config, dataset, Output(folder / "work"), parent)
    training.network.train()
    start = weights(training.network)
    images = build_dataset(config.data.train, dataset.train)
    loaders = []
    for rank in range(2):
        order = DistributedGroupSampler(images, BATCH, 2, rank, seed=0)
        loaders.append(DataLoader(images, batch_size=BATCH, sampler=order,
                                  collate_fn=lambda batch: collate(batch, samples_per_gpu=BATCH)))
    losses = []
    for epoch in range(EPOCHS):
        for loader in loaders:
            loader.sampler.set_epoch(epoch)
        for batches in zip(*loaders):
            training.runner.optimizer.zero_grad()
            for rank, batch in enumerate(batches):
                outputs = training.runner.model.train_step(batch, training.runner.optimizer)
                (outputs["loss"] / 2).backward()
                if rank == 0:
                    losses.append(float(outputs["loss"]))
            training.runner.optimizer.step()
    return training.network, start, losses


def assert_same_training(checkpoint, network, start, losses, folder):
    trained = weights(network)
    moved = max(float((trained[name] - value).abs().max()) for name, value in start.items())
    apart = max(float((checkpoint.state_dict[name] - value).abs().max()) for name, value in trained.items())
    assert moved > 100 * TOLERANCE
    assert apart < TOLERANCE
    metrics = json.loads((folder / "metrics-0.json").read_text())
    assert metrics["loss"] == pytest.approx(losses[-1], rel=1e-3)
    assert metrics["map"] == json.loads((folder / "metrics-1.json").read_text())["map"]


def only_the_first_writes(folder):
    assert {path.name for path in folder.glob("*.pth")} == {"out.pth"}
    assert (folder / "work-0" / "latest.pth").exists()
    assert not list((folder / "work-1").glob("*.pth"))
    lines = [json.loads(line) for line in (folder / "out.log").read_text().splitlines()]
    assert lines[0]["iters_per_epoch"] == 16 // (2 * BATCH)
    assert sum(line["mode"] == "train" for line in lines) == EPOCHS * 16 // (2 * BATCH)


@pytest.fixture(scope="module", name="plain_folder")
def fixture_plain_folder(tmp_path_factory):
    """Where the module's plain checkpoint is kept."""
    return tmp_path_factory.mktemp("plain")


@pytest.fixture(name="plain")
def fixture_plain(plain_folder, config, tiny_ref):
    if not (plain_folder / "out.pth").exists():
        on_two_ranks(plain_config(config()), tiny_ref, plain_folder)
    return plain_folder / "out.pth"


def test_two_ranks_train_as_one_process_would(plain, plain_folder, config, tiny_data, tmp_path):
    network, start, losses = by_hand(plain_config(config()), tiny_data, tmp_path)
    assert_same_training(load_checkpoint(plain), network, start, losses, plain_folder)
    only_the_first_writes(plain_folder)


def test_two_ranks_compress_as_one_process_would(plain, config, tiny_data, tiny_ref, tmp_path):
    checkpoint = on_two_ranks(config(), tiny_ref, tmp_path, plain)
    network, start, losses = by_hand(config(), tiny_data, tmp_path, plain)
    assert any("scale" in name for name in start)
    assert_same_training(checkpoint, network, start, losses, tmp_path)
    only_the_first_writes(tmp_path)


def stopped_and_resumed(config, data_ref, folder, parent, stop_after):
    """Return checkpoints of two epochs on two ranks: in one go, and in two after so many iterations."""
    states = str(folder / "states")
    whole = on_two_ranks(config(), data_ref, folder / "whole", parent)
    assert run_two_ranks(config(), data_ref, folder / "first", parent, states=states, stop_after=stop_after) == STOPPED
    assert not (folder / "first" / "out.pth").exists()
    assert run_two_ranks(config(), data_ref, folder / "second", parent, states=states) == 0
    lines = [json.loads(line) for line in (folder / "second" / "out.log").read_text().splitlines()]
    trained = [(line["epoch"], line["iter"]) for line in lines if line["mode"] == "train"]
    assert trained == [(epoch, number) for epoch in (1, 2) for number in (1, 2)]
    assert len(list((folder / "states").glob("*/00002-*.pth"))) == 1
    return whole, load_checkpoint(folder / "second" / "out.pth")


@pytest.mark.parametrize("kind", ["plain", pytest.param("int8", marks=pytest.mark.release)])
def test_two_ranks_resumed_after_an_epoch_end_with_the_same_bits(kind, plain, config, tiny_ref, tmp_path):
    def two_epochs():
        loaded = config() if kind == "int8" else plain_config(config())
        loaded.runner.max_epochs = 2
        return loaded

    parent = plain if kind == "int8" else None
    whole, resumed = stopped_and_resumed(two_epochs, tiny_ref, tmp_path, parent, stop_after=2)
    assert weights_digest(resumed.state_dict) == weights_digest(whole.state_dict)
    if kind == "int8":
        assert resumed.compression.state["ctrl_state"] == whole.compression.state["ctrl_state"]


@pytest.mark.release
def test_two_ranks_resumed_within_an_epoch_lose_the_other_rank_s_statistics_alone(config, tiny_ref, tmp_path):
    def two_epochs():
        loaded = plain_config(config())
        loaded.runner.max_epochs = 2
        return loaded

    whole, resumed = stopped_and_resumed(two_epochs, tiny_ref, tmp_path, None, stop_after=3)
    differing = [name for name, value in whole.state_dict.items() if not torch.equal(value, resumed.state_dict[name])]
    assert differing and all("running_" in name for name in differing)


def test_the_learning_rate_follows_the_batch_where_the_config_asks_for_it(config, monkeypatch):
    from core.training.distributed import RANKS_VARIABLE, scale_learning_rate

    monkeypatch.setenv(RANKS_VARIABLE, "8")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.02)
    settings = config()
    scale_learning_rate(optimizer, settings)
    assert optimizer.param_groups[0]["lr"] == 0.02
    settings.auto_scale_lr = dict(enable=True, base_batch_size=16)
    scale_learning_rate(optimizer, settings)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.02 * 8 * BATCH / 16)
