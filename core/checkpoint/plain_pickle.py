"""A pickle that can only describe data: no name in it is ever looked up, and nothing of it is called.

Python's own ``find_class`` hook is not enough: what it returns can be called with any arguments and given any
attributes. Here a name stands for a constructor of this project, which checks its arguments, and opcodes that no
checkpoint needs are refused.
"""

import io
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# What pickle protocols 0 and 1 spell as text, extension codes, and calls in other words.
_REFUSED_OPCODES = {
    "INT": pickle.INT, "LONG": pickle.LONG, "FLOAT": pickle.FLOAT, "STRING": pickle.STRING, "UNICODE": pickle.UNICODE,
    "PERSID": pickle.PERSID, "INST": pickle.INST, "OBJ": pickle.OBJ, "EXT1": pickle.EXT1, "EXT2": pickle.EXT2,
    "EXT4": pickle.EXT4, "NEWOBJ_EX": pickle.NEWOBJ_EX, "DUP": pickle.DUP, "GET": pickle.GET, "PUT": pickle.PUT,
    "NEXT_BUFFER": pickle.NEXT_BUFFER, "READONLY_BUFFER": pickle.READONLY_BUFFER}
_KEYS = (str, int, float, bool, bytes, type(None))
_MOST_KEY_PARTS = 16

Names = Mapping[tuple[str, str], "Constructor"]


class Refused(Exception):
    """Something that is no data; says what."""


class DataDict(dict):
    """Stands in for a dictionary class from outside: keeps its items, has none of its behaviour."""


@dataclass(frozen=True)
class Constructor:
    """What a name in a pickle stands for.

    Attributes:
        name: The name, for messages.
        make: Makes the value of checked arguments; None where the name is only ever an argument itself.
        state: Takes an object and its state (pickle's BUILD); None where it has none.
        kind: The type that ``make`` returns, by which ``state`` is found.
    """

    name: str
    make: Callable[..., Any] | None = None
    state: Callable[[Any, Any], None] | None = None
    kind: type | None = None


def load_plain(file: Any, names: Names, persistent: Callable[[Any], Any] | None = None) -> Any:
    """Return the data of the pickle that begins where ``file`` stands.

    Args:
        file: A binary file.
        names: Constructors by module and name.
        persistent: Gives the value of a persistent id.

    Raises:
        Refused: Another name, call, attribute or opcode.
        EOFError, and what a malformed pickle raises: pickle.UnpicklingError, ValueError, IndexError and others.
    """
    return _Unpickler(file, names, persistent).load()


def load_plain_bytes(content: bytes, names: Names, persistent: Callable[[Any], Any] | None = None) -> Any:
    """Return the data of a pickle in memory, as :func:`load_plain`."""
    return load_plain(io.BytesIO(content), names, persistent)


class _Opcodes(dict[int, Any]):
    def __missing__(self, opcode: int) -> Any:
        named = {code[0]: name for name, code in _REFUSED_OPCODES.items()}
        raise Refused(f"the pickle opcode {named.get(opcode, hex(opcode))}")


class _Unpickler(pickle._Unpickler):
    """Python's unpickler in Python: the one in C cannot be told which opcodes to refuse."""

    def __init__(self, file: Any, names: Names, persistent: Callable[[Any], Any] | None) -> None:
        super().__init__(file, encoding="utf-8")
        self._names = names
        self._states = {name.kind: name.state for name in names.values() if name.kind is not None}
        if persistent is not None:
            self.persistent_load = persistent

    def find_class(self, module: str, name: str) -> Constructor:
        try:
            return self._names[module, name]
        except KeyError:
            raise Refused(f"{module}.{name}"[:200]) from None

    def load_reduce(self) -> None:
        arguments, constructor = self.stack.pop(), self.stack[-1]
        self.stack[-1] = _call(constructor, arguments)

    def load_build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if type(target) not in self._states:
            raise Refused(f"attributes for {_described(target)}")
        accept = self._states[type(target)]
        if accept is not None:
            accept(target, state)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _mapping(self.stack[-1])[plain_key(key)] = value

    def load_setitems(self) -> None:
        items = self.pop_mark()
        _mapping(self.stack[-1]).update(_pairs(items))

    def load_dict(self) -> None:
        self.append(dict(_pairs(self.pop_mark())))

    def load_append(self) -> None:
        value = self.stack.pop()
        _list(self.stack[-1]).append(value)

    def load_appends(self) -> None:
        items = self.pop_mark()
        _list(self.stack[-1]).extend(items)

    def load_additems(self) -> None:
        items = self.pop_mark()
        target = self.stack[-1]
        if type(target) is not set:
            raise Refused(f"items for {_described(target)}")
        target.update(map(plain_key, items))

    def load_frozenset(self) -> None:
        self.append(frozenset(map(plain_key, self.pop_mark())))

    dispatch = _Opcodes({code: method for code, method in pickle._Unpickler.dispatch.items()
                         if bytes([code]) not in _REFUSED_OPCODES.values()})
    for _code, _method in ((pickle.REDUCE, load_reduce), (pickle.NEWOBJ, load_reduce), (pickle.BUILD, load_build),
                           (pickle.SETITEM, load_setitem), (pickle.SETITEMS, load_setitems), (pickle.DICT, load_dict),
                           (pickle.APPEND, load_append), (pickle.APPENDS, load_appends),
                           (pickle.ADDITEMS, load_additems), (pickle.FROZENSET, load_frozenset)):
        dispatch[_code[0]] = _method


def _call(constructor: Any, arguments: Any) -> Any:
    if not isinstance(constructor, Constructor) or constructor.make is None:
        raise Refused(f"a call of {_described(constructor)}")
    if not isinstance(arguments, tuple):
        raise Refused(f"a call of {constructor.name} without a tuple of arguments")
    return constructor.make(*arguments)


def _mapping(target: Any) -> Any:
    if not isinstance(target, dict):
        raise Refused(f"items for {_described(target)}")
    return target


def _list(target: Any) -> list[Any]:
    if type(target) is not list:
        raise Refused(f"items for {_described(target)}")
    return target


def _pairs(items: list[Any]) -> Iterator[tuple[Any, Any]]:
    if len(items) % 2:
        raise Refused("a dictionary key without a value")
    return ((plain_key(items[index]), items[index + 1]) for index in range(0, len(items), 2))


def plain_key(key: Any) -> Any:
    """Return a key that can be hashed without recursion: a deep tuple would end the process."""
    if type(key) in _KEYS:
        return key
    if type(key) is tuple and len(key) <= _MOST_KEY_PARTS and all(type(part) in _KEYS for part in key):
        return key
    raise Refused(f"{_described(key)} as a dictionary key")


def _described(value: Any) -> str:
    return value.name if isinstance(value, Constructor) else f"a {type(value).__name__}"
