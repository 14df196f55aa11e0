"""What a training prints is seen, whichever library asks mmcv for a logger meanwhile."""

import subprocess
import sys

PROGRAM = """
from core.training.log import log_to_screen, runner_logger
log_to_screen()
import mmcv
mmcv.get_logger("some library")
mmcv.get_logger("mmcv").info("NormalInit: mean=0, std=0.01, bias=0")
runner_logger().info("Epoch [1][10/160]")
"""


def test_lines_of_the_runner_reach_the_screen_though_mmcv_silences_stream_handlers():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert "Epoch [1][10/160]" in done.stdout and "NormalInit" not in done.stdout
