"""Checkpoints that no training wrote: pickles spelled by hand in both of torch's file formats."""

import io
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.hostile.case import Case

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
# A storage of four numbers, as the older format has it.
FOUR = struct.pack("<q", 4) + bytes(16)
# Callables that run code, write files or open connections, each with arguments that would create the canary.
GADGETS = {
    "os.system": "touch {canary}", "posix.system": "touch {canary}", "nt.system": "touch {canary}",
    "os.popen": "touch {canary}", "subprocess.call": ["touch", "{canary}"], "subprocess.Popen": ["touch", "{canary}"],
    "subprocess.check_output": ["touch", "{canary}"], "pty.spawn": ["touch", "{canary}"],
    "builtins.eval": "open({canary!r}, 'w')", "__builtin__.eval": "open({canary!r}, 'w')",
    "builtins.exec": "open({canary!r}, 'w')", "builtins.open": "{canary}", "builtins.compile": "1",
    "builtins.getattr": "x", "builtins.__import__": "os", "io.open": "{canary}", "pathlib.Path": "{canary}",
    "runpy.run_path": "{canary}", "importlib.import_module": "antigravity", "pickle.loads": "x",
    "numpy.load": "{canary}", "numpy.fromfile": "{canary}", "numpy.testing._private.utils.runstring": "1",
    "torch.load": "{canary}", "torch.jit.load": "{canary}", "torch.hub.load": "a/b",
    "torch.utils.cpp_extension.load": "x", "torch._utils._rebuild_sparse_tensor": "x", "torch.nn.Linear": "1",
    "mmcv.Config.fromfile": "{canary}", "mmcv.utils.config.Config": "x", "mmcv.load": "{canary}",
    "functools.partial": "x", "operator.attrgetter": "system", "types.FunctionType": "x", "codecs.decode": "x",
    "timeit.timeit": "open({canary!r}, 'w')", "cProfile.run": "open({canary!r}, 'w')", "pdb.run": "1",
    "code.interact": "x", "ctypes.CDLL": "libc.so.6", "shutil.rmtree": "/nonexistent", "urllib.request.urlopen": "x",
    "webbrowser.open": "x", "logging.config.dictConfig": "x", "multiprocessing.util.spawnv_passfds": "x",
    "copyreg._reconstructor": "x", "core.storage.store.open_store": "{canary}"}


def name_of(module: str, name: str) -> bytes:
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def call(module: str, name: str, *arguments: bytes) -> bytes:
    return name_of(module, name) + b"(" + b"".join(arguments) + b"tR"


def number(value: int) -> bytes:
    data = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def numbers(*values: int) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def storage(kind: str = "FloatStorage", count: int = 4, key: str = "0", module: str = "torch",
            view: bytes = b"") -> bytes:
    """Return a storage by its persistent id."""
    return b"(" + text("storage") + name_of(module, kind) + text(key) + text("cpu") + number(count) + view + b"tQ"


def tensor(size: bytes, stride: bytes, offset: int = 0, of: bytes = storage()) -> bytes:
    return (name_of("torch._utils", "_rebuild_tensor_v2") + b"(" + of + number(offset) + size + stride + b"\x89"
            + call("collections", "OrderedDict") + b"tR")


def weights(value: bytes) -> bytes:
    """Return a pickle of {"state_dict": {"w": value}}."""
    return b"\x80\x02}" + text("state_dict") + b"}" + text("w") + value + b"ss."


def zipped(content: bytes, folder: Path, canary: Path, records=(("data/0", bytes(16)),), **options) -> Path:
    path = folder / "hostile.pth"
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in (("data.pkl", content), *records):
            archive.writestr(f"archive/{name}", data)
    return path


def legacy(content: bytes, folder: Path, canary: Path, keys=("0",), data=FOUR) -> Path:
    path = folder / "hostile.pth"
    heads = b"".join(pickle.dumps(value, 2) for value in (MAGIC, PROTOCOL, {"little_endian": True}))
    path.write_bytes(heads + content + pickle.dumps(list(keys), 2) + data)
    return path


def raw(content: bytes, folder: Path, canary: Path) -> Path:
    path = folder / "hostile.pth"
    path.write_bytes(content)
    return path


def gadget(target: str, argument, container: Callable[..., Path], folder: Path, canary: Path) -> Path:
    module, name = target.rsplit(".", 1)
    spelled = [part.format(canary=str(canary)) for part in ([argument] if isinstance(argument, str) else argument)]
    value = text(spelled[0]) if isinstance(argument, str) else b"(" + b"".join(map(text, spelled)) + b"l"
    return container(weights(call(module, name, value)), folder, canary)


