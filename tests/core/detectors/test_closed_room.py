"""What code of others cannot do in a closed room, and what it can."""

import os
import pickle
import socket
import subprocess
import sys
import threading
import types
import urllib.request
from pathlib import Path

import pytest

from core.base.errors import UserError
from core.detectors.closed_room import Refusal, closed_room, may_write, outside


def guest(text):
    """Return a function ``act`` of a module that counts as mmcv's."""
    module = types.ModuleType("mmcv.made_here")
    exec(text, module.__dict__)
    return module.act


@pytest.mark.parametrize("act", [
    lambda folder: (folder / "secret").read_text(), lambda folder: (folder / "new").write_text("n"),
    lambda folder: os.open(folder / "secret", os.O_RDONLY), lambda folder: (folder / "secret").unlink(),
    lambda folder: os.rename(folder / "secret", folder / "other"), lambda folder: (folder / "made").mkdir(),
    lambda folder: os.symlink("/", folder / "link"), lambda folder: subprocess.run(["true"]),
    lambda folder: os.system("true"), lambda folder: os.fork() or os._exit(0), lambda folder: socket.socket(),
    lambda folder: socket.create_connection(("127.0.0.1", 9)), lambda folder: socket.getaddrinfo("localhost", 80),
    lambda folder: urllib.request.urlopen("http://127.0.0.1:9/"), lambda folder: pickle.loads(b"cos\ngetcwd\n."),
    lambda folder: guest("def act(): return eval('1 + 1')")(), lambda folder: guest("def act(): exec('x = 1')")(),
    lambda folder: sys.addaudithook(print)])
def test_what_is_refused(act, tmp_path):
    (tmp_path / "secret").write_text("s")
    with pytest.raises(UserError, match="^made by a test: "), closed_room("made by a test"):
        act(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_a_library_that_goes_on_after_a_refusal_does_not_hide_it(tmp_path):
    (tmp_path / "secret").write_text("s")

    def act():
        try:
            (tmp_path / "secret").read_text()
        except BaseException:  # noqa: BLE001 - as bare as some libraries have it
            return "something else"

    with pytest.raises(UserError, match="secret"), closed_room("model config"):
        act()


def test_a_refusal_is_no_exception_that_a_library_could_turn_into_another():
    assert not issubclass(Refusal, Exception)


def test_modules_named_by_data_are_not_imported_and_statements_are(tmp_path, monkeypatch):
    (tmp_path / "named_by_data.py").write_text("")
    (tmp_path / "named_by_code.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match="not run as code"), closed_room("model config"):
        guest("import importlib\ndef act(): importlib.import_module('named_by_data')")()
    assert "named_by_data" not in sys.modules
    with closed_room("model config"):
        guest("def act(): import named_by_code")()
    assert sys.modules.pop("named_by_code")


def test_what_is_allowed(tmp_path):
    (tmp_path / "data").write_text("d")
    (tmp_path / "work").mkdir()
    with closed_room("data set config", readable=[tmp_path / "data"], writable=[tmp_path / "work"]):
        assert (tmp_path / "data").read_text() == "d"
        (tmp_path / "work" / "log").write_text("l")
        assert may_write(tmp_path / "work" / "log") and not may_write(tmp_path / "data")
        assert Path(os.__file__).read_text()
    assert not may_write(tmp_path / "work")


def test_links_and_dots_do_not_lead_out_of_what_is_readable(tmp_path):
    (tmp_path / "secret").write_text("s")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "secret")
    for path in (tmp_path / "data" / "link", f"{tmp_path}/data/../secret", f"{tmp_path}/data2"):
        with pytest.raises(UserError, match="behind this program's back"), closed_room("x", [tmp_path / "data"]):
            Path(path).read_text()


def test_our_own_code_called_from_a_room_works_and_its_error_ends_the_room(tmp_path):
    (tmp_path / "secret").write_text("s")
    with closed_room("model config"), outside():
        assert (tmp_path / "secret").read_text() == "s"

    def load():
        with outside():
            raise UserError("file", "x", "It must be sound.", "Take another.")

    with pytest.raises(UserError, match="^file: x"), closed_room("model config"):
        try:
            load()
        except Exception as error:
            raise type(error)("turned into another") from error


def test_rooms_are_one_in_another_and_of_their_thread_alone(tmp_path):
    (tmp_path / "a").write_text("a")
    seen = []
    with closed_room("outer", [tmp_path]):
        with pytest.raises(UserError, match="^inner"), closed_room("inner"):
            (tmp_path / "a").read_text()
        thread = threading.Thread(target=lambda: seen.append(Path(__file__).read_text()))
        thread.start()
        thread.join()
        assert (tmp_path / "a").read_text() == "a"
    assert seen and Path(__file__).read_text()
