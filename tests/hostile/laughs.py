"""Checkpoints whose small pickle holds a value without end, at every place: ``python -m tests.hostile.laughs FOLDER``.

Run in a process of its own, as what never returns can only be ended from outside. Prints one JSON line a case: its
name and the message that it was refused with.
"""

import json
import struct
import sys
from functools import partial
from pathlib import Path

from tests.hostile.checkpoints import (
    ARRAY,
    F4,
    call,
    in_meta,
    latin,
    legacy,
    meta,
    name_of,
    number,
    numbers,
    read,
    storage,
    tensor,
    text,
    weights,
    zipped,
)

_WIDTH, _DEPTH = 10, 40
_MEMO = 100


def laugh() -> bytes:
    """Return the opcodes of a tuple that shares its parts so that its ``repr`` would have 10**40 words."""
    made = text("lol") + b"q" + bytes([_MEMO])
    for depth in range(_DEPTH):
        inner = b"h" + bytes([_MEMO + depth])
        made += b"0(" + inner * _WIDTH + b"tq" + bytes([_MEMO + depth + 1])
    return made


def circle() -> bytes:
    """Return the opcodes of a list that holds itself."""
    return b"]q\x63h\x63a"


def deep() -> bytes:
    """Return the opcodes of a tuple within 10,000 tuples."""
    return b")" + b"\x85" * 10_000


def large() -> bytes:
    """Return the opcodes of a list that holds one list so often that there are nine million numbers."""
    return b"](" + b"K\x00" * 3000 + b"eq\x630](" + b"h\x63" * 3000 + b"e"


LAUGHS = {"laughs": laugh, "circle": circle, "deep": deep, "large": large}


def places(value: bytes) -> dict[str, bytes]:
    """Return a pickle for each place of a checkpoint at which ``value`` can stand."""
    sound = tensor(numbers(4), numbers(1))
    listed = b"]" + value + b"a"
    found = {
        "whole": b"\x80\x02" + value + b".", "weights": weights(value),
        "state_dict": b"\x80\x02}" + text("state_dict") + value + b"s.",
        "top-level key": b"\x80\x02}" + value + sound + b"s.", "top-level entry": meta(text("x") + value),
        "version": in_meta("versions", b"}" + text("torch") + value + b"s"), "versions": in_meta("versions", value),
        "optimizer": meta(text("optimizer") + value), "progress": meta(text("progress") + b"}" + text("a") + value
                                                                       + b"s"),
        "nncf": meta(text("nncf") + value), "nncf config": meta(text("nncf") + b"}" + text("config") + value + b"s"),
        "class names": in_meta("CLASSES", value), "class name": in_meta("CLASSES", listed),
        "config": in_meta("config", value), "epoch": in_meta("epoch", value),
        "set": in_meta("a", call("builtins", "set", value)),
        "set element": in_meta("a", call("builtins", "set", listed)),
        "ordered": in_meta("a", call("collections", "OrderedDict", value)),
        "torch.Size": in_meta("a", call("torch", "Size", value)),
        "device": in_meta("a", call("torch", "device", value)),
        "device index": in_meta("a", call("torch", "device", text("cuda"), value)),
        "tensor size": weights(tensor(value, numbers(1))), "tensor stride": weights(tensor(numbers(4), value)),
        "tensor of": weights(tensor(numbers(4), numbers(1), of=value)),
        "hooks": weights(name_of("torch._utils", "_rebuild_tensor_v2") + b"(" + storage() + number(0) + numbers(4)
                         + numbers(1) + b"\x89" + value + b"tR"),
        "persistent id": weights(value + b"Q"),
        "storage key": weights(tensor(numbers(4), numbers(1), of=b"(" + text("storage") + name_of(
            "torch", "FloatStorage") + value + text("cpu") + number(4) + b"tQ")),
        "storage size": weights(tensor(numbers(4), numbers(1), of=b"(" + text("storage") + name_of(
            "torch", "FloatStorage") + text("0") + text("cpu") + value + b"tQ")),
        "storage type": weights(tensor(numbers(4), numbers(1), of=b"(" + text("storage") + value + text("0") + text(
            "cpu") + number(4) + b"tQ")),
        "attributes": in_meta("a", call("torch._tensor", "_rebuild_from_type_v2", name_of(
            "torch._utils", "_rebuild_tensor_v2"), name_of("torch", "Tensor"), value, b"N")),
        "dtype": in_meta("a", call("numpy", "dtype", value)), "dtype state": in_meta("a", F4 + value + b"b"),
        "dtype metadata": in_meta("a", call("numpy", "dtype", text("M8")) + b"(" + number(4) + text("<") + b"NNN"
                                  + number(-1) + number(-1) + number(0) + value + b"tb"),
        "array shape": in_meta("a", ARRAY + b"(" + number(1) + value + F4 + b"\x89" + latin("abcd") + b"tb"),
        "array content": in_meta("a", ARRAY + b"(" + number(1) + numbers(1) + F4 + b"\x89" + value + b"tb"),
        "array state": in_meta("a", ARRAY + value + b"b"),
        "scalar": in_meta("a", call("numpy.core.multiarray", "scalar", F4, value)),
        "datetime": in_meta("a", call("datetime", "datetime", value)),
        "codec": in_meta("a", call("_codecs", "encode", text("a"), value)), "called": weights(value + b")R"),
        "arguments": weights(name_of("collections", "OrderedDict") + value + b"R"),
        "built": weights(value + b"}b"), "extended": weights(value + b"(Ne"),
        "global": weights(value + text("x") + b"\x93")}
    return found


def main() -> None:
    """Read every case and say what became of it."""
    folder = Path(sys.argv[1])
    for kind, make in LAUGHS.items():
        for place, content in places(make()).items():
            for form in (zipped, partial(legacy, keys=(), data=struct.pack("<q", 0))):
                try:
                    read(form(content, folder, folder))
                    said = ""
                except Exception as error:  # noqa: BLE001 - whatever it is, the test wants to see it
                    said = f"{type(error).__name__}: {error}"
                print(json.dumps([f"{kind}, {place}", said]), flush=True)


if __name__ == "__main__":
    main()
