"""A small file does not fill the memory: claims of gigabytes are refused before anything is held or written."""

import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from core.base.errors import UserError
from core.checkpoint.restricted import load_restricted
from core.storage.archive import unpack
from tests.hostile.checkpoints import overlapping

MEGABYTES = 20


def peak_while(work):
    """Return the largest sum in MB of what Python and numpy allocated meanwhile."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def refused(read, *arguments):
    with pytest.raises(UserError) as error:
        read(*arguments)
    assert len(str(error.value)) < 2000


def with_arrays(path, count, bytes_each, own):
    """Write a checkpoint of ``count`` arrays of bytes, each of its own content or all of the first one's."""
    array = (b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR(K\x01J" + struct.pack(
        "<i", bytes_each) + b"\x85cnumpy\ndtype\n(X\x02\0\0\0u1K\x00K\x01tR(K\x03X\x01\0\0\0|NNNJ\xff\xff\xff\xffJ"
        b"\xff\xff\xff\xffK\x00tb\x89")
    content = b"B" + struct.pack("<I", bytes_each) + bytes(bytes_each)
    items = b"".join(array + (content if own or not number else b"h\x00") + (b"" if number else b"q\x00") + b"tb"
                     for number in range(count))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x04](" + items + b"e.")
        archive.writestr("archive/version", "3\n")
    return path


def test_150_overlapping_entries_of_20_mb_take_no_memory(tmp_path):
    path = overlapping(tmp_path, tmp_path / "canary", 150, 20_700_000)
    assert path.stat().st_size < 21e6
    assert peak_while(lambda: refused(load_restricted, path)) < MEGABYTES
    path = path.rename(tmp_path / "set.zip")
    assert peak_while(lambda: refused(unpack, path, tmp_path / "out")) < MEGABYTES
    assert not list(tmp_path.glob("out*/**/*"))


def test_one_content_is_not_copied_into_many_arrays(tmp_path):
    path = with_arrays(tmp_path / "a.pth", 2000, 1_000_000, own=False)
    assert path.stat().st_size < 2e6
    assert peak_while(lambda: refused(load_restricted, path)) < MEGABYTES


def test_as_many_arrays_as_the_file_has_content_for_are_read(tmp_path):
    arrays = load_restricted(with_arrays(tmp_path / "a.pth", 30, 1_000_000, own=True))
    assert [type(array) for array in arrays] == [np.ndarray] * 30
    assert sum(array.nbytes for array in arrays) == 30_000_000
