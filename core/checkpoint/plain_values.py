"""What names in a checkpoint's pickle may stand for, besides tensors: containers and numpy arrays."""

import re
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from core.checkpoint.plain_pickle import Constructor, DataDict, Refused, plain_key

# Booleans, integers, floats, complex numbers, bytes and text; not 'O' (objects) nor records.
_DTYPE = re.compile(r"[<>=|]?([?bB]|[iu][1248]|f[248]|c(8|16)|[SUa]\d{1,6})")
_BYTE_ORDERS = ("<", ">", "=", "|")


def plain_names() -> dict[tuple[str, str], Constructor]:
    """Return the constructors of containers and of numpy's arrays, dtypes and scalars."""
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
                                                   "f8", "c8", "c16", "S1", "U1")}
        names.update({("numpy", f"dtype of {kind.__name__}"): Constructor(kind.__name__, None, _dtype_state, kind)
                      for kind in kinds})
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        names[module, "_reconstruct"] = Constructor("numpy array", _array, _array_state, np.ndarray)
        names[module, "scalar"] = Constructor("numpy scalar", _scalar)
    return names


def _ordered_dict(items: Iterable[Any] = ()) -> "OrderedDict[Any, Any]":
    return OrderedDict((plain_key(key), value) for key, value in items)


def _ignored(target: Any, state: Any) -> None:
    """A state dict's ``_metadata``: versions of torch's modules, which say nothing of the weights."""


def _default_dict(factory: Any = None) -> DataDict:
    return DataDict()


def _data_dict(*items: Any) -> DataDict:
    # addict gives its items as arguments, too; they follow as items.
    return DataDict()


def _data_dict_state(target: DataDict, state: Any) -> None:
    if isinstance(state, dict):
        target.update(state)


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
        raise Refused(f"numpy.dtype({code!r:.40})")
    # A copy, as its state is set: the common ones are shared by the whole process.
    return np.dtype(code, False, True)


def _dtype_state(target: Any, state: Any) -> None:
    if (not isinstance(state, tuple) or len(state) not in (8, 9) or state[1] not in _BYTE_ORDERS
            or state[2:5] != (None, None, None) or any(type(number) is not int for number in state[5:8])
            or state[8:] not in ((), (None,))):
        raise Refused("a numpy.dtype with fields, objects or metadata")
    size = target.itemsize
    if state[5] not in (-1, size):
        raise Refused(f"a numpy.dtype of {state[5]} bytes that is one of {size}")
    target.__setstate__(state)


def _array(kind: Any, shape: Any, code: Any) -> Any:
    import numpy as np

    if not isinstance(kind, Constructor) or kind.name != "numpy.ndarray" or shape != (0,):
        raise Refused("another array class than numpy.ndarray")
    return np.zeros(0, np.uint8)


def _array_state(target: Any, state: Any) -> None:
    import numpy as np

    if not isinstance(state, tuple) or len(state) != 5:
        raise Refused("a numpy array without its state")
    _, shape, dtype, fortran, content = state
    _check_dtype(dtype)
    if (not isinstance(shape, tuple) or any(type(side) is not int or side < 0 for side in shape) or len(shape) > 32
            or type(fortran) is not bool):
        raise Refused(f"a numpy array of shape {shape!r:.60}")
    size = 1
    for side in shape:
        size *= side
    if not isinstance(content, bytes) or len(content) != size * dtype.itemsize:
        raise Refused(f"a numpy array of shape {shape!r:.60} whose content has another size")
    target.__setstate__((1, shape, np.dtype(dtype), fortran, content))


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