def damaged(cut: float, folder: Path, canary: Path) -> Path:
    path = zipped(weights(tensor(numbers(4), numbers(1))), folder, canary)
    content = path.read_bytes()
    path.write_bytes(content[:int(len(content) * cut)])
    return path


def flipped(folder: Path, canary: Path) -> Path:
    path = zipped(weights(tensor(numbers(4), numbers(1))), folder, canary, [("data/0", b"\x01" * 16)])
    content = bytearray(path.read_bytes())
    content[content.index(b"\x01" * 16)] ^= 0xFF
    path.write_bytes(bytes(content))
    return path


def tar(folder: Path, canary: Path) -> Path:
    path = folder / "hostile.pth"
    with tarfile.open(path, "w") as archive:
        for name in ("storages", "tensors", "pickle", "../../escaped"):
            entry = tarfile.TarInfo(name)
            entry.size = 4
            archive.addfile(entry, io.BytesIO(b"I1\n."))
    return path


def twice(folder: Path, canary: Path) -> Path:
    path = folder / "hostile.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", weights(b"N"))
        archive.writestr("b/data.pkl", weights(b"N"))
    return path


def read(path: Path):
    from core.checkpoint.checkpoint import load_checkpoint

    return load_checkpoint(path)


ARRAY = call("numpy.core.multiarray", "_reconstruct", name_of("numpy", "ndarray"), numbers(0), text("b"))


def array(dtype: bytes, shape: bytes, content: bytes) -> bytes:
    return ARRAY + b"(" + number(1) + shape + dtype + b"\x89" + content + b"tb"


def dtype(code: str) -> bytes:
    return call("numpy", "dtype", text(code), number(0), number(1))


def latin(value: str) -> bytes:
    return call("_codecs", "encode", text(value), text("latin1"))


def meta(value: bytes) -> bytes:
    return b"\x80\x02}" + text("state_dict") + b"}" + text("w") + tensor(numbers(4), numbers(1)) + b"ss" + value + b"s."


def in_meta(key: str, value: bytes) -> bytes:
    return meta(text("meta") + b"}" + text(key) + value + b"s")


F4 = dtype("f4")


def state(size: int, alignment: int, order: str = "|", version: int = 3) -> bytes:
    """Return the state of a numpy.dtype, as BUILD takes it."""
    return b"(" + number(version) + text(order) + b"NNN" + number(size) + number(alignment) + number(0) + b"tb"


def text_array(before: bytes, after: bytes) -> bytes:
    """Return an array of two texts of eight bytes whose dtype, in the memo, gets states before and after it is used."""
    return (dtype("S8") + b"q\x05" + before + ARRAY + b"(" + number(1) + numbers(2) + b"h\x05\x89" + latin("A" * 16)
            + b"tbq\x06h\x05" + after + b"0h\x060")


