"""Libraries that talk while they work, kept to their errors for a while."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def libraries_quiet() -> Iterator[None]:
    """Let mmcv say warnings and NNCF errors alone, for as long as the block runs."""
    mmcv, nncf = logging.getLogger("mmcv"), logging.getLogger("nncf")
    level = mmcv.level
    mmcv.setLevel(logging.WARNING)
    # NNCF's level is set wherever NNCF is asked for.
    nncf.addFilter(_is_error)
    try:
        yield
    finally:
        mmcv.setLevel(level)
        nncf.removeFilter(_is_error)


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR
