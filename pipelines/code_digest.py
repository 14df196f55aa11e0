"""Digest of the code a stage runs, so that a change of it makes the stage run again."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from core.base.imports import Imports

PACKAGES = ("core", "components")
# An image's label with the digest of the code in it.
CODE_LABEL = "mmdet-compress.code"
IMAGE_FOLDERS = ("core", "components", "configs")
_NO_DATA = (".py", ".pyc", ".md")


class CodeDigests:
    """Digests every file that a module reaches by imports, and the data files beside them (a template, a style sheet).

    Args:
        root: The project's folder.
    """

    def __init__(self, root: Path) -> None:
        self._root, self._imports = root, Imports(root, PACKAGES, of_types=True)

    def digest(self, module: str, extra: Iterable[Path] = ()) -> str:
        """Return the SHA-256 over paths and contents of all that ``module`` reaches, and of ``extra`` files."""
        sources = self._imports.closure(module)
        files = {*sources, *extra}
        for folder in {path.parent for path in sources}:
            for path in folder.iterdir():
                within = path.rglob("*") if path.is_dir() and not (path / "__init__.py").exists() else (path,)
                files.update(one for one in within
                             if one.is_file() and one.suffix not in _NO_DATA and not one.name.startswith("."))
        return _digest(self._root, sorted(files))


def image_code_digest(root: Path) -> str:
    """Return the SHA-256 over paths and contents of all code and configs that are copied into the images."""
    return _digest(root, [path for folder in IMAGE_FOLDERS for path in sorted((root / folder).rglob("*"))
                          if path.is_file() and path.suffix not in (".pyc", ".md")])


def _digest(root: Path, files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{content}  {path.relative_to(root).as_posix()}\n".encode())
    return digest.hexdigest()
