"""A pickle that can only describe data: no name in it is ever looked up, and nothing of it is called.

Python's own ``find_class`` hook is not enough: what it returns can be called with any arguments and given any
attributes. Here a name stands for a constructor of this project, which checks its arguments, and opcodes that no
checkpoint needs are refused. What a constructor has checked is immutable, or its own copy: nothing that follows in the
pickle changes it. What is returned is a tree of bounded size and depth, parts that it shares counted wherever they
stand, so that walking it ends.
"""

import io
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from core.base.text import bounded_repr

# What pickle protocols 0 and 1 spell as text, extension codes, calls in other words, and integers beyond 2,040 bits.
_REFUSED_OPCODES = {name: getattr(pickle, name) for name in (
    "INT", "LONG", "FLOAT", "STRING", "UNICODE", "PERSID", "INST", "OBJ", "EXT1", "EXT2", "EXT4", "NEWOBJ_EX", "DUP",
    "GET", "PUT", "NEXT_BUFFER", "READONLY_BUFFER", "LONG4")}
_KEYS = (str, int, float, bool, bytes, type(None))
_MOST_KEY_PARTS = 16
# Larger integers can be chosen such that all have one hash, and a dictionary of them takes quadratic time.
_LARGEST_KEY = 1 << 60
# An opcode makes at most an object of some hundred bytes, and a checkpoint has some hundred thousand.
MOST_OPCODES = 4_000_000
MOST_COPIED = 1 << 24
"""Elements of containers that constructors may copy in all: an argument can be given to many calls."""
_CALL = 32
# Content is copied as it becomes bytes and as it becomes an array's, so from what was read so far comes that much.
_COPIES, _FREE_BYTES = 3, 1 << 20
MOST_VALUES = 5_000_000
MOST_DEPTH = 100
_CONTAINERS = (dict, list, tuple, set, frozenset)

Names = Mapping[tuple[str, str], Any]
"""What a module and a name stand for: a :class:`Constructor`, or an immutable value itself, such as a torch.dtype."""


class Refused(Exception):
    """Raised for something that is not data; says what it is."""


class DataDict(dict):
    """Stands in for a dictionary class from outside: keeps its items, has none of its behaviour."""


@dataclass(frozen=True)
class Constructor:
    """What a name in a pickle stands for.

    Attributes:
        name: The name, for messages.
        make: Makes the value of checked arguments; None where the name is only ever an argument itself.
        state: Takes an object and its state (pickle's BUILD) and returns what takes the object's place, mostly the
            object itself; None where it has none.
        kind: The type that ``make`` returns, by which ``state`` is found.
    """

    name: str
    make: Callable[..., Any] | None = None
    state: Callable[[Any, Any], Any] | None = None
    kind: type | None = None


def load_plain(file: Any, names: Names, persistent: Callable[[Any], Any] | None = None) -> Any:
    """Return the data of the pickle that starts at the position of ``file``.

    Args:
        file: A binary file.
        names: Constructors by module and name.
        persistent: Gives the value of a persistent id.

    Raises:
        Refused: Another name, call, attribute or opcode, or data without a bound.
        EOFError, and what a malformed pickle raises: pickle.UnpicklingError, ValueError, IndexError and others.
    """
    value = _Unpickler(file, names, persistent).load()
    _check_extent(value)
    return value


def load_plain_bytes(content: bytes, names: Names, persistent: Callable[[Any], Any] | None = None) -> Any:
    """Return the data of a pickle in memory, as :func:`load_plain`."""
    return load_plain(io.BytesIO(content), names, persistent)


class _Opcodes:
    """The unpickler's methods by opcode, looked up a bounded number of times."""

    def __init__(self, methods: Mapping[int, Callable[[Any], None]]) -> None:
        self._methods, self._left = methods, MOST_OPCODES

    def __getitem__(self, opcode: int) -> Callable[[Any], None]:
        self._left -= 1
        if self._left < 0:
            raise Refused(f"a pickle of more than {MOST_OPCODES:,} opcodes")
        method = self._methods.get(opcode)
        if method is None:
            named = {code[0]: name for name, code in _REFUSED_OPCODES.items()}
            raise Refused(f"the pickle opcode {named.get(opcode, hex(opcode))}")
        return method


