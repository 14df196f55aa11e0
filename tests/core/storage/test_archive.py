import contextlib
import gzip
import io
import os
import random
import stat
import tarfile
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.base.errors import UserError
from core.storage.archive import is_archive, unpack


def tar(path, *members, mode="w"):
    """Write a tar file of (name, content) or (name, type, link target)."""
    with tarfile.open(path, mode) as packed:
        for name, *rest in members:
            info = tarfile.TarInfo(name)
            if isinstance(rest[0], bytes) and len(rest) == 1 and not name.endswith("/"):
                info.size = len(rest[0])
                packed.addfile(info, io.BytesIO(rest[0]))
            else:
                info.type, info.linkname = rest[0], rest[1] if len(rest) > 1 else ""
                packed.addfile(info)
    return path


def zipped(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return path


def unpacked(archive):
    folder = archive.parent / "unpacked"
    folder.mkdir()
    unpack(archive, folder)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name, mode", [("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.TGZ", "w:gz"), ("a.tar.bz2", "w:bz2"),
                                        ("a.tar.xz", "w:xz")])
def test_tar_files_become_folders(tmp_path, name, mode):
    archive = tar(tmp_path / name, ("./set/", tarfile.DIRTYPE), ("./set/a.txt", b"one"), ("set/é/b", b""), mode=mode)
    assert is_archive(archive.name)
    assert unpacked(archive) == {"set/a.txt": b"one", "set/é/b": b""}


def test_zip_files_become_folders(tmp_path):
    assert unpacked(zipped(tmp_path / "a.zip", **{"set/": b"", "set/a.txt": b"one", "b": b"2" * 5000})) == {
        "set/a.txt": b"one", "b": b"2" * 5000}


