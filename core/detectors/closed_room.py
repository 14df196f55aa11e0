"""A closed room: code of others runs in it, and what it opens, runs or connects to is refused.

Python reports such acts as audit events before they happen (PEP 578; docs.python.org/3/library/audit_events.html).
A hook that raises prevents the act, wherever in a library it starts. Not seen are acts of native code that does not
tell Python: cv2.imread and lmdb open files themselves, for example.

A room belongs to the thread that entered it, and leaves other threads alone.
"""

import contextlib
import gc
import os
import site
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from core.base.errors import UserError

_MOST_SHOWN = 200
_WRITING_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_DEVICES = ("/dev/null", "/dev/urandom")
# Names of the packages that act on a config's behalf: they may import by statement, not by a name from data.
_GUESTS = ("mmcv", "mmdet", "mmcls", "albumentations", "pycocotools", "lvis", "panopticapi", "cityscapesscripts")
_IMPORT_SYSTEM = ("importlib._bootstrap", "importlib._bootstrap_external", "importlib", "zipimport")


class Refusal(BaseException):
    """Leaves a room because something was refused in it.

    It is no Exception: mmcv's build_from_cfg turns every Exception into another (mmcv/utils/registry.py:69), and
    libraries go on after an ImportError or OSError.
    """


@dataclass
class _Room:
    thing: str
    readable: tuple[str, ...]
    writable: tuple[str, ...]
    refused: UserError | None = None


class _Inside(threading.local):
    room: _Room | None = None


_inside = _Inside()
_hook_lock = threading.Lock()
_hook_is_added = False


@contextlib.contextmanager
def closed_room(thing: str, readable: Sequence[str | Path] = (), writable: Sequence[str | Path] = ()) -> Iterator[None]:
    """Run the block where files, processes, connections and code named by data are out of reach.

    Files of the Python installation can be read, for modules that libraries import late.

    Args:
        thing: Whose doing it is, for the message, such as ``"model config"``.
        readable: Files and folders that can be read.
        writable: Files and folders that can be read, written and removed.

    Raises:
        UserError: Something was refused, even where the block went on after it.
    """
    _add_hook()
    outer = _inside.room
    room = _Room(thing, _real([*readable, *writable]), _real(writable))
    _inside.room = room
    # Collected garbage, such as a data loader that ends its workers, would act in the room without being of it.
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    except Refusal as refusal:
        raise (room.refused or UserError(thing, "refused", str(refusal), "Correct the config.")) from None
    except Exception as error:
        if room.refused is None:
            raise
        raise room.refused from error
    finally:
        _inside.room = outer
        if collecting:
            gc.enable()
    if room.refused is not None:
        raise room.refused


@contextlib.contextmanager
def outside() -> Iterator[None]:
    """Run our own code, called by a guest of a room, outside of it; its UserError ends the room."""
    room = _inside.room
    _inside.room = None
    try:
        yield
    except UserError as error:
        if room is None:
            raise
        room.refused = room.refused or error
        raise Refusal(str(error)) from error
    finally:
        _inside.room = room


def may_write(path: str | Path) -> bool:
    """Return whether ``path`` lies in what the present room can write; outside of rooms nothing does."""
    return _inside.room is not None and _within(path, _inside.room.writable)


def _add_hook() -> None:
    # A hook stays until the process ends, so it is added when it is first needed.
    global _hook_is_added
    with _hook_lock:
        if not _hook_is_added:
            sys.addaudithook(_audit)
            _hook_is_added = True


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    room = _inside.room
    if room is None:
        return
    family = event.partition(".")[0]
    judge = _JUDGES.get(event) or _JUDGES.get(f"{family}.*")
    if judge is None:
        return
    _inside.room = None
    try:
        rule = judge(room, arguments, sys._getframe(1))
    finally:
        _inside.room = room
    if rule is not None:
        shown = arguments[0] if arguments and isinstance(arguments[0], (str, bytes, os.PathLike)) else ""
        room.refused = room.refused or UserError(
            room.thing, f"{event} {os.fsdecode(shown)[:_MOST_SHOWN]!r}" if shown else event, rule,
            "Remove what asks for it from the config.")
        raise Refusal(rule)


_Judge = Callable[[_Room, tuple[Any, ...], FrameType], str | None]


