"""What a training prints is seen, whichever library asks mmcv for a logger meanwhile."""

import logging
import subprocess
import sys

from core.training.log import runner_logger

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


def test_mmcvs_listing_is_left_out_once_whatever_others_filter():
    logger, others = logging.getLogger("mmdet_compress.training"), bool
    logger.addFilter(others)
    try:
        for _ in range(2):
            runner_logger()
        listing = logging.makeLogRecord({"msg": "Hooks will be executed in the following order", "levelno": 20})
        assert len([each for each in logger.filters if each is not others]) == 1
        assert not logger.filter(listing)
    finally:
        logger.removeFilter(others)
