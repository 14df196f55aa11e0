"""Which source files of this project a module reaches by its imports."""

import ast
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path


class Imports:
    """Follows imports from a module, those in functions too, and counts the package files on the way.

    An import by a computed name is not seen.

    Args:
        packages: The project's packages; imports of others are not followed.
        of_types: Whether imports for type checking alone are followed.
    """

    def __init__(self, root: Path, packages: Sequence[str], of_types: bool) -> None:
        self._root, self._packages, self._of_types = root, packages, of_types
        self._known: dict[Path, set[str]] = {}

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
        if path in self._known:
            return self._known[path]
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        names: list[str] = []
        for node in self._nodes(ast.parse(path.read_bytes(), filename=str(path))):
            if isinstance(node, ast.Import):
                names += (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
                # What is imported from a package may be a module of it; names that are none are found to have no file.
                names += (base, *(f"{base}.{alias.name}" for alias in node.names))
        self._known[path] = {name for name in names if name.split(".")[0] in self._packages}
        return self._known[path]

    def _nodes(self, node: ast.AST) -> Iterator[ast.AST]:
        for inner in ast.iter_child_nodes(node):
            for_types = (isinstance(inner, ast.If) and isinstance(inner.test, ast.Name)
                         and inner.test.id == "TYPE_CHECKING")
            if self._of_types or not for_types:
                yield inner
                yield from self._nodes(inner)
