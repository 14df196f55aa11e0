"""The files of this project that a bundle's runner is made of: the runner module and what it imports, nothing else."""

from pathlib import Path

from core.base.imports import Imports
from core.bundle.runner import RUNNER

ROOT = Path(__file__).resolve().parents[2]

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
    files = {f"{RUNNER}/{path.relative_to(ROOT).as_posix()}": path.read_bytes()
             for path in Imports(ROOT, ("core",), of_types=False).closure("core.bundle.runner")}
    return dict(sorted({f"{RUNNER}/__main__.py": MAIN.encode("utf-8"), **files}.items()))