# What was checked and is changed afterwards, by its place in the memo.
CHANGED = {
    "numpy dtype whose size becomes -1": in_meta("a", text_array(b"", state(-1, -1)) + b"h\x06"),
    "numpy dtype whose alignment becomes 0": in_meta("a", text_array(b"", state(8, 0)) + b"h\x06"),
    "numpy dtype of size -1": in_meta("a", text_array(state(-1, -1), b"") + b"h\x06"),
    "numpy dtype of alignment 0": in_meta("a", text_array(state(8, 0), b"") + b"h\x06"),
    "numpy dtype of 2**31 bytes": in_meta("a", text_array(state(1 << 31, 1), b"") + b"h\x06"),
    "numpy dtype whose state is true": in_meta("a", F4 + b"(" + number(3) + text("<") + b"NNN" + number(-1)
                                               + number(-1) + b"\x89tb"),
    "numpy array with a second state": in_meta("a", array(F4, numbers(2), latin("x" * 8)) + b"(" + number(1)
                                               + numbers(1) + F4 + b"\x89" + latin("x" * 4) + b"tb"),
    "numpy array with attributes": in_meta("a", array(F4, numbers(2), latin("x" * 8)) + b"}" + text("shape")
                                           + numbers(1 << 40) + b"sb"),
    "torch.Size with items": weights(call("torch", "Size", numbers(4)) + b"(" + number(1) + b"e"),
    "torch.dtype with attributes": in_meta("a", name_of("torch", "float32") + b"}" + text("itemsize") + number(1)
                                           + b"sb"),
    "storage with items": weights(storage() + number(0) + number(1) + b"s"),
}
PICKLES = {
    "name that is a value": weights(name_of("torch", "FloatStorage")),
    "call of a container": weights(b"](tR"),
    "call without a tuple": weights(name_of("collections", "OrderedDict") + text("x") + b"R"),
    "attributes for a function": weights(name_of("torch._utils", "_rebuild_tensor_v2") + b"}" + text("a") + b"Nsb"),
    "attributes for a class": weights(name_of("torch", "FloatStorage") + b"}" + text("a") + b"Nsb"),
    "attributes for a number": weights(number(1) + b"}b"),
    "attributes for a tensor": weights(tensor(numbers(4), numbers(1)) + b"}" + text("__class__") + b"Nsb"),
    "items for a tuple": weights(b")" + text("a") + b"Ns"),
    "items for a tensor": weights(tensor(numbers(4), numbers(1)) + number(0) + number(1) + b"s"),
    "INST opcode": weights(b"(ios\nsystem\n"),
    "OBJ opcode": weights(b"(" + name_of("collections", "OrderedDict") + b"o"),
    "EXT1 opcode": weights(b"\x82\x01"), "PERSID opcode": weights(b"Pstorage\n"),
    "NEWOBJ_EX opcode": weights(name_of("collections", "OrderedDict") + b")}\x92"),
    "number as text of a million digits": weights(b"I" + b"9" * 1_000_000 + b"\n"),
    "unknown opcode": weights(b"\xff"), "stack that is empty": b"\x80\x02s.", "no end": b"\x80\x02}",
    "protocol 99": b"\x80\x63N.", "text of 4 GB": b"\x80\x02X" + b"\xff" * 4 + b"a.",
    "text of 2**63 bytes": b"\x80\x02\x8d" + b"\xff" * 7 + b"\x7f" + b"a.",
    "frame of 2**60 bytes": b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + b"N.",
    "memo index never set": weights(b"h\x05"), "text that is not UTF-8": weights(b"X\x02\x00\x00\x00\xff\xfe"),
    "list as a key": b"\x80\x02}]Ns.", "deep tuple as a key": b"\x80\x02}" + b")" + b"\x85" * 50_000 + b"Ns.",
    "odd number of items": b"\x80\x02(" + text("a") + b"d.",
    "number": b"\x80\x02K\x01.", "list that holds itself": b"\x80\x02]q\x00h\x00a.", "empty dictionary": b"\x80\x02}.",
    "weights that are text": weights(text("x")), "weights in a list": b"\x80\x02}" + text("state_dict") + b"]s.",
    "key of weights that is a number": b"\x80\x02}" + text("state_dict") + b"}" + number(1)
    + tensor(numbers(4), numbers(1)) + b"ss.",
    "storage of an unknown type": weights(tensor(numbers(4), numbers(1), of=storage("ComplexStorage"))),
    "storage of another module": weights(tensor(numbers(4), numbers(1), of=storage("device", module="torch"))),
    "storage of more elements than it has": weights(tensor(numbers(9), numbers(1), of=storage(count=9))),
    "storage of 2**60 elements": weights(tensor(numbers(4), numbers(1), of=storage(count=1 << 60))),
    "storage of -4 elements": weights(tensor(numbers(4), numbers(1), of=storage(count=-4))),
    "storage that is absent": weights(tensor(numbers(4), numbers(1), of=storage(key="7"))),
    "storage outside the archive": weights(tensor(numbers(4), numbers(1), of=storage(key="../../../etc/passwd"))),
    "persistent id that is text": weights(text("storage") + b"Q"),
    "persistent id of a module": weights(b"(" + text("module") + name_of("torch", "FloatStorage") + b"NNNtQ"),
    "tensor beyond its storage": weights(tensor(numbers(5), numbers(1))),
    "tensor beyond its storage by stride": weights(tensor(numbers(2), numbers(1 << 40))),
    "tensor beyond its storage by offset": weights(tensor(numbers(4), numbers(1), offset=1)),
    "tensor of negative size": weights(tensor(numbers(-4), numbers(1))),
    "tensor of negative stride": weights(tensor(numbers(4), numbers(-1), offset=3)),
    "tensor of negative offset": weights(tensor(numbers(4), numbers(1), offset=-1)),
    "tensor that repeats one element 10**12 times": weights(tensor(numbers(10 ** 6, 10 ** 6), numbers(0, 0))),
    "tensor of 40 dimensions": weights(tensor(numbers(*[1] * 40), numbers(*[1] * 40))),
    "tensor of size 2**70": weights(tensor(numbers(1 << 70), numbers(0))),
    "tensor of fewer strides than sizes": weights(tensor(numbers(2, 2), numbers(1))),
    "tensor of no storage": weights(tensor(numbers(4), numbers(1), of=text("x"))),
    "parameter that is text": weights(call("torch._utils", "_rebuild_parameter", text("x"), b"\x88", b"N")),
    "numpy array of objects": in_meta("a", array(dtype("O8"), numbers(1), b"]" + text("x") + b"a")),
    "numpy array of records": in_meta("a", array(dtype("f4,f4"), numbers(1), latin("x" * 8))),
    "numpy array of negative shape": in_meta("a", array(F4, numbers(-1), latin("x" * 4))),
    "numpy array larger than its content": in_meta("a", array(F4, numbers(1 << 40), latin("x" * 4))),
    "numpy array of another class": in_meta("a", call("numpy.core.multiarray", "_reconstruct",
                                                      name_of("numpy", "dtype"), numbers(0), text("b"))),
    "numpy scalar of objects": in_meta("a", call("numpy.core.multiarray", "scalar", dtype("O8"), text("x"))),
    "numpy scalar cut off": in_meta("a", call("numpy.core.multiarray", "scalar", F4, latin("x"))),
    "numpy dtype with metadata": in_meta("a", F4 + b"(" + number(3) + text("<") + b"NNN" + number(-1) + number(-1)
                                         + number(0) + b"}tb"),
    "_codecs.encode by another codec": in_meta("a", call("_codecs", "encode", text("x"), text("rot13"))),
    "meta that is a number": meta(text("meta") + number(5)),
    "class names that are numbers": in_meta("CLASSES", numbers(1, 2)),
    "class names that are one number": in_meta("CLASSES", number(2)),
    # Neither has a truth, and both answer a comparison by as many as they hold.
    **{f"meta {key} that is a {name}": in_meta(key, value) for key in ("CLASSES", "config", "versions")
       for name, value in (("tensor", tensor(numbers(4), numbers(1))),
                           ("array", array(F4, numbers(2), latin("x" * 8))))},
    "config that is a list": in_meta("config", b"]"),
    "versions that are text": in_meta("versions", text("1.0")),
    "nncf entry that is a list": meta(text("nncf") + b"]"),
    "nncf entry without state": meta(text("nncf") + b"}" + text("config") + b"}s"),
    "nncf state that is text": meta(text("nncf") + b"}" + text("config") + b"}s" + text("compression_state")
                                    + text("x") + b"s"),
    "optimizer with an epoch that is text": meta(text("optimizer") + b"}s" + text("meta") + b"}" + text("epoch")
                                                 + text("x") + b"s" + text("iter") + number(1) + b"s"),
    "optimizer without an iteration": meta(text("optimizer") + b"}s" + text("meta") + b"}" + text("epoch") + number(1)
                                           + b"s"),
}


