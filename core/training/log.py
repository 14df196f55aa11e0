"""Where a training writes what it does: lines for people, and JSON lines for reports, as MMDetection writes them."""

import json
import logging
import sys
import warnings
from pathlib import Path

from core.checkpoint.versions import versions
from core.config.mmcv_import import import_mmcv
from core.training.distributed import first_rank
from core.training.settings import Length

OURS = ("core", "mmdet_compress")
_RUNNER = "mmdet_compress.training"
_FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"


def write_head(log_file: Path, length: Length | None, iters_per_epoch: int = 0, seed: int = 0) -> None:
    """Begin a log of JSON lines with a line of mode ``env``; without a length nothing is trained."""
    epochs, iterations = (0, 0) if length is None else (length.number, 0) if length.by_epoch else (0, length.number)
    log_file.parent.mkdir(parents=True, exist_ok=True)
    log_file.write_text(json.dumps({"mode": "env", "epochs": epochs, "iterations": iterations,
                                    "iters_per_epoch": iters_per_epoch, "seed": seed, "versions": versions()}) + "\n")


def runner_logger(level: str = "INFO") -> logging.Logger:
    """Return the runner's logger without mmcv's listing of every hook at every moment."""
    logger = logging.getLogger(_RUNNER)
    logger.addFilter(_is_no_listing)
    logger.setLevel(level if first_rank() else "WARNING")
    return logger


def _is_no_listing(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(("Hooks will be executed", "workflow:"))


class Screen(logging.StreamHandler):
    """Writes to standard output; a class of its own, since mmcv silences root's plain stream handlers.

    mmcv.utils.get_logger sets those to ERROR whenever a library asks for a logger (mmcv/utils/logging.py).
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line is for the screen: ours, warnings, and of NNCF, which warns of its defaults, errors."""
        # Not by the loggers' levels: mmcv reports the initialisation of every parameter, and sets its level again.
        first = record.name.split(".")[0]
        wanted = first in OURS or record.levelno >= (logging.ERROR if first == "nncf" else logging.WARNING)
        return wanted and super().filter(record)


def log_to_screen() -> None:
    """Send our own and the runner's log lines to standard output, once."""
    import_mmcv()
    root = logging.getLogger()
    if not root.handlers:
        handler = Screen(sys.stdout)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        root.addHandler(handler)
    for name in OURS:
        logging.getLogger(name).setLevel(logging.INFO if first_rank() else logging.WARNING)


def log_to_file(file: Path) -> None:
    """Write everything to ``file``, and Python's warnings nowhere else: the libraries' are many and known."""
    handler = logging.FileHandler(file)
    handler.setFormatter(logging.Formatter(_FORMAT))
    root = logging.getLogger()
    for screen in root.handlers:
        screen.addFilter(lambda record: record.name != "py.warnings")
    root.addHandler(handler)
    logging.captureWarnings(True)
    warnings.simplefilter("default")
