"""Digest of the code a stage runs, so that a change of it makes the stage run again."""

import ast
import hashlib
import importlib.util
from collections.abc import Iterable
from pathlib import Path

PACKAGES = ("core", "components")
# An image's label with the digest of the code in it.
CODE_LABEL = "mmdet-compress.code"
IMAGE_FOLDERS = ("core", "components", "configs")
_NO_DATA = (".py", ".pyc", ".md")


class CodeDigests:
    """Follows imports of this project's packages from a module and digests every file they reach.

    Imports inside functions count; so do the package files on the way, and the data files that lie beside a module
    (a template, a style sheet). An import by a computed name is not seen.

    Args:
        root: The project's folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._imports: dict[Path, set[str]] = {}

    def digest(self, module: str, extra: Iterable[Path] = ()) -> str:
        """Return the SHA-256 over paths and contents of all that ``module`` reaches, and of ``extra`` files."""
        sources = self.closure(module)
        files = {*sources, *extra}
        for folder in {path.parent for path in sources}:
            for path in folder.iterdir():
                within = path.rglob("*") if path.is_dir() and not (path / "__init__.py").exists() else (path,)
                files.update(one for one in within
                             if one.is_file() and one.suffix not in _NO_DATA and not one.name.startswith("."))
        return _digest(self._root, sorted(files))

    def closure(self, module: str) -> list[Path]:
        """Return the source files that ``module`` reaches, itself among them."""
        found: dict[Path, None] = {}
        waiting = [module]
        seen: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            parts = name.split(".")
            waiting.extend(".".join(parts[:length]) for length in range(1, len(parts)))
            base = self._root.joinpath(*parts)
            path = next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)
            if path is not None:
                found[path] = None
                waiting.extend(self._imported(path, name))
        return sorted(found)

    def _imported(self, path: Path, module: str) -> set[str]:
        if path in self._imports:
            return self._imports[path]
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        names: list[str] = []
        for node in ast.walk(ast.parse(path.read_bytes(), filename=str(path))):
            if isinstance(node, ast.Import):
                names += (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
                # What is imported from a package may be a module of it; names that are none are found to have no file.
                names += (base, *(f"{base}.{alias.name}" for alias in node.names))
        self._imports[path] = {name for name in names if name.split(".")[0] in PACKAGES}
        return self._imports[path]


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
