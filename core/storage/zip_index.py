"""The index of a zip archive, compared with the archive: entries may not overlap, and claim only what is there.

The format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

import struct
import zipfile
from dataclasses import dataclass
from typing import BinaryIO

from core.base.text import bounded_repr
from core.storage.metered import Metered

_LOCAL = struct.Struct("<4sHHHHHLLLHH")
_ENCRYPTED, _SIZES_FOLLOW, _UTF8 = 1, 8, 1 << 11
_IN_EXTRA = 0xFFFFFFFF
"""A size that stands in a field behind the name, as it needs 64 bits."""
# zlib's best: https://zlib.net/zlib_tech.html
_BEST_DEFLATE = 1032


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """An entry whose header, beside its content, says what the index says.

    Attributes:
        begin: Where its content begins, in bytes from the file's beginning.
    """

    info: zipfile.ZipInfo
    begin: int


def open_zip(file: BinaryIO, most_index_bytes: int, most_entries: int) -> tuple[zipfile.ZipFile, list[ZipEntry]]:
    """Open a zip archive and return it with its entries, in the order of their places.

    Args:
        most_index_bytes: Bytes that its index may have.
        most_entries: Entries that it may have.

    Raises:
        zipfile.BadZipFile, ValueError and others: It is none, is damaged or larger than allowed; entries overlap,
            share a name, or differ between index and header; an entry claims more than the file can hold.
    """
    packed = zipfile.ZipFile(Metered(file, most_index_bytes))
    infos = packed.infolist()
    if len(infos) > most_entries:
        raise zipfile.BadZipFile(f"{len(infos):,} entries, at most {most_entries:,} are read")
    names = set()
    free = 0
    entries = []
    for info in sorted(infos, key=lambda info: info.header_offset):
        name = info.orig_filename
        if not name.strip("/") or "\0" in name or name in names:
            raise zipfile.BadZipFile(f"an entry's name is empty, not a name or there twice: {bounded_repr(name)}")
        names.add(name)
        if info.header_offset < free:
            raise zipfile.BadZipFile(f"entries overlap: {bounded_repr(name)} begins within the one before it")
        begin = _check_header(file, info)
        free = begin + info.compress_size
        if free > packed.start_dir:
            raise zipfile.BadZipFile(f"{bounded_repr(name)} claims more bytes than the file has")
        entries.append(ZipEntry(info, begin))
    return packed, entries


def _check_header(file: BinaryIO, info: zipfile.ZipInfo) -> int:
    """Compare an entry's own header with the index and return where its content begins."""
    file.seek(info.header_offset)
    header = file.read(_LOCAL.size)
    if len(header) < _LOCAL.size:
        raise zipfile.BadZipFile("the index leads beyond the file's end")
    mark, _, flags, method, _, _, crc, packed_size, size, name_bytes, extra_bytes = _LOCAL.unpack(header)
    name = file.read(name_bytes).decode("utf-8" if info.flag_bits & _UTF8 else "cp437", "replace")
    claims = ((packed_size, info.compress_size), (size, info.file_size), (crc, info.CRC))
    # Where the sizes follow the content, the header has zeros.
    differs = any(found not in (wanted, _IN_EXTRA) and not (flags & _SIZES_FOLLOW and not found)
                  for found, wanted in claims)
    if (mark != b"PK\x03\x04" or method != info.compress_type or name != info.orig_filename or differs
            or (flags ^ info.flag_bits) & _ENCRYPTED):
        raise zipfile.BadZipFile(f"index and header of {bounded_repr(info.orig_filename)} differ")
    if info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
        raise zipfile.BadZipFile(f"{bounded_repr(info.orig_filename)} is stored in another size than it has")
    if info.compress_type == zipfile.ZIP_DEFLATED and info.file_size > (info.compress_size + 1) * _BEST_DEFLATE:
        raise zipfile.BadZipFile(f"{bounded_repr(info.orig_filename)} claims more than its bytes can unpack to")
    return info.header_offset + _LOCAL.size + name_bytes + extra_bytes
