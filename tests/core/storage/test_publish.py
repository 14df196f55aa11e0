import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.base.errors import UserError
from core.bundle.manifest import SCHEMA, Manifest, content_digest, describe_files
from core.bundle.publish import check_destination, publish

PROJECT = Path(__file__).parents[3]
PUBLISHED = ["bundle.json", "fp32/model.bin", "fp32/model.xml", "labels.txt", "model.bin", "model.xml"]


@pytest.fixture
def bundle(tmp_path):
    (tmp_path / "bundle" / "fp32").mkdir(parents=True)
    for name in PUBLISHED[1:]:
        (tmp_path / "bundle" / name).write_text(name)
    seal(tmp_path / "bundle")
    return tmp_path / "bundle"


def seal(folder):
    """Write the manifest of what is in ``folder``."""
    files = describe_files(folder)
    xml = files["model.xml"].sha256
    Manifest(SCHEMA, "cells", content_digest(files, xml), xml, {}, {}, files).write(folder)


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

    monkeypatch.setattr("core.bundle.publish.os.fsync", fsync)
    with pytest.raises(OSError, match="No space left"):
        publish(bundle, str(tmp_path / "out"), "cells")
    assert os.listdir(tmp_path / "out" / "cells") == []


@pytest.mark.parametrize("step", [1, 4, 7, 8])
def test_kill_while_publishing_shows_no_half_version_and_the_next_one_clears_up(bundle, tmp_path, step):
    program = f"""
import os, signal, sys
from pathlib import Path
from core.storage import publish
calls = []
def fsync(descriptor):
    calls.append(descriptor)
    if len(calls) == {step}:
        os.kill(os.getpid(), signal.SIGKILL)
publish.os.fsync = fsync
folder = Path(sys.argv[1])
publish.publish(folder / "bundle", str(folder / "out"), "cells")
"""
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=PROJECT, check=False)
    assert killed.returncode == -signal.SIGKILL
    models = tmp_path / "out" / "cells"
    assert [path.name for path in models.iterdir() if path.name[0] != "."] == []

    assert publish(bundle, str(tmp_path / "out"), "cells").version == 1
    assert os.listdir(models) == ["1"]
    assert files_of(models / "1") == PUBLISHED


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
