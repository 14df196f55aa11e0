"""Files that may be anything: opened without waiting, and told by what they begin with."""

import os
import socket
import zipfile

import pytest

from core.base.errors import UserError
from core.base.foreign_file import (
    CUT_ZIP,
    NotAFile,
    kind_of,
    kind_of_file,
    not_text,
    open_foreign,
    open_regular,
    read_foreign,
)
from core.base.json_file import read_json
from tests.hostile.kinds import KINDS, PLACES


@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_file_is_said_and_not_waited_for(tmp_path, place):
    make, said = PLACES[place]
    path = tmp_path / "input"
    make(path)
    with pytest.raises(UserError) as refused:
        open_foreign(path, "thing", 1 << 30)
    assert said in str(refused.value) and str(path) in str(refused.value)


def test_what_is_no_file_is_an_os_error_for_who_asks_for_one(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(NotAFile):
        open_regular(tmp_path / "fifo")
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "absent")


def test_a_file_replaced_by_a_pipe_in_between_is_found(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"x")
    os.mkfifo(tmp_path / "fifo")
    status = os.stat(tmp_path / "file")
    monkeypatch.setattr(os, "stat", lambda path: status)
    with pytest.raises(NotAFile, match="FIFO"):
        open_regular(tmp_path / "fifo")


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_are_told(tmp_path, kind):
    content, said = KINDS[kind]
    (tmp_path / "input").write_bytes(content)
    with open(tmp_path / "input", "rb") as file:
        assert said in kind_of_file(file)


@pytest.mark.parametrize("content, kind", [
    (b"\x80\x02}q\x00.", "a pickle"), (b"{}", "JSON text"), (b"model = dict()\n", "text"), (b"BM = 1\n", "a BMP image"),
    (b"\xff\x00\x12\x88", ""), (("é" * 1000).encode(), "text")])
def test_the_rest_is_told_too(content, kind):
    assert kind_of(content) == kind


def test_a_text_that_only_looks_like_something_else_is_a_text():
    assert not not_text(b"BM = 1\nmodel = dict()\n")
    assert not not_text("modèle = 1".encode())
    assert "Git LFS" in not_text(KINDS["a Git LFS pointer"][0])
    assert "web page" in not_text(KINDS["a web page"][0])
    assert "PNG" in not_text(b"\x89PNG\r\n\x1a\n\0\0\0")


def test_a_zip_archive_with_a_comment_is_whole_and_one_without_its_end_is_cut(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("a", "b" * 3000)
        packed.comment = b"c" * 65_535
    with open(tmp_path / "a.zip", "rb") as file:
        assert kind_of_file(file) == "a zip archive"
    (tmp_path / "b.zip").write_bytes((tmp_path / "a.zip").read_bytes()[:2000])
    with open(tmp_path / "b.zip", "rb") as file:
        assert kind_of_file(file) == CUT_ZIP


@pytest.mark.parametrize("text, said", [
    ("[" * 100_000, "nested too deeply"), ('{"a": ' + "9" * 10_000 + "}", "10,000 digits"), ("{", "line 1 column 2"),
    ("<html></html>", "a web page"), ("\ud800", "utf-8")])
def test_json_that_is_none_is_named(tmp_path, text, said):
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(UserError) as refused:
        read_json(path, "measurement", "Measure again.")
    assert said in str(refused.value) and str(path) in str(refused.value)


def test_a_file_is_read_up_to_its_bound(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 10)
    assert read_foreign(tmp_path / "a", "thing", 10) == b"x" * 10
    with pytest.raises(UserError, match="10 bytes, and at most 9"):
        read_foreign(tmp_path / "a", "thing", 9)


def test_a_socket_is_named(tmp_path, monkeypatch):
    # A socket's path is short.
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        with pytest.raises(UserError, match="a socket"):
            open_foreign(tmp_path / "s", "thing")
