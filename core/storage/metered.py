"""A stream with a limit on the size of one read: lengths in a file are not to be trusted."""

import io
from typing import Any

_PIECE = 1 << 16


class Metered(io.RawIOBase):
    """A stream that refuses to be read in large pieces.

    Args:
        most: Bytes of the largest piece.
    """

    def __init__(self, stream: Any, most: int) -> None:
        super().__init__()
        self._stream, self._most = stream, most

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes, or all that is left; raise ValueError beyond the largest piece."""
        if size > self._most:
            raise ValueError(f"a header asks for {size} bytes")
        if size >= 0:
            content: bytes = self._stream.read(size)
            return content
        rest = bytearray()
        # In pieces, as Python allocates as many bytes as it is asked for.
        while piece := self._stream.read(_PIECE):
            rest += piece
            if len(rest) > self._most:
                raise ValueError(f"more than {self._most} bytes are left")
        return bytes(rest)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def seekable(self) -> bool:
        """Return True: whoever reads only forwards never seeks."""
        return True

    def tell(self) -> int:
        return self._stream.tell()
