"""What names in a checkpoint's pickle may stand for, besides tensors: containers, numpy arrays, dates and times."""

import datetime
import re
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from core.base.text import bounded_repr
from core.checkpoint.plain_pickle import Constructor, DataDict, Refused, plain_key

# Booleans, integers, floats, complex numbers, dates, bytes and text; not 'O' (objects) nor records.
_DTYPE = re.compile(r"[<>=|]?([?bB]|b1|[iu][1248]|f[248]|c(8|16)|[mM]8|[SUa]\d{1,6})")
_TIME_UNITS = (b"generic", b"Y", b"M", b"W", b"D", b"h", b"m", b"s", b"ms", b"us", b"ns", b"ps", b"fs", b"as")
_BYTE_ORDERS = ("<", ">", "=", "|")
_MOST_DIMENSIONS, _LARGEST_SIDE = 32, 1 << 62


def plain_names() -> dict[tuple[str, str], Constructor]:
    """Return the constructors of containers, of numpy's arrays, dtypes and scalars, and of dates and times."""
    import numpy as np

    names = {("collections", "OrderedDict"): Constructor("OrderedDict", _ordered_dict, _ignored, OrderedDict),
             ("collections", "defaultdict"): Constructor("defaultdict", _default_dict)}
    # mmcv's own containers are read as plain dictionaries: their class would bring behaviour along.
    as_dict = Constructor("ConfigDict", _data_dict, _data_dict_state, DataDict)
    names.update({("mmcv.utils.config", "ConfigDict"): as_dict, ("addict.addict", "Dict"): as_dict})
    for module in ("builtins", "__builtin__"):
        names.update({(module, "set"): Constructor("set", _set),
                      (module, "frozenset"): Constructor("frozenset", _frozen),
                      (module, "bytes"): Constructor("bytes", _bytes),
                      # Only ever the factory of a defaultdict, which is left out.
                      (module, "list"): Constructor("list"), (module, "dict"): Constructor("dict"),
                      (module, "int"): Constructor("int"), (module, "float"): Constructor("float")})
    # What protocol 2 makes of bytes.
    names["_codecs", "encode"] = Constructor("_codecs.encode", _encoded)
    names.update({("numpy", "ndarray"): Constructor("numpy.ndarray"),
                  ("numpy", "dtype"): Constructor("numpy.dtype", _dtype, _dtype_state, type(np.dtype("f4")))})
    if type(np.dtype("f4")) is not np.dtype:
        # From numpy 1.20 on every dtype has a class of its own.
        kinds = {type(np.dtype(code)) for code in ("?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4",
                                                   "f8", "c8", "c16", "M8", "m8", "S1", "U1")}
        names.update({("numpy", f"dtype of {kind.__name__}"): Constructor(kind.__name__, None, _dtype_state, kind)
                      for kind in kinds})
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        names[module, "_reconstruct"] = Constructor("numpy array", _array, _array_state, np.ndarray)
        names[module, "scalar"] = Constructor("numpy scalar", _scalar)
    for module in ("numpy.core.numeric", "numpy._core.numeric"):
        names[module, "_frombuffer"] = Constructor("numpy array", _array_of)
    names.update({("datetime", kind.__name__): Constructor(f"datetime.{kind.__name__}", make)
                  for kind, make in ((datetime.datetime, _datetime), (datetime.date, _date), (datetime.time, _time),
                                     (datetime.timedelta, _timedelta), (datetime.timezone, _timezone))})
    return names


def _ordered_dict(items: Iterable[Any] = ()) -> "OrderedDict[Any, Any]":
    return OrderedDict((plain_key(key), value) for key, value in items)


def _ignored(target: Any, state: Any) -> Any:
    """Leave out a state dict's ``_metadata``: versions of torch's modules, which say nothing of the weights."""
    return target


def _default_dict(factory: Any = None) -> DataDict:
    return DataDict()


def _data_dict(*items: Any) -> DataDict:
    # addict gives its items as arguments, too; they follow as items.
    return DataDict()


def _data_dict_state(target: DataDict, state: Any) -> DataDict:
    if isinstance(state, dict):
        target.update(state)
    return target


def _set(items: Any = ()) -> set:
    return set(map(plain_key, items))


