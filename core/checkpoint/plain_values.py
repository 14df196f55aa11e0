"""What names in a checkpoint's pickle may stand for, besides tensors: containers, numpy arrays, dates and times."""

import datetime
import math
import re
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np

from core.base.text import bounded_repr
from core.checkpoint.plain_pickle import Constructor, DataDict, Names, Refused, plain_key

# Booleans, integers, floats, complex numbers, dates, bytes and text; not 'O' (objects) nor records.
_DTYPE = re.compile(r"[<>=|]?([?bB]|b1|[iu][1248]|f[248]|c(8|16)|[mM]8|[SUa]\d{1,6})")
_TIME_UNITS = (b"generic", b"Y", b"M", b"W", b"D", b"h", b"m", b"s", b"ms", b"us", b"ns", b"ps", b"fs", b"as")
_BYTE_ORDERS = ("<", ">", "=", "|")
_MOST_DIMENSIONS, _LARGEST_SIDE = 32, 1 << 62


def _data_dict_state(target: DataDict, state: Any) -> DataDict:
    if isinstance(state, dict):
        target.update(state)
    return target


def _encoded(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise Refused("_codecs.encode of something else than latin1 text")
    return text.encode("latin1")


def _dtype(code: Any, align: Any = False, copy: Any = True) -> Any:
    if not isinstance(code, str) or not _DTYPE.fullmatch(code):
        raise Refused(f"numpy.dtype({bounded_repr(code, 40)})")
    # A copy for each call, so that the place of one is not taken for another's.
    return np.dtype(np.dtype(code), copy=True)


def _dtype_state(target: Any, state: Any) -> Any:
    """Return the dtype of the byte order that a state names; nothing else of it may differ from numpy's own.

    numpy would believe any size and alignment, and a dtype is shared by all arrays of it: it is never changed.
    """
    if not isinstance(state, tuple) or len(state) not in (8, 9) or state[1] not in _BYTE_ORDERS:
        raise Refused("a numpy.dtype with fields, objects or metadata")
    own = target.newbyteorder(state[1])
    if target.kind in "mM" and len(state) == 9:
        own = np.dtype(f"{own.byteorder}{target.kind}8[{_time_unit(state[8])}]")
    elif state[8:] not in ((), (None,)):
        raise Refused("a numpy.dtype with fields, objects or metadata")
    expected = own.__reduce__()[2]
    if any(type(found) is not type(wanted) or found != wanted for found, wanted in zip(state[2:8], expected[2:8])):
        raise Refused(f"a numpy.dtype whose state is {bounded_repr(state[2:8], 80)} where that of {own} is "
                      f"{bounded_repr(expected[2:8], 80)}")
    return target if own == target else own


def _time_unit(metadata: Any) -> str:
    """Return the unit that a date's dtype is pickled with: ``({}, (unit, number, 1, 1))``."""
    unit = metadata[1] if isinstance(metadata, tuple) and len(metadata) == 2 and metadata[0] == {} else ()
    if (not isinstance(unit, tuple) or len(unit) != 4 or unit[0] not in _TIME_UNITS or type(unit[1]) is not int
            or not 0 < unit[1] < 1 << 31 or unit[2:] != (1, 1)):
        raise Refused(f"a numpy.dtype of the unit {bounded_repr(metadata, 60)}")
    return f"{unit[1]}{unit[0].decode()}" if unit[0] != b"generic" else "generic"


def _array(kind: Any, shape: Any, code: Any) -> Any:
    if not isinstance(kind, Constructor) or kind.name != "numpy.ndarray" or shape != (0,):
        raise Refused("another array class than numpy.ndarray")
    return np.zeros(0, np.uint8)


def _array_state(target: Any, state: Any) -> Any:
    if target.size:
        raise Refused("a second state of a numpy array")
    if not isinstance(state, tuple) or len(state) != 5:
        raise Refused("a numpy array without its state")
    _, shape, dtype, fortran, content = state
    _check_content(content, dtype, shape)
    if type(fortran) is not bool:
        raise Refused("a numpy array of no order")
    # numpy works in the very memory of the bytes that it is given, and the pickle could give them to several arrays.
    target.__setstate__((1, shape, dtype, fortran, bytes(bytearray(content))))
    return target


def _array_of(content: Any, dtype: Any, shape: Any, order: Any) -> Any:
    """Return an array as pickle protocol 5 describes it (numpy/core/numeric.py, ``_frombuffer``)."""
    _check_content(content, dtype, shape)
    if order not in ("C", "F"):
        raise Refused("a numpy array of no order")
    return np.frombuffer(bytearray(content), dtype).reshape(shape, order=order)


def _check_content(content: Any, dtype: Any, shape: Any) -> None:
    """Refuse anything but an array of numbers or text whose content has exactly the bytes that it needs."""
    if not isinstance(dtype, np.dtype) or dtype.hasobject or dtype.fields is not None:
        raise Refused("a numpy array of objects or records")
    if (not isinstance(shape, tuple) or len(shape) > _MOST_DIMENSIONS
            or any(type(side) is not int or not 0 <= side < _LARGEST_SIDE for side in shape)):
        raise Refused(f"a numpy array of shape {bounded_repr(shape, 60)}")
    if not isinstance(content, bytes) or len(content) != math.prod(shape) * dtype.itemsize:
        raise Refused(f"a numpy array of shape {bounded_repr(shape, 60)} whose content has another size")


def _moment(kind: Callable[..., Any], widths: tuple[int, ...], content: Any, zone: Any = None) -> Any:
    """Return a date or a time of the bytes in which Python pickles it (CPython, Lib/_pydatetime.py, ``_getstate``).

    ``widths`` are the bytes of each of the constructor's numbers.
    """
    if not isinstance(content, bytes) or len(content) != sum(widths):
        raise Refused(f"a datetime.{kind.__name__} of something else than its {sum(widths)} bytes")
    if zone is not None and type(zone) is not datetime.timezone:
        raise Refused("a time zone that is not one of Python's own")
    numbers = (int.from_bytes(content[end - width:end], "big") for width, end in zip(widths, accumulate(widths)))
    return kind(*numbers) if zone is None else kind(*numbers, zone)


def typed(make: Callable[..., Any], kinds: tuple[type, ...], refusal: str) -> Callable[..., Any]:
    """Return a constructor that calls ``make`` with arguments of exactly these types, or with fewer of them.

    Raises:
        Refused: There are more, or others; says ``refusal``.
    """
    def make_typed(*arguments: Any) -> Any:
        if len(arguments) > len(kinds) or any(type(value) is not kind for value, kind in zip(arguments, kinds)):
            raise Refused(refusal)
        return make(*arguments)

    return make_typed


# mmcv's own containers are read as plain dictionaries: their class would bring behaviour along. addict gives its items
# as arguments, too; they follow as items.
_AS_DICT = Constructor("ConfigDict", lambda *items: DataDict(), _data_dict_state, DataDict)
_DTYPE_KINDS = {type(np.dtype(code)) for code in ("?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8",
                                                  "c8", "c16", "M8", "m8", "S1", "U1")}
PLAIN_NAMES: Names = {
    # The state is a state dict's ``_metadata``: versions of torch's modules, which say nothing of the weights.
    ("collections", "OrderedDict"): Constructor(
        "OrderedDict", lambda items=(): OrderedDict((plain_key(key), value) for key, value in items),
        lambda target, state: target, OrderedDict),
    ("collections", "defaultdict"): Constructor("defaultdict", lambda factory=None: DataDict()),
    ("mmcv.utils.config", "ConfigDict"): _AS_DICT, ("addict.addict", "Dict"): _AS_DICT,
    # What protocol 2 makes of bytes.
    ("_codecs", "encode"): Constructor("_codecs.encode", _encoded),
    ("numpy", "ndarray"): Constructor("numpy.ndarray"), ("numpy", "dtype"): Constructor("numpy.dtype", _dtype),
    **{("numpy", f"dtype of {kind.__name__}"): Constructor(kind.__name__, None, _dtype_state, kind)
       for kind in _DTYPE_KINDS},
    **{(module, name): constructor for module in ("builtins", "__builtin__") for name, constructor in {
        "set": Constructor("set", lambda items=(): set(map(plain_key, items))),
        "frozenset": Constructor("frozenset", lambda items=(): frozenset(map(plain_key, items))),
        "bytes": Constructor("bytes", typed(bytes, (), "bytes of something")),
        # Only ever the factory of a defaultdict, which is left out.
        **{factory: Constructor(factory) for factory in ("list", "dict", "int", "float")}}.items()},
    **{(f"{package}.{module}", name): constructor for package in ("numpy.core", "numpy._core")
       for module, name, constructor in (
           ("multiarray", "_reconstruct", Constructor("numpy array", _array, _array_state, np.ndarray)),
           ("multiarray", "scalar", Constructor(
               "numpy scalar", lambda dtype, content=b"": _array_of(content, dtype, (), "C")[()])),
           ("numeric", "_frombuffer", Constructor("numpy array", _array_of)))},
    **{("datetime", name): Constructor(f"datetime.{name}", make) for name, make in {
        "datetime": partial(_moment, datetime.datetime, (2, 1, 1, 1, 1, 1, 3)),
        "date": partial(_moment, datetime.date, (2, 1, 1)),
        "time": partial(_moment, datetime.time, (1, 1, 1, 3)),
        "timedelta": typed(datetime.timedelta, (int, int, int),
                           "a datetime.timedelta of something else than whole numbers"),
        "timezone": typed(datetime.timezone, (datetime.timedelta, str),
                          "a datetime.timezone of something else than an offset and a name")}.items()}}
"""The constructors of containers, of numpy's arrays, dtypes and scalars, and of dates and times."""
