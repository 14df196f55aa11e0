import contextlib
import errno
import os
import shutil
import signal
import sys

import pytest

from core.base.errors import UserError
from core.bundle import publish_folder
from core.bundle.manifest import Manifest, damage
from core.bundle.publish import check_destination, publish
from tests.core.bundle.published import PUBLISHED, seal, write_bundle


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "bundle")


def files_of(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_first_version_holds_the_bundle_and_its_manifest(bundle, tmp_path):
    published = publish(bundle, f"file://{tmp_path}/out", "cells")

    assert (published.location, published.version, published.created) == (tmp_path / "out/cells/1", 1, True)
    assert files_of(published.location) == PUBLISHED
    for name in PUBLISHED:
        assert (published.location / name).read_bytes() == (bundle / name).read_bytes()


def test_same_content_again_changes_nothing(bundle, tmp_path):
    first = publish(bundle, str(tmp_path / "out"), "cells")
    again = publish(bundle, str(tmp_path / "out"), "cells")
    assert (again.location, again.version, again.created) == (first.location, 1, False)
    assert os.listdir(tmp_path / "out" / "cells") == ["1"]


def test_other_content_becomes_the_next_version(bundle, tmp_path):
    publish(bundle, str(tmp_path / "out"), "cells")
    (tmp_path / "out" / "cells" / "7").mkdir()
    (bundle / "labels.txt").write_text("others")
    seal(bundle)
    assert publish(bundle, str(tmp_path / "out"), "cells").version == 8


def test_a_damaged_version_does_not_count_as_published(bundle, tmp_path):
    first = publish(bundle, str(tmp_path / "out"), "cells")
    (first.location / "model.bin").write_text("damaged")
    assert publish(bundle, str(tmp_path / "out"), "cells").version == 2


def test_file_that_is_not_the_one_in_the_manifest_is_refused(bundle, tmp_path):
    (bundle / "labels.txt").write_text("changed")
    with pytest.raises(UserError, match="labels.txt. It is not the file that the bundle's manifest describes"):
        publish(bundle, str(tmp_path / "out"), "cells")
    assert os.listdir(tmp_path / "out" / "cells") == []


def test_folder_without_a_manifest_is_refused(tmp_path):
    with pytest.raises(UserError, match="bundle.json is missing"):
        publish(tmp_path, str(tmp_path / "out"), "cells")
    assert not (tmp_path / "out").exists()


def test_failure_while_copying_leaves_nothing(bundle, tmp_path, monkeypatch):
    calls = []

    def fsync(descriptor):
        calls.append(descriptor)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("core.bundle.publish_folder.os.fsync", fsync)
    with pytest.raises(OSError, match="No space left"):
        publish(bundle, str(tmp_path / "out"), "cells")
    assert os.listdir(tmp_path / "out" / "cells") == []


STEPS = ("open", "os.mkdir", "os.rename", "os.rmdir", "os.remove", "fcntl.flock", "fsync")
"""What Python's audit hooks see of publishing to a folder, and flushing, which they do not see."""


def publish_until(step, work, end):
    """Do the work in a process of its own until its step of that number, which meets ``end`` instead.

    Returns:
        Whether it came so far.
    """
    child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, 7, -signal.SIGKILL), "the work failed in another way"
        return code != 0
    steps, flush, code = [0], os.fsync, 1

    def count(event):
        steps[0] += event in STEPS
        if event in STEPS and steps[0] == step:
            end()

    try:
        publish_folder.os.fsync = lambda descriptor: (count("fsync"), flush(descriptor))
        sys.addaudithook(lambda event, arguments: count(event))
        with contextlib.suppress(OSError, UserError, KeyboardInterrupt):
            work()
        code = 7 if steps[0] >= step else 0
    finally:
        os._exit(code)


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def interrupted():
    raise KeyboardInterrupt


def full():
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("end", [killed, interrupted, full])
def test_whatever_ends_a_publication_at_any_step_no_version_is_half_or_lost(bundle, tmp_path, end):
    step, so_far, out = 1, True, tmp_path / "out"
    assert publish(write_bundle(tmp_path / "first", {"model.xml": b"first"}), str(out), "cells").version == 1
    while so_far:
        so_far = publish_until(step, lambda: publish(bundle, str(out), "cells"), end)
        models = out / "cells"
        for version in models.iterdir():
            if version.name[0] != ".":
                assert not damage(version, Manifest.read(version))
        assert so_far or (models / "2").exists()

        published = publish(bundle, str(out), "cells")
        assert published.version == 2 and files_of(published.location) == PUBLISHED
        assert sorted(os.listdir(models)) == ["1", "2"] and (models / "1" / "model.xml").read_bytes() == b"first"
        shutil.rmtree(published.location)
        step += 1
    assert step > 25


def test_destination_that_is_no_folder_is_refused(bundle, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match="destination: .*out/cells. It must be a folder that can be written"):
        publish(bundle, str(tmp_path / "out"), "cells")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_destination_without_the_right_to_write_is_refused(bundle, tmp_path):
    (tmp_path / "out").mkdir(mode=0o500)
    with pytest.raises(UserError, match="It must be a folder that can be written .Permission denied"):
        publish(bundle, str(tmp_path / "out"), "cells")


def test_a_version_that_is_named_is_taken_once(bundle, tmp_path):
    out = str(tmp_path / "out")
    assert publish(bundle, out, "cells", version=4).version == 4
    assert not publish(bundle, out, "cells", version=4).created
    (bundle / "labels.txt").write_text("others")
    seal(bundle)
    with pytest.raises(UserError, match="cells/4. A version that is published never gets other content"):
        publish(bundle, out, "cells", version=4)
    with pytest.raises(UserError, match="positive integer"):
        publish(bundle, out, "cells", version=0)


def test_destination_is_checked_before_there_is_a_bundle(tmp_path):
    check_destination("", "cells")
    check_destination(str(tmp_path / "not" / "yet"), "cells")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    for destination, name, message in ((str(tmp_path / "file"), "cells", "file is none"),
                                       ("", "a/b", "parameter model_name")):
        with pytest.raises(UserError, match=message):
            check_destination(destination, name)


def test_version_that_is_taken_or_can_be_none_is_refused_before_there_is_a_bundle(tmp_path):
    (tmp_path / "cells" / "3").mkdir(parents=True)
    check_destination(str(tmp_path), "cells", 4)
    check_destination("", "cells", 3)
    for version, message in ((3, "has this version already"), (-1, "a positive integer, or 0")):
        with pytest.raises(UserError, match=f"parameter model_version: {version}. .*{message}"):
            check_destination(str(tmp_path), "cells", version)


@pytest.mark.parametrize("name", ["", "../cells", "a/b", ".hidden", "-x", "a b"])
def test_model_name_that_is_no_folder_name_is_refused(bundle, tmp_path, name):
    with pytest.raises(UserError, match="parameter model_name"):
        publish(bundle, str(tmp_path / "out"), name)
