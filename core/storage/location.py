"""Locations as users write them: plain paths and file:// URIs."""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from core.errors import UserError


def local_path(location: str, thing: str) -> Path:
    """Return the absolute path that ``location`` stands for.

    Args:
        location: A path, or a ``file:`` URI of this machine.
        thing: What is there, for the message.

    Raises:
        UserError: The location is on a storage service or another machine.
    """
    if location.startswith("file:"):
        parts = urlsplit(location)
        if parts.netloc not in ("", "localhost"):
            raise UserError(thing, location, f"It names the machine {parts.netloc!r}, and only this machine's files "
                            "can be reached.", "Write file:///path with three slashes.")
        return Path(os.path.abspath(unquote(parts.path)))
    if "://" in location:
        scheme = location.split("://", 1)[0]
        raise UserError(thing, location, f"{scheme}:// locations are not supported yet; object storage comes later.",
                        "Give a folder or file of this machine, as a path or a file:// URI.")
    return Path(os.path.abspath(os.path.expanduser(location)))
