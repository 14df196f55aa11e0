"""The index of a zip archive is compared with the archive."""

import io
import random
import struct
import zipfile

import pytest

from core.base.errors import UserError
from core.storage.archive import unpack
from core.storage.metered import Metered
from core.storage.zip_index import open_zip

FILES = {"a.txt": b"a" * 100, "folder/b.txt": b"b" * 5000, "c.bin": bytes(range(256))}
MOST = {"most_index_bytes": 1 << 20, "most_entries": 1000}


def packed(files=FILES, compression=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def entries(content):
    return open_zip(io.BytesIO(content), **MOST)[1]


def changed(content, mark, name, at, value):
    """Return an archive in whose index (PK12) or header (PK34) of ``name`` a number is another."""
    content, length = bytearray(content), 46 if mark == b"PK\x01\x02" else 30
    begin = next(place for place in range(len(content)) if content[place:place + 4] == mark
                 and content[place + length:place + length + len(name)] == name)
    content[begin + at:begin + at + len(value)] = value
    return bytes(content)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_sound_archives_are_opened_and_their_contents_stand_where_it_is_said(compression):
    content = packed(compression=compression)
    for entry in entries(content):
        if compression == zipfile.ZIP_STORED:
            assert content[entry.begin:entry.begin + entry.info.file_size] == FILES[entry.info.filename]
    assert [entry.info.filename for entry in entries(content)] == list(FILES)


def test_an_archive_written_to_a_pipe_has_its_sizes_behind_the_contents():
    class Pipe(io.BytesIO):
        def seekable(self):
            return False

        def seek(self, *position):
            raise io.UnsupportedOperation

        tell = seek

    file = Pipe()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("ä.txt", b"a" * 100)
    assert [entry.info.file_size for entry in entries(file.getvalue())] == [100]


CENTRAL, LOCAL = b"PK\x01\x02", b"PK\x03\x04"
CHANGES = {
    "overlap": (CENTRAL, b"c.bin", 42, struct.pack("<L", 0)), "within": (CENTRAL, b"c.bin", 42, struct.pack("<L", 40)),
    "beyond the file": (CENTRAL, b"c.bin", 42, struct.pack("<L", 1 << 30)),
    "size": (CENTRAL, b"a.txt", 24, struct.pack("<L", 1 << 31)),
    "packed": (CENTRAL, b"a.txt", 20, struct.pack("<L", 9)),
    "packed beyond the file": (CENTRAL, b"c.bin", 20, struct.pack("<L", 1 << 20)),
    "checksum": (CENTRAL, b"a.txt", 16, b"abcd"), "method": (CENTRAL, b"a.txt", 10, struct.pack("<H", 0)),
    "name": (CENTRAL, b"a.txt", 46, b"b"), "name in the header": (LOCAL, b"a.txt", 30, b"b"),
    "name twice": (CENTRAL, b"a.txt", 46, b"c.bin"), "empty name": (CENTRAL, b"a.txt", 46, b"/////"),
    "NUL in the name": (CENTRAL, b"a.txt", 47, b"\0"),
    "size in the header": (LOCAL, b"a.txt", 22, struct.pack("<L", 7)),
    "mark of the header": (LOCAL, b"a.txt", 0, b"PK\x07\x08"), "encrypted": (CENTRAL, b"a.txt", 8, b"\x01\0"),
    "name beyond the header": (LOCAL, b"a.txt", 26, struct.pack("<H", 60_000))}


@pytest.mark.parametrize("change", CHANGES)
def test_what_index_and_archive_tell_differently_is_refused(change, tmp_path):
    content = changed(packed(), *CHANGES[change])
    with pytest.raises(zipfile.BadZipFile):
        entries(content)
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(UserError, match="a.zip.*must be a sound archive"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert not any((tmp_path / "out").rglob("*"))


def test_bounds_are_kept():
    content = packed({str(number): b"" for number in range(100)}, zipfile.ZIP_STORED)
    with pytest.raises(zipfile.BadZipFile, match="100 entries"):
        open_zip(io.BytesIO(content), 1 << 20, 99)
    with pytest.raises(ValueError, match="asks for"):
        open_zip(io.BytesIO(content), 1000, 100)


def test_damage_of_any_byte_ends_in_an_answer():
    sound, chosen = packed(), random.Random(0)
    for _ in range(400):
        content = bytearray(sound)
        for _ in range(chosen.randint(1, 4)):
            content[chosen.randrange(len(content))] = chosen.randrange(256)
        try:
            found = entries(bytes(content))
        except (zipfile.BadZipFile, ValueError, NotImplementedError, UnicodeDecodeError):
            continue
        # Whatever is read, its entries have their own bytes of the file each.
        spans = [(entry.begin, entry.begin + entry.info.compress_size) for entry in found]
        assert all(end <= begin for (_, end), (begin, _) in zip(spans, spans[1:])) and all(
            end <= len(content) for _, end in spans)


def test_a_stream_is_not_read_in_large_pieces():
    stream = Metered(io.BytesIO(b"x" * 100), 50)
    assert stream.read(50) == b"x" * 50 and stream.read() == b"x" * 50
    stream.seek(0)
    for size in (51, 1 << 40, -1):
        with pytest.raises(ValueError):
            stream.read(size)
