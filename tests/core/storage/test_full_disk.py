"""A disk that is really full: the message names the place and the remedy, and what was there before stays."""

import logging
import os

import pytest

from core.base.cli import EXIT_DISK_FULL, run_guarded
from core.bundle.manifest import Manifest, damage
from core.bundle.publish import publish
from core.storage import fetch as fetching
from core.storage.fetch import fetch
from core.storage.source import resolve_source
from core.storage.store import open_store
from tests.core.bundle.published import PUBLISHED, write_bundle

BIG = 3 << 20
"""More than the small disk holds."""


def message_of(capsys, work):
    """Return what a stage whose work meets a full disk says."""
    assert run_guarded("stage", work) == EXIT_DISK_FULL
    return capsys.readouterr().err


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def bundle_of(folder, size):
    return write_bundle(folder, {**{name: name.encode() for name in PUBLISHED[1:]}, "model.bin": os.urandom(size)})


def test_publishing_to_a_full_folder_names_it_and_leaves_the_earlier_version(small_disk, tmp_path, capsys):
    first = publish(bundle_of(tmp_path / "small", 1000), str(small_disk), "cells").location
    large = bundle_of(tmp_path / "large", BIG)
    message = message_of(capsys, lambda: publish(large, str(small_disk), "cells"))
    assert f"disk full: {small_disk}/cells/" in message and "Free some space" in message
    assert os.listdir(small_disk / "cells") == ["1"]
    assert not damage(first, Manifest.read(first))
    assert publish(bundle_of(tmp_path / "other", 2000), str(small_disk), "cells").version == 2


@pytest.mark.parametrize("sizes", [[BIG], [10] * 700], ids=["one big object", "many small ones"])
def test_fetching_into_a_full_cache_names_it_and_leaves_what_was_fetched(s3, small_disk, capsys, monkeypatch, sizes):
    monkeypatch.setenv("MMDET_COMPRESS_CACHE", str(small_disk))
    # Room is looked at before fetching, but another process can take it, and many small files take more than they hold.
    monkeypatch.setattr(fetching, "_LEFT_FREE", -BIG)
    s3.put("before/file", b"before")
    before = fetch(resolve_source(f"{s3.uri}/before"))
    for number, size in enumerate(sizes):
        s3.put(f"set/{number}", os.urandom(size))
    source = resolve_source(f"{s3.uri}/set")
    message = message_of(capsys, lambda: fetch(source))
    assert f"disk full: {small_disk}/fetched-1/" in message and "Free some space" in message
    assert contents(before) == {"file": b"before"}
    assert not (small_disk / "fetched-1" / source.digest).exists()


def test_a_cache_that_has_too_little_room_says_so_before_anything_is_fetched(s3, small_disk, capsys, monkeypatch):
    monkeypatch.setenv("MMDET_COMPRESS_CACHE", str(small_disk))
    s3.put("set/file", b"12345")
    source = resolve_source(f"{s3.uri}/set")
    assert run_guarded("stage", lambda: fetch(source)) == 2
    message = capsys.readouterr().err
    assert f"cache folder: {small_disk}/fetched-1: 2 MB are free" in message and "MMDET_COMPRESS_CACHE" in message


def test_a_store_on_a_full_disk_names_the_object_and_keeps_the_earlier_one(small_disk, tmp_path, capsys):
    store = open_store(str(small_disk / "store"))
    store.write("object", b"before")
    (tmp_path / "big").write_bytes(bytes(BIG))
    for work in (lambda: store.write("object", bytes(BIG)), lambda: store.upload(tmp_path / "big", "object")):
        assert f"disk full: {small_disk}/store/object. " in message_of(capsys, work)
        assert contents(small_disk) == {"store/object": b"before"}


def test_a_training_state_on_a_full_disk_is_named_and_the_earlier_one_stays(small_disk, capsys):
    import torch

    from core.checkpoint.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

    path = small_disk / "work" / "latest.pth"
    save_checkpoint(Checkpoint({"w": torch.ones(10)}), path)
    message = message_of(capsys, lambda: save_checkpoint(Checkpoint({"w": torch.zeros(BIG)}), path))
    assert f"disk full: {path}. " in message and "Free some space" in message
    assert os.listdir(path.parent) == ["latest.pth"]
    assert torch.equal(load_checkpoint(path).state_dict["w"], torch.ones(10))


def test_a_full_place_for_training_states_is_a_warning_and_the_earlier_state_stays(small_disk, tmp_path, caplog):
    import torch

    from core.base.digest import sha256_file
    from core.checkpoint.checkpoint import Checkpoint, save_checkpoint
    from core.training.progress import Position
    from core.training.states import StateSettings, TrainingStates

    states = TrainingStates(StateSettings(str(small_disk), 10), {"seed": 1})
    for epoch, size in ((1, 10), (2, BIG)):
        training = {"optimizer": {}, "epoch": epoch, "iter": epoch, "progress": {}}
        save_checkpoint(Checkpoint({"w": torch.ones(size)}, training=training), tmp_path / "state.pth")
        states.store(tmp_path / "state.pth", Position(epoch, 0, epoch, {}, {}), sha256_file(tmp_path / "state.pth"))
        with caplog.at_level(logging.WARNING):
            assert states.wait() is (epoch == 1)
    assert f"could not be stored in {states.place}, training continues" in caplog.text
    assert "No space left on device" in caplog.text
    assert states.newest(tmp_path).training["epoch"] == 1