def _frozen(items: Any = ()) -> frozenset:
    return frozenset(_set(items))


def _bytes() -> bytes:
    return b""


def _encoded(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise Refused("_codecs.encode of something else than latin1 text")
    return text.encode("latin1")


def _dtype(code: Any, align: Any = False, copy: Any = True) -> Any:
    import numpy as np

    if not isinstance(code, str) or not _DTYPE.fullmatch(code):
        raise Refused(f"numpy.dtype({bounded_repr(code, 40)})")
    # A copy for each call, so that the place of one is not taken for another's.
    return np.dtype(np.dtype(code), copy=True)


def _dtype_state(target: Any, state: Any) -> Any:
    """Return the dtype of the byte order that a state names; nothing else of it may differ from numpy's own.

    numpy would believe any size and alignment, and a dtype is shared by all arrays of it: it is never changed.
    """
    import numpy as np

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
    import numpy as np

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
    import numpy as np

    _check_content(content, dtype, shape)
    if order not in ("C", "F"):
        raise Refused("a numpy array of no order")
    return np.frombuffer(bytearray(content), dtype).reshape(shape, order=order)


def _check_content(content: Any, dtype: Any, shape: Any) -> None:
    """Refuse what is no array of numbers or text whose content has exactly the bytes that it needs."""
    _check_dtype(dtype)
    if (not isinstance(shape, tuple) or len(shape) > _MOST_DIMENSIONS
            or any(type(side) is not int or not 0 <= side < _LARGEST_SIDE for side in shape)):
        raise Refused(f"a numpy array of shape {bounded_repr(shape, 60)}")
    size = 1
    for side in shape:
        size *= side
    if not isinstance(content, bytes) or len(content) != size * dtype.itemsize:
        raise Refused(f"a numpy array of shape {bounded_repr(shape, 60)} whose content has another size")


def _scalar(dtype: Any, content: Any = b"") -> Any:
    import numpy as np

    _check_dtype(dtype)
    if not isinstance(content, bytes) or len(content) != dtype.itemsize:
        raise Refused("a numpy scalar whose content has another size")
    return np.frombuffer(content, dtype)[0]


def _check_dtype(dtype: Any) -> None:
    import numpy as np

    if not isinstance(dtype, np.dtype) or dtype.hasobject or dtype.fields is not None:
        raise Refused("a numpy array of objects or records")


def _datetime(moment: Any, zone: Any = None) -> datetime.datetime:
    parts = _parts_of(moment, 10, "datetime.datetime")
    _check_zone(zone)
    return datetime.datetime(_number(parts[:2]), *parts[2:7], _number(parts[7:]), zone)


def _date(day: Any) -> datetime.date:
    parts = _parts_of(day, 4, "datetime.date")
    return datetime.date(_number(parts[:2]), *parts[2:])


def _time(moment: Any, zone: Any = None) -> datetime.time:
    parts = _parts_of(moment, 6, "datetime.time")
    _check_zone(zone)
    return datetime.time(*parts[:3], _number(parts[3:]), zone)


def _timedelta(days: Any = 0, seconds: Any = 0, microseconds: Any = 0) -> datetime.timedelta:
    if any(type(number) is not int for number in (days, seconds, microseconds)):
        raise Refused("a datetime.timedelta of something else than whole numbers")
    return datetime.timedelta(days, seconds, microseconds)


def _timezone(offset: Any, name: Any = None) -> datetime.timezone:
    if type(offset) is not datetime.timedelta or not isinstance(name, (str, type(None))):
        raise Refused("a datetime.timezone of something else than an offset and a name")
    return datetime.timezone(offset) if name is None else datetime.timezone(offset, name)


def _parts_of(content: Any, count: int, name: str) -> bytes:
    """Return the bytes in which Python pickles a date or a time (CPython, Lib/_pydatetime.py, ``_getstate``)."""
    if not isinstance(content, bytes) or len(content) != count:
        raise Refused(f"a {name} of something else than its {count} bytes")
    return content


def _number(content: bytes) -> int:
    return int.from_bytes(content, "big")


def _check_zone(zone: Any) -> None:
    if zone is not None and type(zone) is not datetime.timezone:
        raise Refused("a time zone that is none of Python's own")