def test_rights_of_the_archive_are_not_taken_over(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as packed:
        info = tarfile.TarInfo("program")
        info.mode = 0o6777
        packed.addfile(info)
    unpacked(tmp_path / "a.tar")
    assert not (tmp_path / "unpacked" / "program").stat().st_mode & (stat.S_ISUID | stat.S_IXUSR)


def test_links_inside_become_files(tmp_path):
    archive = tar(tmp_path / "a.tar", ("set/link", tarfile.SYMTYPE, "../data/real"), ("data/real", b"content"),
                  ("set/hard", tarfile.LNKTYPE, "data/real"))
    assert unpacked(archive) == {name: b"content" for name in ("set/link", "set/hard", "data/real")}
    assert not any(path.is_symlink() for path in (tmp_path / "unpacked").rglob("*"))


HOSTILE_TARS = {
    "absolute": [("/etc/evil", b"x")], "parent": [("../evil", b"x")], "parent inside": [("a/../../evil", b"x")],
    "link outwards": [("a", tarfile.SYMTYPE, "/etc/passwd")], "link up": [("a/b", tarfile.SYMTYPE, "../../evil")],
    "hard link outwards": [("a", tarfile.LNKTYPE, "/etc/passwd")], "hard link up": [("a", tarfile.LNKTYPE, "../x")],
    "through a link": [("a", tarfile.SYMTYPE, "/tmp"), ("a/evil", b"x")],
    "link to a folder": [("d/f", b"x"), ("a", tarfile.SYMTYPE, "d")],
    "link to a link": [("a", tarfile.SYMTYPE, "b"), ("b", tarfile.SYMTYPE, "a")],
    "device": [("a", tarfile.CHRTYPE, "")], "fifo": [("a", tarfile.FIFOTYPE, "")],
    "twice": [("a", b"1"), ("a", b"2")], "file and folder": [("a", b"1"), ("a/b", b"2")],
    "link over a file": [("a", b"1"), ("b", b"2"), ("a", tarfile.SYMTYPE, "b")],
    "control characters": [("a\nb", b"1")], "empty part": [("a//b", b"1")], "not text": [("a\udcff", b"1")],
}


@pytest.mark.parametrize("members", HOSTILE_TARS.values(), ids=HOSTILE_TARS)
def test_hostile_tar_files_are_refused_and_touch_nothing_outside(tmp_path, members):
    archive = tar(tmp_path / "a.tar", *members)
    with pytest.raises(UserError, match="archive|object name"):
        unpacked(archive)
    assert sorted(os.listdir(tmp_path)) == ["a.tar", "unpacked"]
    assert not any(path.is_symlink() for path in (tmp_path / "unpacked").rglob("*"))


@pytest.mark.parametrize("name", ["/etc/evil", "../evil", "a/../../evil", "a/\x01"])
def test_hostile_zip_names_are_refused(tmp_path, name):
    with pytest.raises(UserError, match="object name"):
        unpacked(zipped(tmp_path / "a.zip", **{name: b"x"}))
    assert sorted(os.listdir(tmp_path)) == ["a.zip", "unpacked"]


def test_zip_links_outwards_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(info, "/etc/passwd")
    with pytest.raises(UserError, match="entry 'link'. A link must lead to a file of the archive"):
        unpacked(tmp_path / "a.zip")


@pytest.mark.parametrize("name", ["bomb.zip", "bomb.tar.gz"])
def test_bombs_are_stopped(tmp_path, monkeypatch, name):
    monkeypatch.setattr("core.storage.archive._ALWAYS_BYTES", 1 << 20)
    zeros = b"\0" * (64 << 20)
    archive = tmp_path / name
    if name.endswith(".zip"):
        zipped(archive, zeros=zeros)
    else:
        tar(archive, ("zeros", zeros), mode="w:gz")
    with pytest.raises(UserError, match="Unpacked it may be 100 times as large as packed"):
        unpacked(archive)
    assert sum(path.stat().st_size for path in (tmp_path / "unpacked").rglob("*")) < 40 << 20


def test_a_header_that_asks_for_gigabytes_is_stopped(tmp_path):
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1 << 33
    (tmp_path / "a.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT) + b"\0" * 10240)
    with pytest.raises(UserError, match="a header asks for 8589934592 bytes"):
        unpacked(tmp_path / "a.tar")


def damaged():
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as packed:
        info = tarfile.TarInfo("a")
        info.size = 100_000
        packed.addfile(info, io.BytesIO(random.Random(0).getrandbits(800_000).to_bytes(100_000, "big")))
    data = whole.getvalue()
    yield "cut.tar.gz", data[:50_000]
    yield "flipped.tar.gz", data[:40_000] + bytes([data[40_000] ^ 255]) + data[40_001:]
    yield "tail.tar.gz", data[:-8] + b"\0" * 8
    yield "cut.tar", gzip.decompress(data)[:50_000]
    for name in ("empty.zip", "empty.tar.gz", "empty.tar.xz", "empty.tar.bz2", "empty.tar"):
        yield name, b""
        yield f"text.{name.partition('.')[2]}", b"this is no archive at all" * 100


@pytest.mark.parametrize("name, data", list(damaged()), ids=[name for name, _ in damaged()])
def test_damaged_archives_are_named(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=f"archive: .*{name}.*(must be a sound archive|an empty file)"):
        unpacked(tmp_path / name)


def test_encrypted_zip_files_are_named(tmp_path):
    data = bytearray(zipped(tmp_path / "a.zip", a=b"x").read_bytes())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(signature) + offset] |= 1
    (tmp_path / "a.zip").write_bytes(bytes(data))
    with pytest.raises(UserError, match="must be a sound archive .*encrypted"):
        unpacked(tmp_path / "a.zip")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(flips=st.lists(st.tuples(st.integers(0, 10239), st.integers(1, 255)), max_size=6), cut=st.integers(0, 10240),
       kind=st.sampled_from(["tar", "zip"]))
def test_whatever_an_archive_holds_it_is_unpacked_inside_or_refused(tmp_path_factory, flips, cut, kind):
    place = tmp_path_factory.mktemp("fuzz")
    if kind == "tar":
        tar(place / "a.tar", ("d/", tarfile.DIRTYPE), ("d/f", b"content"), ("l", tarfile.SYMTYPE, "d/f"))
    else:
        zipped(place / "a.zip", **{"d/": b"", "d/f": b"content" * 50})
    archive = place / f"a.{kind}"
    data = bytearray(archive.read_bytes())
    for where, what in flips:
        data[where % len(data)] ^= what
    archive.write_bytes(bytes(data[:cut]))
    with contextlib.suppress(UserError):
        unpacked(archive)
    assert sorted(os.listdir(place)) == [archive.name, "unpacked"]


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, b"Z"])
@pytest.mark.parametrize("size", [-1, -512, -1024, -(1 << 40)])
def test_a_negative_size_leads_nowhere(tmp_path, kind, size):
    header = tarfile.TarInfo("a")
    header.type, header.size = kind, size
    sound = tarfile.TarInfo("b")
    (tmp_path / "a.tar").write_bytes(sound.tobuf(tarfile.GNU_FORMAT) + header.tobuf(tarfile.GNU_FORMAT) + bytes(10240))
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="a.tar"):
        unpack(tmp_path / "a.tar", tmp_path / "out")


def test_a_negative_size_in_an_extended_header_leads_nowhere(tmp_path):
    header = tarfile.TarInfo("a")
    header.pax_headers = {"size": "-1536"}
    (tmp_path / "a.tar").write_bytes(header.tobuf(tarfile.PAX_FORMAT) + bytes(10240))
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="a.tar"):
        unpack(tmp_path / "a.tar", tmp_path / "out")


@pytest.mark.parametrize("name", ["a.tar", "a.zip"])
def test_an_archive_that_holds_nothing_is_named(tmp_path, name):
    contents = {"a.tar": bytes(10240), "a.zip": b"PK\x05\x06" + bytes(18)}
    (tmp_path / name).write_bytes(contents[name])
    with pytest.raises(UserError, match=f"{name}.*holds nothing"):
        unpack(tmp_path / name, tmp_path / "out")