class _Unpickler(pickle._Unpickler):
    """Python's unpickler in Python: the one in C cannot refuse opcodes."""

    def __init__(self, file: Any, names: Names, persistent: Callable[[Any], Any] | None) -> None:
        super().__init__(file, encoding="utf-8")
        self._names = names
        self._states = {name.kind: name.state for name in names.values()
                        if isinstance(name, Constructor) and name.kind is not None}
        self._left = MOST_COPIED
        self._position, self._copied = file.tell, 0
        self.dispatch = _Opcodes(self.methods)
        if persistent is not None:
            self.persistent_load = persistent

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._names[module, name]
        except KeyError:
            raise Refused(f"{module:.100}.{name:.100}") from None

    def load_reduce(self) -> None:
        arguments, constructor = self.stack.pop(), self.stack[-1]
        self._count_copy(arguments)
        self.stack[-1] = call(constructor, arguments)

    def load_build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if type(target) not in self._states:
            raise Refused(f"attributes for {_described(target)}")
        self._count_copy((state,))
        accept = self._states[type(target)]
        built = target if accept is None else accept(target, state)
        if built is not target:
            # It takes the target's place, on the stack's top and in the memo.
            self.stack[-1] = built
            self._count_copy((self.memo,))
            for index, value in self.memo.items():
                if value is target:
                    self.memo[index] = built

    def _count_copy(self, arguments: Any) -> None:
        self._left -= _CALL
        for argument in arguments if type(arguments) is tuple else ():
            if isinstance(argument, _CONTAINERS):
                self._left -= len(argument)
                # An array's state is a tuple, and the content is in it.
                self._copied += sum(len(part) for part in argument if isinstance(part, bytes)) if (
                    type(argument) is tuple) else 0
            elif isinstance(argument, (bytes, str)):
                self._copied += len(argument)
        if self._left < 0 or self._copied > _COPIES * self._position() + _FREE_BYTES:
            raise Refused("a pickle that gives its constructors too much to copy")

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _mapping(self.stack[-1])[plain_key(key)] = value

    def load_setitems(self) -> None:
        items = self.pop_mark()
        _mapping(self.stack[-1]).update(_pairs(items))

    def load_dict(self) -> None:
        # In two steps: taking the mark changes what ``append`` is.
        items = self.pop_mark()
        self.append(dict(_pairs(items)))

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
        items = self.pop_mark()
        self.append(frozenset(map(plain_key, items)))

    def load_bytearray8(self) -> None:
        # Python's own takes the memory before it knows whether the bytes are there; and what is checked is immutable.
        self.load_binbytes8()

    methods = {code: method for code, method in pickle._Unpickler.dispatch.items()
               if bytes([code]) not in _REFUSED_OPCODES.values()}
    for _code, _method in ((pickle.REDUCE, load_reduce), (pickle.NEWOBJ, load_reduce), (pickle.BUILD, load_build),
                           (pickle.SETITEM, load_setitem), (pickle.SETITEMS, load_setitems), (pickle.DICT, load_dict),
                           (pickle.APPEND, load_append), (pickle.APPENDS, load_appends),
                           (pickle.ADDITEMS, load_additems), (pickle.FROZENSET, load_frozenset),
                           (pickle.BYTEARRAY8, load_bytearray8)):
        methods[_code[0]] = _method


def call(constructor: Any, arguments: Any) -> Any:
    """Return what a constructor makes of arguments; refuse anything else that is called."""
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
    parts = key if type(key) is tuple and len(key) <= _MOST_KEY_PARTS else (key,)
    for part in parts:
        if type(part) not in _KEYS or type(part) is int and not -_LARGEST_KEY < part < _LARGEST_KEY:
            raise Refused(f"{_described(key)} as a dictionary key")
    return key


def _described(value: Any) -> str:
    if isinstance(value, Constructor):
        return value.name
    return bounded_repr(value, 60) if type(value) is int else f"a {type(value).__name__}"


def _check_extent(root: Any) -> None:
    """Refuse data that holds itself, or is too deep or too large; without recursion, each container once."""
    measured: dict[int, tuple[int, int]] = {}
    path: list[_Measured] = [_Measured(root)]
    open_containers = {id(root)}
    while path:
        inner = next(path[-1].inner, None)
        if inner is None:
            done = path.pop()
            open_containers.discard(id(done.container))
            measured[id(done.container)] = done.values, done.depth
            if path:
                path[-1].add(done.values, done.depth)
        elif id(inner) in measured:
            path[-1].add(*measured[id(inner)])
        elif id(inner) in open_containers:
            raise Refused("a container that holds itself")
        else:
            open_containers.add(id(inner))
            path.append(_Measured(inner))


class _Measured:
    """A container on the way from the root: how many values it has so far, and how deep they go."""

    def __init__(self, container: Any) -> None:
        parts = container if isinstance(container, _CONTAINERS) else ()
        self.container, self.values, self.depth = container, 1 + len(parts), 1
        values = parts.values() if isinstance(parts, dict) else parts
        self.inner = (part for part in values if isinstance(part, _CONTAINERS))

    def add(self, values: int, depth: int) -> None:
        self.values += values
        self.depth = max(self.depth, depth + 1)
        if self.values > MOST_VALUES:
            raise Refused(f"more than {MOST_VALUES:,} values, those that it shares counted wherever they stand")
        if self.depth > MOST_DEPTH:
            raise Refused(f"containers nested deeper than {MOST_DEPTH}")
