"""NNCF comes in once, and a process that was killed while it did cannot hold up the next one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("nncf", reason="needs NNCF")

ROOT = Path(__file__).parents[3]


def test_a_lock_left_by_a_killed_import_does_not_hang_the_next_one(tmp_path):
    built = os.environ.get("TORCH_EXTENSIONS_DIR", "")
    if not list(Path(built).glob("*/*.so")):
        pytest.skip("NNCF's extensions are not built yet")
    shutil.copytree(built, tmp_path / "extensions")
    locks = [folder / "lock" for folder in (tmp_path / "extensions").iterdir() if folder.is_dir()]
    for lock in locks:
        lock.touch()

    code = "from core.compression.nncf_import import import_nncf; print(import_nncf().__name__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300,
                          env={**os.environ, "TORCH_EXTENSIONS_DIR": str(tmp_path / "extensions")})

    assert done.returncode == 0, done.stderr
    assert "nncf" in done.stdout
    assert not any(lock.exists() for lock in locks)