def _judge_open(room: _Room, arguments: tuple[Any, ...], frame: FrameType) -> str | None:
    path, mode, flags = arguments
    if isinstance(path, int) or path in _DEVICES or _is_import(frame):
        return None
    writes = any(letter in mode for letter in "wax+") if isinstance(mode, str) else bool(flags & _WRITING_FLAGS)
    if _within(path, room.writable if writes else (*room.readable, *_installation())):
        return None
    return f"What a config names is not {'written' if writes else 'read'} by a library behind this program's back."


def _judge_change(room: _Room, arguments: tuple[Any, ...], frame: FrameType) -> str | None:
    paths = [value for value in arguments if isinstance(value, (str, bytes, os.PathLike))]
    if paths and all(_within(path, room.writable) for path in paths):
        return None
    return "A config does not change files or folders."


def _judge_code(room: _Room, arguments: tuple[Any, ...], frame: FrameType) -> str | None:
    if not (_is_guest(frame) or _is_import(frame) and _is_guest(_importer(frame))):
        return None
    return "Text and module names in a config are data: they are not run as code."


def _judge_library(room: _Room, arguments: tuple[Any, ...], frame: FrameType) -> str | None:
    path = arguments[0] if arguments else None
    if path is None or not isinstance(path, (str, bytes, os.PathLike)) or _within(path, _installation()):
        return None
    return "A config loads no native code."


def _refuse(rule: str) -> _Judge:
    return lambda room, arguments, frame: rule


_NO_PROCESS = _refuse("A config starts no process.")
_NO_CONNECTION = _refuse("A config opens no connection: what it needs is fetched by this program, or given as a file.")
_JUDGES: dict[str, _Judge] = {
    "open": _judge_open, "exec": _judge_code, "compile": _judge_code, "ctypes.dlopen": _judge_library,
    "pickle.find_class": _refuse("Pickles are read by core.checkpoint alone, as data."),
    "sqlite3.connect": _refuse("A config opens no data base."),
    "sys.addaudithook": _refuse("A config changes nothing in Python itself."),
    "socket.gethostname": lambda room, arguments, frame: None,
    **{event: _NO_PROCESS for event in ("subprocess.Popen", "pty.spawn", *(f"os.{name}" for name in (
        "system", "exec", "posix_spawn", "spawn", "fork", "forkpty", "startfile", "kill", "killpg")))},
    **{event: _NO_CONNECTION for event in ("socket.*", "urllib.*", "http.*", "ftplib.*", "smtplib.*", "imaplib.*",
                                           "poplib.*", "nntplib.*", "telnetlib.*", "webbrowser.*")},
    **{event: _judge_change for event in ("shutil.*", *(f"os.{name}" for name in (
        "chflags", "chmod", "chown", "link", "mkdir", "remove", "removexattr", "rename", "rmdir", "setxattr",
        "symlink", "truncate", "utime")))}}
"""What decides on an event, by its name or its family; it returns the rule that is broken, or None."""


def _is_guest(frame: FrameType | None) -> bool:
    return frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in _GUESTS


def _is_import(frame: FrameType) -> bool:
    """Return whether the import system itself does it."""
    return frame.f_globals.get("__name__") in _IMPORT_SYSTEM or frame.f_code.co_filename.startswith("<frozen importlib")


def _importer(frame: FrameType) -> FrameType | None:
    """Return who called ``importlib.import_module``, None where an import statement is at work."""
    found: FrameType | None = frame
    dynamic = False
    while found is not None and _is_import(found):
        dynamic = dynamic or found.f_code.co_name == "import_module"
        found = found.f_back
    return found if dynamic else None


def _installation() -> tuple[str, ...]:
    """Return the folders of Python's own library and of installed packages."""
    global _installed
    if not _installed:
        modules = [sys.modules[name] for name in ("mmcv", "mmdet", "torch") if name in sys.modules]
        packages = [site.getusersitepackages(), *site.getsitepackages(), *(
            os.path.dirname(str(module.__file__)) for module in modules)]
        standard = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
        _installed = _real([*standard, *packages])
    return _installed


_installed: tuple[str, ...] = ()


def _real(paths: Sequence[str | Path]) -> tuple[str, ...]:
    return tuple(os.path.realpath(path) for path in paths)


def _within(path: Any, places: Sequence[str]) -> bool:
    real = os.path.realpath(os.fsdecode(path))
    return any(real == place or real.startswith(place.rstrip(os.sep) + os.sep) for place in places)
