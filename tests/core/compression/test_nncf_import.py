"""NNCF comes in once, and a process that was killed while it did cannot hold up the next one."""

import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from core.compression.nncf_import import EXTENSIONS_VARIABLE, import_nncf

ROOT = Path(__file__).parents[3]


IMPORT = "from core.compression.nncf_import import import_nncf; print(import_nncf().__name__)"
# SIGKILL while torch's lock is held: nothing of the process can clean up.
DIE = """
import os, signal
from torch.utils.file_baton import FileBaton
FileBaton.release = lambda self: os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def run(tmp_path):
    """Return a function that runs code with a copy of NNCF's built extensions."""
    built = os.environ.get("TORCH_EXTENSIONS_DIR", "")
    if not list(Path(built).glob("*/*.so")):
        pytest.skip("NNCF's extensions are not built yet")
    shutil.copytree(built, tmp_path / "extensions")
    environment = {**os.environ, "TORCH_EXTENSIONS_DIR": str(tmp_path / "extensions")}
    return lambda code: subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
                                       timeout=300, env=environment)


def test_an_import_that_was_killed_does_not_hang_the_next_one(run, tmp_path):
    killed = run(DIE + IMPORT)
    assert killed.returncode == -signal.SIGKILL
    assert list((tmp_path / "extensions").glob("*/lock")), "the killed process must have left torch's lock"

    done = run(IMPORT)

    assert done.returncode == 0, done.stderr
    assert "nncf" in done.stdout
    assert not list((tmp_path / "extensions").glob("*/lock"))


def import_from(folder):
    code = "from core.compression.nncf_import import import_nncf; print(import_nncf().__name__)"
    # Neither ninja nor a compiler is on this PATH, and nothing may be written.
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300,
                          env={"PATH": "/nowhere", EXTENSIONS_VARIABLE: str(folder), "HOME": "/nowhere"})


def test_prebuilt_extensions_need_no_compiler(tmp_path):
    built = [*Path(os.environ.get("TORCH_EXTENSIONS_DIR", "/nowhere")).glob("*/*.so")]
    if not built:
        pytest.skip("NNCF's extensions are not built yet")
    for library in built:
        shutil.copy(library, tmp_path / library.name)
    done = import_from(tmp_path)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["nncf"]), done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(library.name for library in built)


def test_missing_prebuilt_extension_is_a_user_error(tmp_path):
    done = import_from(tmp_path)
    assert done.returncode == 1
    assert re.search(r"UserError: NNCF.s extension: \w+_functions_cpu\. It must be in ", done.stderr)


def test_nncf_does_not_warn_of_mmcv_s_data_parallel_wrapper(monkeypatch):
    # What other libraries say when they are imported first is not looked at.
    import_nncf()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        import_nncf()
        from nncf.torch.dynamic_graph import wrappers
        monkeypatch.setattr(wrappers._warn_data_parallel, "warned_once", False, raising=False)
        wrappers._warn_data_parallel()
    assert [str(warning.message) for warning in seen] == []


def test_what_nncf_says_of_every_model_is_left_out_and_other_warnings_are_not():
    import_nncf()
    kept = len(logging.getLogger("nncf").filters)
    import_nncf()
    assert len(logging.getLogger("nncf").filters) == kept
    said = ("NNCFNetwork(...)", "The saturation issue fix will be applied. Now", "Something of this model alone")
    records = [logging.makeLogRecord({"msg": text, "levelno": logging.WARNING}) for text in said]
    assert [record.msg for record in records if logging.getLogger("nncf").filter(record)] == [said[-1]]
