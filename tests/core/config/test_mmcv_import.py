import subprocess
import sys
from pathlib import Path

import pytest


def test_importing_mmcv_says_nothing():
    done = subprocess.run([sys.executable, "-c", "from core.config.mmcv_import import import_mmcv as run; run(); "
                           "import sys; assert 'mmcv' in sys.modules"], capture_output=True, text=True,
                          cwd=Path(__file__).parents[3])
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("module", ["core.training.states", "core.training.refusals", "core.training.log"])
def test_what_resolve_imports_first_leaves_mmcv_to_be_imported_quietly(module):
    """Imported as any module, mmcv writes of machines that have a CUDA compiler and no GPU."""
    done = subprocess.run([sys.executable, "-c", f"import sys, {module}; print('mmcv' in sys.modules)"],
                          capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert (done.stdout, done.stderr) == ("False\n", "")