PICKLES.update(CHANGED)
PICKLES.update({
    "LONG4 opcode": in_meta("a", b"\x8b" + struct.pack("<i", 1000) + bytes(1000)),
    "integer of 2,000 bits as a key": in_meta("a", b"}" + number(1 << 2000) + b"Ns"),
    "buffer of 2**40 bytes": in_meta("a", b"\x96" + struct.pack("<Q", 1 << 40)),
    "five million opcodes": b"\x80\x02]" + b"N0" * 2_500_000 + b".",
    "one list given to many calls": b"\x80\x02](" + b"N" * 20_000 + b"eq\x01" + (
        name_of("builtins", "set") + b"h\x01\x85R0") * 2_000 + b".",
    "one text given to many calls": b"\x80\x02" + text("x" * 1_000_000) + b"q\x010" + (
        name_of("_codecs", "encode") + b"h\x01" + text("latin1") + b"\x86R0") * 2_000 + b"N.",
    "numpy array of bytes that are a list": in_meta("a", array(F4, numbers(1), b"]")),
    "numpy date of no unit": in_meta("a", dtype("M8") + b"(" + number(4) + text("<") + b"NNN" + number(-1) + number(-1)
                                     + number(0) + b"}(" + latin("parsec") + number(1) * 3 + b"t\x86tb"),
    "numpy array of no order": in_meta("a", call("numpy.core.numeric", "_frombuffer", latin("x" * 8), F4, numbers(2),
                                                 text("K"))),
    "datetime of month 13": in_meta("a", call("datetime", "datetime", latin("\x07\xe8\x0d\x01\0\0\0\0\0\0"))),
    "datetime of a tuple": in_meta("a", call("datetime", "datetime", numbers(2024, 1, 1))),
    "datetime of a zone of its own": in_meta("a", call("datetime", "datetime", latin("\x07\xe8\x01\x01" + "\0" * 6),
                                                       call("collections", "OrderedDict"))),
    "timedelta of text": in_meta("a", call("datetime", "timedelta", text("1"))),
    "timezone of text": in_meta("a", call("datetime", "timezone", text("1"))),
    "device of a name": in_meta("a", call("torch", "device", text("cpu; touch"))),
    "device of index 10**9": in_meta("a", call("torch", "device", text("cuda"), number(10 ** 9))),
    "untyped tensor of no type": weights(call("torch._utils", "_rebuild_tensor_v3", storage(
        "UntypedStorage", 16, module="torch.storage"), number(0), numbers(4), numbers(1), b"\x89", b"N",
        text("float32"))),
    "untyped tensor beyond its storage": weights(call("torch._utils", "_rebuild_tensor_v3", storage(
        "UntypedStorage", 16, module="torch.storage"), number(0), numbers(5), numbers(1), b"\x89", b"N", name_of(
        "torch", "float32"))),
    "tensor with attributes that is a list": weights(call("torch._tensor", "_rebuild_from_type_v2", name_of(
        "collections", "OrderedDict"), name_of("torch", "Tensor"), b")", b"N")),
    "tensor of an array of text": weights(call("torch._utils", "_rebuild_device_tensor_from_numpy", array(
        dtype("S8"), numbers(1), latin("x" * 8)), name_of("torch", "float32"), text("xla:0"), b"\x89")),
    "sparse tensor": weights(call("torch._utils", "_rebuild_sparse_tensor", name_of("torch", "float32"), b")")),
})


