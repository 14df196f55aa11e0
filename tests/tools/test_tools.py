"""MMDetection's commands on the built-in data: train, resume, compress, test, export."""

import json
import math
from pathlib import Path

import pytest

from core.checkpoint.checkpoint import load_checkpoint
from tools import export, test, test_exported, train

ROOT = Path(__file__).parents[2]
DATA = "builtin://digits?train=16&val=4&test=4"
PLAIN = "configs/detectors/retinanet_r18_small_digits.py"
INT8 = "configs/nncf_compression/retinanet_r18_small/digits_int8.py"
SIZE = "(64,64)"
OPTIONS = ["runner.max_epochs=1", "data.workers_per_gpu=0", "log_config.interval=1", "evaluation.interval=1",
           *(f"data.{split}.pipeline.{step}.img_scale={SIZE}" for split, step in
             (("train", 2), ("val", 1), ("test", 1)))]
FEW = ["nncf_config.input_info.sample_size=[1,3,64,64]",
       "nncf_config.compression.initializer.range.num_init_samples=8",
       "nncf_config.compression.initializer.batchnorm_adaptation.num_bn_adaptation_samples=8"]


def run_train(config, folder, *arguments, options=OPTIONS):
    return train.main([config, "--data", DATA, "--work-dir", str(folder), *arguments, "--cfg-options", *options])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMDET_COMPRESS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def plain(folder):
    assert run_train(PLAIN, folder / "plain") == 0
    return folder / "plain"


@pytest.fixture(scope="module")
def compressed(folder, plain):
    assert run_train(INT8, folder / "int8", "--load-from", str(plain / "epoch_1.pth"), options=OPTIONS + FEW) == 0
    return folder / "int8"


def test_work_dir_holds_what_mmdetection_leaves_there(plain):
    assert (plain / "latest.pth").resolve() == (plain / "epoch_1.pth").resolve()
    assert load_checkpoint(plain / "epoch_1.pth").training["epoch"] == 1
    log, = plain.glob("*.log.json")
    text, = plain.glob("*.log")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["mode"] for line in lines] == ["env", *["train"] * 4, "val"]
    assert "Epoch [1][1/4]" in text.read_text()
    from core.config.loading import load_config

    assert load_config(plain / Path(PLAIN).name).runner.max_epochs == 1


def test_training_is_resumed_from_an_epochs_checkpoint(plain, folder):
    options = ["runner.max_epochs=2", *OPTIONS[1:]]
    assert run_train(PLAIN, folder / "resumed", "--resume-from", str(plain / "epoch_1.pth"), options=options) == 0
    assert [path.name for path in (folder / "resumed").glob("epoch_*.pth")] == ["epoch_2.pth"]


def test_a_plain_start_initialises_compression_and_a_compressed_one_restores_it(compressed, folder, capsys):
    assert load_checkpoint(compressed / "before_training.pth").compression is not None
    assert load_checkpoint(compressed / "latest.pth").compression.config["compression"]["algorithm"] == "quantization"
    capsys.readouterr()
    options = ["runner.max_epochs=2", *OPTIONS[1:], *FEW]
    assert run_train(INT8, folder / "more", "--resume-from", str(compressed / "latest.pth"), options=options) == 0
    assert [path.name for path in (folder / "more").glob("epoch_*.pth")] == ["epoch_2.pth"]
    assert not (folder / "more" / "before_training.pth").exists()


def test_a_plain_checkpoint_is_no_compression_to_resume(plain, folder, capsys):
    assert run_train(INT8, folder / "refused", "--resume-from", str(plain / "latest.pth"), options=OPTIONS + FEW) == 2
    assert "load_from" in capsys.readouterr().err


def test_a_key_that_cannot_be_obeyed_is_refused_before_anything_is_written(folder, capsys):
    assert run_train(PLAIN, folder / "never", options=[*OPTIONS, 'fp16={"loss_scale": 512.0}']) == 2
    assert "fp16" in capsys.readouterr().err
    assert not (folder / "never").exists()


@pytest.mark.parametrize("kind", ["plain", "compressed"])
def test_a_checkpoint_is_tested_from_itself(kind, request, tmp_path, capsys):
    work_dir = request.getfixturevalue(kind)
    out = tmp_path / "found.json"
    assert test.main([str(work_dir / "latest.pth"), "--data", DATA, "--eval", "bbox", "--out", str(out),
                      "--show-dir", str(tmp_path / "shown")]) == 0
    assert "bbox_mAP: " in capsys.readouterr().out
    assert len(json.loads(out.read_text())) == 4
    assert len(list((tmp_path / "shown").rglob("*.jpg"))) == 4


def test_a_checkpoint_is_exported_and_the_export_is_tested(compressed, tmp_path, capsys):
    assert export.main([str(compressed / "latest.pth"), str(tmp_path), "--data", DATA]) == 0
    assert (tmp_path / "onnx" / "model.onnx").exists() and (tmp_path / "ir" / "model.xml").exists()
    assert test_exported.main([str(tmp_path)]) == 0
    assert "bbox_mAP: " in capsys.readouterr().out


def test_a_size_without_boxes_is_minus_one_as_mmdetection_prints_it():
    assert [test_exported.shown(value) for value in (math.nan, 0.5)] == ["-1.0000", "0.5000"]


def test_the_configs_own_data_are_read_where_none_is_given(folder, tmp_path):
    from core.data.dataset import open_dataset, resolve_data

    data = open_dataset(resolve_data(DATA))
    parts = [{"type": "CocoDataset", "ann_file": str(split.annotation_file), "img_prefix": f"{split.image_root}/"}
             for split in (data.train, data.val, data.test)]
    config = tmp_path / "own.py"
    config.write_text(f"_base_ = {str(ROOT / PLAIN)!r}\ndata = dict(train=dict(_delete_=True, type='RepeatDataset', "
                      f"times=2, dataset=dict(pipeline={{{{_base_.train_pipeline}}}}, **{parts[0]!r})), "
                      f"val={parts[1]!r}, test={parts[2]!r})\n")
    options = [option for option in OPTIONS if "data.train.pipeline" not in option]
    assert train.main([str(config), "--work-dir", str(tmp_path / "work"), "--cfg-options", *options,
                       f"data.train.dataset.pipeline.2.img_scale={SIZE}"]) == 0
    log, = (tmp_path / "work").glob("*.log.json")
    assert json.loads(log.read_text().splitlines()[0])["iters_per_epoch"] == 2 * 16 // 4
    assert test.main([str(config), str(tmp_path / "work" / "latest.pth")]) == 0


def test_a_config_from_storage_does_not_choose_where_is_written():
    from tools.command import work_dir_of

    assert work_dir_of("", {"work_dir": "/elsewhere"}, "s3://bucket/configs/a.py") == Path("work_dirs/a")
    assert work_dir_of("", {"work_dir": "own"}, "configs/a.py") == Path("own")
    assert work_dir_of("given", {"work_dir": "own"}, "s3://bucket/configs/a.py") == Path("given")
