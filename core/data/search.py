"""Finding the image that an annotation means, among the files that a data folder has.

Labelling tools write names of the annotator's machine: absolute paths, backslashes, another case of the ending. The
file is the one whose path ends as the name does; where several do, none is guessed.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from core.base.errors import UserError
from core.base.foreign_file import open_regular
from core.base.suggest import listed
from core.base.text import bounded_repr
from core.data.digest import MOST_BYTES
from core.data.image_files import ON_DISK, ImageFiles
from core.data.layout import MAX_DEPTH, MAX_FILES, SPLIT_WORDS

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm")
# Names that end so are taken for files without asking the file system for each.
_FILE_SUFFIXES = (*IMAGE_SUFFIXES, ".json", ".xml", ".txt")
_DRIVE = re.compile(r"^(file://)?[A-Za-z]:|^file://")
_WORD = re.compile(r"[a-z]+")


class FileSearch:
    """The files below a data folder, listed once where they are asked for."""

    def __init__(self, root: Path, images: ImageFiles = ON_DISK) -> None:
        self.root, self.images = root, images
        self._files: list[str] | None = None
        self._inner: dict[str, FileSearch] = {}
        self._by_name: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}

    def files(self) -> list[str]:
        """Return the paths of all files, sorted, relative to the folder; hidden ones and deep folders are left out.

        Raises:
            UserError: There are too many.
        """
        if self._files is None:
            self._files = sorted(self._walk())
            for file in self._files:
                path = PurePosixPath(file)
                if path.suffix.lower() in IMAGE_SUFFIXES:
                    self._by_name.setdefault(path.name.casefold(), []).append(file)
                    self._by_stem.setdefault(path.stem.casefold(), []).append(file)
        return self._files

    def has(self, name: str) -> bool:
        """Return whether there is a file of this path, relative to the data folder."""
        return self.images.has(self.root / name)

    def head(self, name: str, count: int = -1) -> bytes:
        """Return a file's first bytes, all of it where no count is given; nothing of a file that cannot be read."""
        try:
            with open_regular(self.root / name, MOST_BYTES) as file:
                return file.read(count)
        except OSError:
            return b""

    def images_of(self, folder: str) -> dict[str, str]:
        """Return the names of the images directly in a folder by stem; .jpg, Pascal VOC's own, wins over others."""
        names: dict[str, str] = {}
        for path in map(PurePosixPath, self.images.names(self.root / folder)):
            if path.suffix.lower() in IMAGE_SUFFIXES and (path.stem not in names or path.suffix == ".jpg"):
                names[path.stem] = path.name
        return names

    def named(self, name: str, near: str, what: str, folder: str | None = None) -> str | None:
        """Return the image whose path ends most like ``name``.

        Args:
            name: A path as an annotation writes it, of any machine.
            near: The annotation file; images below its folder come first, those below a folder named like another
                split are never meant.
            what: What names it, for messages.
            folder: Images below this folder only; None for all.

        Returns:
            The path relative to the data folder, or None where no file has that name.

        Raises:
            UserError: Several files fit equally well.
        """
        if folder:
            # Only that folder is listed: what lies beside it may be a whole machine.
            inner = self._inner.setdefault(folder, FileSearch(self.root / folder, self.images))
            found = inner.named(name, "", what)
            return found and f"{folder}/{found}"
        self.files()
        wanted = portable(name)
        return self._best(self._by_name.get(wanted.name.casefold(), ()), wanted, near, what, name)

    def of_annotation(self, annotation: str) -> str | None:
        """Return the image of the same stem as an annotation file; errors as :meth:`named`."""
        self.files()
        wanted = PurePosixPath(annotation)
        return self._best(self._by_stem.get(wanted.stem.casefold(), ()), wanted, annotation, annotation, wanted.stem)

    def _best(self, files: Sequence[str], wanted: PurePosixPath, near: str, what: str, name: str) -> str | None:
        words = _split_words(near)
        files = [file for file in files if not words or not _split_words(file) or words & _split_words(file)]
        if len(files) < 2:
            return files[0] if files else None
        ranked = [(_equal(PurePosixPath(file).parts[-2::-1], wanted.parts[-2::-1]),
                   _equal(PurePosixPath(file).parts[:-1], PurePosixPath(near).parts[:-1]),
                   len(words & _split_words(file)), PurePosixPath(file).suffix == ".jpg") for file in files]
        best = [file for file, rank in zip(files, ranked) if rank == max(ranked)]
        if len(best) > 1:
            raise UserError(what, bounded_repr(name), f"Several files could be meant: {listed(best)}.", "Write paths "
                            "relative to the data folder in the annotations, or pass a folder with one of them.")
        return best[0]

    def _walk(self) -> Iterator[str]:
        folders, count = [(self.root, "", 0)], 0
        while folders:
            folder, prefix, depth = folders.pop()
            try:
                names = self.images.names(folder)
            except OSError:
                continue  # a folder that may not be looked into has nothing that could be read
            for name in names:
                count += 1
                if count > MAX_FILES:
                    raise UserError("data folder", self.root, f"It holds more than {MAX_FILES:,} files.",
                                    "Pass the folder of the data set alone.")
                if name.startswith("."):
                    continue
                if not name.lower().endswith(_FILE_SUFFIXES) and self.images.has_folder(folder / name):
                    if depth < MAX_DEPTH:
                        folders.append((folder / name, f"{prefix}{name}/", depth + 1))
                else:
                    yield prefix + name


def portable(name: str) -> PurePosixPath:
    """Return a path of any machine with forward slashes, without drive, leading slash and steps that lead nowhere."""
    parts = _DRIVE.sub("", name.strip()).replace("\\", "/").split("/")
    return PurePosixPath(*[part for part in parts if part not in ("", ".", "..")])


def _equal(first: Sequence[str], second: Sequence[str]) -> int:
    """Return how many items two sequences have in common at their start, letter case aside."""
    count = 0
    for one, other in zip(first, second):
        if one.casefold() != other.casefold():
            break
        count += 1
    return count


def _split_words(path: str) -> set[str]:
    return {SPLIT_WORDS[word] for word in _WORD.findall(path.lower()) if word in SPLIT_WORDS}
