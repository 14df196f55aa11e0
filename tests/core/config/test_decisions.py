"""The table of config keys against MMDetection's own configs, and against its page in docs."""

from pathlib import Path

import pytest

from core.config.decisions import KEYS, Decision, Situation, refusals, table

ROOT = Path(__file__).parents[3]


def things(config, **situation):
    return [str(error) for error in refusals(config, Situation(**situation))]


def test_the_page_in_docs_is_the_table():
    assert table() in (ROOT / "docs" / "config_keys.md").read_text()


def test_every_key_stands_once_and_below_one_that_is_in_the_table():
    paths = [key.path for key in KEYS]
    assert len(paths) == len(set(paths))
    assert all(path.rpartition(".")[0] in (*paths, "") for path in paths)


def test_no_key_of_mmdetections_own_configs_is_unknown():
    import mmdet

    from core.base.errors import UserError
    from core.config.data_only import read_config

    root = Path(mmdet.__file__).parent / ".mim" / "configs"
    files = sorted(path for path in root.rglob("*.py") if "_base_" not in path.parts)
    assert len(files) > 600
    read = 0
    for file in files:
        try:
            config = read_config(file, root)
        except UserError:
            continue
        read += 1
        assert [text for text in things(config) if "unknown key" in text] == [], file
    assert read > 590


@pytest.mark.parametrize("config, named", [
    ({"evaluation": {"metrics": "bbox"}}, "config, evaluation: unknown key metrics"),
    ({"data": {"train": {"dataset": {"ann_fil": "x"}}}}, "config, data.train.dataset: unknown key ann_fil"),
    ({"data": {"test": [{"img_prefx": "x"}]}}, "config, data.test: unknown key img_prefx"),
    ({"data": {"val_dataloader": {"workers": 1}}}, "config, data.val_dataloader: unknown key workers"),
    ({"checkpoint_config": {"interwal": 1}}, "config, checkpoint_config: unknown key interwal"),
    ({"auto_scale_lr": {"base_batchsize": 16}}, "config, auto_scale_lr: unknown key base_batchsize"),
])
def test_a_key_without_a_use_is_refused_by_name(config, named):
    assert [text.startswith(named) for text in things(config)] == [True]


@pytest.mark.parametrize("config, situation, refused", [
    ({"evaluation": {"metric": "PQ"}}, {}, True), ({"evaluation": {"metric": [["bbox"]]}}, {}, True),
    ({"evaluation": {"metric": ["bbox", "segm"]}}, {}, False),
    ({"evaluation": {"metric": "mAP"}}, {}, False), ({"evaluation": {"metric": ["bbox", "mAP"]}}, {}, True),
    ({"fp16": {"loss_scale": 512.0}}, {"gpus": 0}, True), ({"fp16": {"loss_scale": 512.0}}, {"gpus": 1}, False),
    ({"fp16": {"loss_scale": 512.0}}, {"gpus": 1, "compressed": True}, True), ({"fp16": None}, {"gpus": 0}, False),
    ({"runner": {"type": "IterBasedRunner", "max_iters": 9}}, {"compressed": True}, True),
    ({"runner": {"type": "IterBasedRunner", "max_iters": 9}}, {}, False),
    ({"data": {"train": {"proposal_file": "x.pkl"}}}, {}, True),
    ({"data": {"train": {"proposal_file": None}}}, {}, False),
    ({"checkpoint_config": {"file_client_args": {"backend": "petrel"}}}, {}, True),
    ({"model_wrapper": {"type": "X"}}, {}, True), ({"my_variable": 3, "dist_params": {"backend": "nccl"}}, {}, False),
])
def test_values_that_cannot_be_obeyed_are_refused(config, situation, refused):
    assert bool(things(config, **situation)) is refused


def test_what_the_table_says_of_a_key():
    decisions = {key.path: key.decision for key in KEYS}
    assert decisions["gpu_ids"] is Decision.NO_EFFECT
    assert decisions["model_wrapper"] is Decision.REFUSED
