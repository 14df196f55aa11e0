import subprocess
import sys
from pathlib import Path


def test_importing_mmcv_says_nothing():
    done = subprocess.run([sys.executable, "-c", "from core.config.mmcv_import import import_mmcv as run; run(); "
                           "import sys; assert 'mmcv' in sys.modules"], capture_output=True, text=True,
                          cwd=Path(__file__).parents[3])
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
