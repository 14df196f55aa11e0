import os
import stat

import pytest

from core.base.errors import UserError
from core.base.files import cache_folder, new_file, new_folder


@pytest.fixture
def no_variables(monkeypatch):
    monkeypatch.delenv("MMDET_COMPRESS_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)


def test_the_variable_comes_first(monkeypatch, tmp_path):
    monkeypatch.setenv("MMDET_COMPRESS_CACHE", str(tmp_path / "mine"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "mine"
    assert (tmp_path / "mine").is_dir()


def test_then_the_desktop_standard_then_home(no_variables, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "mmdet-compress"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "mmdet-compress"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == tmp_path / "home" / ".cache" / "mmdet-compress"


def test_a_cache_that_cannot_be_made_is_named_with_the_variable(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MMDET_COMPRESS_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError) as caught:
        cache_folder()
    assert str(tmp_path / "file" / "cache") in str(caught.value)
    assert "MMDET_COMPRESS_CACHE" in str(caught.value)


def test_a_new_file_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "folder" / "file.txt"
    with new_file(target) as path:
        path.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert os.listdir(tmp_path / "folder") == ["file.txt"]


def test_a_new_file_gets_the_rights_of_any_other_file(tmp_path):
    with new_file(tmp_path / "ours") as path:
        path.write_text("x")
    (tmp_path / "plain").write_text("x")
    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_an_interrupted_file_leaves_the_old_one(tmp_path, failure):
    target = tmp_path / "file.txt"
    target.write_text("old")
    with pytest.raises(failure), new_file(target) as path:
        path.write_text("ha")
        raise failure
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_a_new_folder_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "deep" / "folder"
    with new_folder(target) as folder:
        (folder / "a").write_text("a")
        assert not target.exists()
    assert os.listdir(target) == ["a"]
    assert os.listdir(tmp_path / "deep") == ["folder"]


def test_an_interrupted_folder_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "folder") as folder:
        (folder / "a").write_text("a")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_of_two_that_make_the_same_folder_the_first_stays(tmp_path):
    target = tmp_path / "folder"
    with new_folder(target) as slower:
        (slower / "made by").write_text("slower")
        with new_folder(target) as faster:
            (faster / "made by").write_text("faster")
    assert (target / "made by").read_text() == "faster"
    assert os.listdir(tmp_path) == ["folder"]
