"""Digest of the code a stage runs, so that a change of it makes the stage run again."""

import ast
import hashlib
from collections.abc import Iterable, Iterator
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
        files = set(sources) | set(self._data_files(sources)) | set(extra)
        digest = hashlib.sha256()
        for path in sorted(files):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{content}  {path.relative_to(self._root).as_posix()}\n".encode())
        return digest.hexdigest()

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
            waiting.extend(_parents(name))
            base = self._root.joinpath(*name.split("."))
            path = next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)
            if path is not None:
                found[path] = None
                waiting.extend(self._imported(path, name))
        return sorted(found)

    def _imported(self, path: Path, module: str) -> set[str]:
        if path not in self._imports:
            package = module if path.name == "__init__.py" else module.rpartition(".")[0]
            tree = ast.parse(path.read_bytes(), filename=str(path))
            self._imports[path] = {name for name in _imported_names(tree, package) if name.split(".")[0] in PACKAGES}
        return self._imports[path]

    def _data_files(self, sources: list[Path]) -> Iterator[Path]:
        for folder in {path.parent for path in sources}:
            for path in folder.iterdir():
                if path.is_dir() and not (path / "__init__.py").exists():
                    yield from (inner for inner in path.rglob("*") if _is_data(inner))
                elif _is_data(path):
                    yield path


def image_code_digest(root: Path) -> str:
    """Return the SHA-256 over paths and contents of all code and configs that are copied into the images."""
    digest = hashlib.sha256()
    for folder in IMAGE_FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and path.suffix not in (".pyc", ".md"):
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                digest.update(f"{content}  {path.relative_to(root).as_posix()}\n".encode())
    return digest.hexdigest()


def _imported_names(tree: ast.AST, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            yield base
            # What is imported from a package may be a module of it; names that are none are found to have no file.
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    return ".".join(parts[:len(parts) - node.level + 1] + ([node.module] if node.module else []))


def _parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def _is_data(path: Path) -> bool:
    return path.is_file() and path.suffix not in _NO_DATA and not path.name.startswith(".")
