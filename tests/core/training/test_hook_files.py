"""Files that hooks of the libraries touch while a training runs: its work folder's alone."""

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmcv.runner import HOOKS, Hook
from mmcv.runner.hooks import CheckpointHook, TextLoggerHook

from core.base.errors import UserError
from core.training.hooks import EvaluationHook
from core.training.runner import ResumableRunner
from core.training.signals import Interruptions


@pytest.fixture
def runner(tmp_path):
    model = torch.nn.Linear(1, 1)
    runner = ResumableRunner(model, optimizer=torch.optim.SGD(model.parameters(), lr=1), max_epochs=9,
                             work_dir=str(tmp_path / "work"), logger=logging.getLogger("hooks"),
                             batch_processor=lambda *arguments, **options: None)
    runner.prepare(None, lambda path, optimizer: path.write_bytes(b"state"), lambda path: {"epoch": 1, "iter": 2})
    runner._epoch = 4
    return runner


@pytest.mark.parametrize("template", ["{folder}/precious_{{}}.pth", "../precious_{{}}.pth"])
@pytest.mark.parametrize("written", [True, False])
def test_a_checkpoint_hook_writes_and_removes_nothing_elsewhere(runner, tmp_path, template, written):
    precious = tmp_path / "precious_4.pth"
    precious.write_text("the user's")
    # Where nothing is written, because the name is that of an own folder's file, the removal alone is tried.
    runner.register_hook(CheckpointHook(
        interval=1, max_keep_ckpts=1, filename_tmpl=template.format(folder=tmp_path)))
    if not written:
        runner.save_checkpoint = lambda *arguments, **options: None
    runner.call_hook("before_run")
    with pytest.raises(UserError) as refused:
        runner.call_hook("after_train_epoch")
    assert ("CheckpointHook" in refused.value.thing) is not written
    assert precious.read_text() == "the user's" and not (tmp_path / "precious_5.pth").exists()


def test_checkpoints_and_logs_of_the_work_folder_are_kept(runner, tmp_path):
    runner.register_hook(CheckpointHook(interval=1, max_keep_ckpts=1))
    runner.register_hook(TextLoggerHook(interval=1))
    runner.call_hook("before_run")
    (tmp_path / "work" / "epoch_4.pth").write_bytes(b"older")
    runner.call_hook("after_train_epoch")
    assert {path.name for path in (tmp_path / "work").glob("*.pth")} == {"epoch_5.pth", "latest.pth"}


def test_a_users_own_hook_is_free(runner, tmp_path):
    class Own(Hook):
        def before_run(self, runner):
            (tmp_path / "own.txt").write_text("here")

    assert "Own" not in HOOKS.module_dict
    runner.register_hook(Own())
    runner.call_hook("before_run")
    assert (tmp_path / "own.txt").exists()


def test_a_resumed_checkpoint_does_not_choose_what_is_removed(tmp_path):
    precious = tmp_path / "precious.pth"
    precious.write_text("the user's")
    loader = torch.utils.data.DataLoader([1])
    hook = EvaluationHook(None, loader, Interruptions(saving=False), lambda: True, save_best="bbox_mAP")
    own = tmp_path / "work" / "best.pth"
    own.parent.mkdir()
    own.write_bytes(b"best")
    for best, kept in ((str(precious), None), (7, None), (str(own), "as it was")):
        hook.before_run(SimpleNamespace(work_dir=str(tmp_path / "work"), messages={"best_ckpt": best},
                                        logger=logging.getLogger("hooks")))
        assert hook.best_ckpt_path == (best if kept else None)
    assert Path(precious).exists()


def test_tensorboard_imports_what_it_needs_and_writes_into_the_work_folder(runner, tmp_path):
    runner.register_hook(HOOKS.build({"type": "TensorboardLoggerHook", "interval": 1}))
    runner.call_hook("before_run")
    runner.log_buffer.update({"loss": 1.0})
    runner.log_buffer.average(1)
    runner.outputs = {}
    runner.mode = "train"
    runner.call_hook("after_train_iter")
    runner.call_hook("after_run")
    assert list((tmp_path / "work").rglob("events.out.tfevents*"))
