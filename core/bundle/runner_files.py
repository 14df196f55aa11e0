"""The files of this project that a bundle's runner is made of: the runner module and what it imports, nothing else."""

import ast
from collections.abc import Iterator
from pathlib import Path

from core.bundle.runner import RUNNER

ROOT = Path(__file__).resolve().parents[2]
START = "core.bundle.runner"
_PROJECT = "core"

MAIN = '''"""The detector of this bundle; README.md tells how to call it."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Python's caches would lie among the files that bundle.json lists.
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE))

from core.bundle.runner import run  # noqa: E402

if __name__ == "__main__":
    sys.exit(run(HERE.parent))
'''


def runner_files() -> dict[str, bytes]:
    """Return the runner's files: path within the bundle to content."""
    files = {f"{RUNNER}/__main__.py": MAIN.encode("utf-8")}
    waiting: list[str] = [START]
    seen = set()
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        path = _file_of(module)
        files[f"{RUNNER}/{path.relative_to(ROOT).as_posix()}"] = path.read_bytes()
        package = module.rpartition(".")[0]
        waiting += [package] if package else []
        waiting += _imported(path)
    return dict(sorted(files.items()))


def _file_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _imported(path: Path) -> Iterator[str]:
    """Yield the project's modules that a file imports, in functions too, but not for type checking alone."""
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and _is_ours(node.module):
            yield str(node.module)
            # A name may be a module of the package rather than something in it.
            yield from (f"{node.module}.{alias.name}" for alias in node.names
                        if _file_of(f"{node.module}.{alias.name}").is_file())
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if _is_ours(alias.name))
        waiting.extend(ast.iter_child_nodes(node))


def _is_ours(module: object) -> bool:
    return isinstance(module, str) and module.split(".")[0] == _PROJECT