def overlapping(folder: Path, canary: Path, entries: int = 150, size: int = 1 << 16) -> Path:
    """Return a stored zip whose many entries are one and the same run of bytes."""
    records = [(f"data/{number}", bytes(size if number == 1 else 0)) for number in range(1, entries)]
    path = zipped(weights(tensor(numbers(4), numbers(1))), folder, canary, [("data/0", bytes(16)), *records])
    content, large = bytearray(path.read_bytes()), zipfile.ZipFile(path).getinfo("archive/data/1")
    begin = content.index(b"PK\x01\x02")
    while content[begin:begin + 4] == b"PK\x01\x02":
        name_bytes, extra_bytes, comment_bytes = struct.unpack_from("<HHH", content, begin + 28)
        if bytes(content[begin + 46:begin + 46 + name_bytes]).startswith(b"archive/data/") and (
                bytes(content[begin + 46:begin + 46 + name_bytes]) != b"archive/data/0"):
            struct.pack_into("<LLL", content, begin + 16, large.CRC, size, size)
            struct.pack_into("<L", content, begin + 42, large.header_offset)
        begin += 46 + name_bytes + extra_bytes + comment_bytes
    path.write_bytes(bytes(content))
    return path


def renamed(folder: Path, canary: Path) -> Path:
    """Return a zip whose index and header tell different names of a record."""
    path = zipped(weights(tensor(numbers(4), numbers(1))), folder, canary)
    path.write_bytes(path.read_bytes().replace(b"archive/data/0", b"archive/data/9", 1))
    return path


def claims(at: int, value: bytes, folder: Path, canary: Path) -> Path:
    """Return a zip whose index claims something else of its last record: 46 bytes of it stand before the name."""
    path = zipped(weights(tensor(numbers(4), numbers(1))), folder, canary)
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    content[entry + at:entry + at + len(value)] = value
    path.write_bytes(bytes(content))
    return path


def index_of(size: int, folder: Path, canary: Path) -> Path:
    """Return a sparse file that begins and ends as a zip, between them an index of so many zeros."""
    path = folder / "hostile.pth"
    with open(path, "wb") as file:
        file.write(b"PK\x03\x04")
        file.seek(size)
        file.write(b"PK\x05\x06" + bytes(4) + struct.pack("<HHLLH", 65_535, 65_535, size - 100, 100, 0))
    return path


