"""One hostile or malformed input: how it is written, and what reads it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Case:
    """An input that must be refused.

    Attributes:
        name: What is wrong with it.
        write: Writes it to a folder and returns what the reader is given; the second argument is the path of a file
            that a payload creates where it is executed.
        read: The reader.
    """

    name: str
    write: Callable[[Path, Path], Any]
    read: Callable[[Any], Any]
