"""Which image files a data set has: those in its folder, or those that a listing on S3 names."""

import os
from collections.abc import Sequence
from pathlib import Path

from core.base.errors import UserError
from core.base.suggest import listed
from core.data.digest import FileRow
from core.data.images import image_size
from core.storage.store import StoredObject

SIZE_UNKNOWN = (2 ** 31, 2 ** 31)
"""Width and height that clip no box, of an image that is not here yet and whose annotation does not say its size."""


class ImageFiles:
    """What the readers of annotations ask about the files beside them; here of files of this machine."""

    def names(self, folder: Path) -> list[str]:
        """Return the names of what is directly in a folder, sorted."""
        return sorted(os.listdir(folder))

    def has_folder(self, folder: Path) -> bool:
        """Return whether there is such a folder."""
        return folder.is_dir()

    def has(self, file: Path) -> bool:
        """Return whether there is such a file; a name that no file can have is none."""
        # os.path.isfile, not Path.is_file: it answers False for names that no file can have.
        return os.path.isfile(file)

    def size(self, file: Path) -> tuple[int, int]:
        """Return an image's (width, height) in pixels; raise UserError where it is no whole image."""
        return image_size(file)


ON_DISK = ImageFiles()


class ListedImages(ImageFiles):
    """Files below a prefix on S3, known by its listing alone.

    Args:
        root: The folder that they are, or are to be, fetched to; files are named by their paths there.
        uri: Where they lie, for messages.
        objects: The listing of the whole prefix.
    """

    def __init__(self, root: Path, uri: str, objects: Sequence[StoredObject]) -> None:
        self._root, self._uri = root, uri
        self._objects = {info.name: info for info in objects}
        self._folders: dict[Path, set[str]] = {root: set()}
        for name in self._objects:
            path = root / name
            while path != root and path.name not in self._folders.setdefault(path.parent, set()):
                self._folders[path.parent].add(path.name)
                path = path.parent

    def names(self, folder: Path) -> list[str]:
        return sorted(self._folders[folder])

    def has_folder(self, folder: Path) -> bool:
        return folder in self._folders

    def has(self, file: Path) -> bool:
        return self._name(file) in self._objects

    def size(self, file: Path) -> tuple[int, int]:
        """Return a size that clips nothing: the stage that fetches the image looks at it."""
        return SIZE_UNKNOWN

    def row(self, file: Path) -> FileRow:
        """Return a file's row of the digest: its ETag stands for the sha256 of its content."""
        info = self._objects[self._name(file)]
        return info.name, info.size, info.etag

    def check(self, files: Sequence[Path]) -> None:
        """Raise UserError where images are missing or empty; up to ten are named, all are counted."""
        unusable = [file for file in sorted(set(files))
                    if not self.has(file) or not self._objects[self._name(file)].size]
        if unusable:
            lines = [f"{self._name(file)} ({'empty file' if self.has(file) else 'missing'})" for file in unusable]
            raise UserError("images", f"{len(unusable)} of {len(set(files))} in {self._uri} cannot be used: "
                            f"{listed(lines, '; ')}", "Every image that the annotations name must be there and whole.",
                            "Restore these files, or remove them from the annotations.")

    def _name(self, file: Path) -> str:
        return file.relative_to(self._root).as_posix()