def named_twice(folder: Path, canary: Path, times: int = 65_000) -> Path:
    """Return a zip with the same name tens of thousands of times, each a record of its own."""
    header = struct.pack("<4sHHHHHLLLHH", b"PK\x03\x04", 20, 0, 0, 0, 33, 0, 0, 0, 1, 0) + b"x"
    entries = b"".join(struct.pack("<4sHHHHHHLLLHHHHHLL", b"PK\x01\x02", 20, 20, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0,
                                   len(header) * index) + b"x" for index in range(times))
    end = struct.pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, times, times, len(entries), len(header) * times, 0)
    path = folder / "hostile.pth"
    path.write_bytes(header * times + entries + end)
    return path


def sound() -> list[Case]:
    good, old = (weights(tensor(numbers(4), numbers(1), of=storage(view=view))) for view in (b"", b"N"))
    return [Case("checkpoint", partial(zipped, good), read), Case("legacy checkpoint", partial(legacy, old), read)]


def cases() -> list[Case]:
    found = [Case(f"checkpoint, {form.__name__}, {target}", partial(gadget, target, argument, form), read)
             for form in (zipped, legacy) for target, argument in GADGETS.items()]
    found += [Case(f"checkpoint, {name}", partial(zipped, content), read) for name, content in PICKLES.items()]
    good = weights(tensor(numbers(4), numbers(1)))
    old = weights(tensor(numbers(4), numbers(1), of=storage(view=b"N")))
    found += [Case(f"checkpoint, cut at {cut:.0%}", partial(damaged, cut), read) for cut in (0.1, 0.3, 0.5, 0.9, 0.99)]
    files = {
        "empty": partial(raw, b""), "text": partial(raw, b"weights\n"), "a picture": partial(raw, b"\x89PNG\r\n\x1a\n"),
        "a web page": partial(raw, b"<!DOCTYPE html><html>404</html>"), "zeros": partial(raw, bytes(100_000)),
        "a zip end alone": partial(raw, b"PK\x05\x06" + bytes(18)), "tar": tar, "two pickles in one zip": twice,
        "flipped byte": flipped,
        "zip without a pickle": partial(zipped, good, records=()),
        "compressed zip": partial(zipped, good, compression=zipfile.ZIP_DEFLATED),
        "zip bomb": partial(zipped, good, records=[("data/0", bytes(50_000_000))], compression=zipfile.ZIP_DEFLATED),
        "TorchScript": partial(zipped, good, records=[("data/0", bytes(16)), ("constants.pkl", b"N."),
                                                      ("code/x.py", b"import os")]),
        "big-endian": partial(zipped, good, records=[("data/0", bytes(16)), ("byteorder", b"big")]),
        "entries that overlap": overlapping, "a name 65,000 times": named_twice,
        "a name that index and header tell differently": renamed,
        "an index of 300 megabytes": partial(index_of, 300 << 20),
        "a record beyond the file": partial(claims, 20, struct.pack("<LL", 1 << 30, 1 << 30)),
        "a record at the end": partial(claims, 42, struct.pack("<L", 1 << 20)),
        "a stored record of two sizes": partial(claims, 24, struct.pack("<L", 1 << 30)),
        "a record of a secret": partial(claims, 8, struct.pack("<H", 1)),
        "record too short": partial(zipped, good, records=[("data/0", bytes(15))]),
        "legacy, no storages": partial(legacy, old, keys=()),
        "legacy, unknown storage": partial(legacy, old, keys=["9"]),
        "legacy, storage cut off": partial(legacy, old, data=struct.pack("<q", 4) + bytes(3)),
        "legacy, storage of another size": partial(legacy, old, data=struct.pack("<q", 1 << 50) + bytes(16)),
        "legacy, claims 1 TB": partial(legacy, weights(tensor(
            numbers(4), numbers(1), of=storage(count=1 << 38, view=b"N")))),
        "legacy, view": partial(legacy, weights(tensor(numbers(4), numbers(1), of=storage(view=numbers(1, 0, 4))))),
        "legacy, other protocol": partial(raw, pickle.dumps(MAGIC, 2) + pickle.dumps(7, 2)),
        "legacy, other magic": partial(raw, pickle.dumps(1, 2))}
    return found + [Case(f"checkpoint, {name}", write, read) for name, write in files.items()]
