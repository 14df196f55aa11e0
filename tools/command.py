"""What the commands share: their options, and the config and data that they work with."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.base.cli import boolean
from core.base.errors import UserError
from core.config.stored import is_stored

if TYPE_CHECKING:
    from core.data.reference import DataRef

ROOT = Path(__file__).resolve().parents[1]
LATEST = "latest.pth"


def parser(name: str, description: str) -> argparse.ArgumentParser:
    """Return a command's parser with the options that all share."""
    made = argparse.ArgumentParser(prog=f"tools/{name}.py", description=description)
    made.add_argument("--data", metavar="LOCATION", default="", help="data set in the place of the config's own: a "
                      "folder, an archive, s3://bucket/prefix or builtin://digits")
    made.add_argument("--cfg-options", metavar="KEY=VALUE", nargs="+", default=[], help="changes to the config")
    made.add_argument("--trust-config", metavar="BOOL", type=boolean, nargs="?", const=True, default=False,
                      help="run a config that is more than data as Python, and import its custom_imports")
    # The launcher of several processes passes it, as to a stage.
    made.add_argument("--executor-input", default=None, help=argparse.SUPPRESS)
    return made


def show_our_lines() -> None:
    """Send our log lines to the screen, and Python's warnings nowhere: the libraries' are many and known."""
    import warnings

    from core.training.log import log_to_screen

    log_to_screen()
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


def let_children_import() -> None:
    """Let processes that are started from any folder import this project: ``python -m tools.train``."""
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if str(ROOT) not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), *paths]))


def read_config(path: str, options: Sequence[str], trust: bool) -> Any:
    """Return the mmcv Config of a file with the command line's options; errors as ``load_config``."""
    from core.config.loading import load_config
    from core.config.options import parse_options

    return load_config(_from_here(path), parse_options(list(options)), trust)


def resolve(config: Any, config_file: Path | None, location: str) -> "DataRef":
    """Check the data set at ``location``, or the config's own where it is empty.

    Raises:
        UserError: There is none, or it cannot be trained on.
    """
    from core.config.adapt import classes_of
    from core.data.dataset import resolve_data

    classes = classes_of(config) if config else ()
    if location:
        return resolve_data(location, classes=classes, keep_order=False)
    from core.data.from_config import resolve_config_data

    return resolve_config_data(config, config_file, classes)


def work_dir_of(given: str, config: Any, config_file: str) -> Path:
    """Return the folder to write to: the command line's, else the config's, else one named after the config.

    A config from storage does not choose where on this machine is written.
    """
    own = None if is_stored(config_file) else config.get("work_dir")
    return Path(given or own or Path("work_dirs") / Path(config_file).stem)


@dataclass(frozen=True)
class Source:
    """A model that a command is given.

    Attributes:
        config: The config it is read with, None for the checkpoint's own.
        config_file: Where that lies; for a checkpoint by itself the config that its training left beside it, if any.
    """

    checkpoint: Path
    config: Any
    config_file: Path | None


def find_source(names: Sequence[str], arguments: argparse.Namespace) -> Source:
    """Return what a command is given: a config, a checkpoint, or both as to MMDetection's own commands.

    A config alone stands for the newest checkpoint in its work_dir.

    Raises:
        UserError: They are neither, or there is no checkpoint.
    """
    config_file = next((name for name in names if not name.endswith(".pth")), None)
    checkpoint = next((name for name in names if name.endswith(".pth")), None)
    if len(names) > 1 and (config_file is None or checkpoint is None):
        raise UserError("arguments", " ".join(names), "They are a config, a checkpoint (.pth), or one of each.",
                        "Give such.")
    if config_file is None:
        return Source(Path(checkpoint), None, _config_beside(Path(checkpoint)))
    config = read_config(config_file, arguments.cfg_options, arguments.trust_config)
    found = Path(checkpoint) if checkpoint else work_dir_of("", config, config_file) / LATEST
    if not found.is_file():
        raise UserError("checkpoint", found, "There is no such file.", "Train first (tools/train.py), or name it.")
    return Source(found, config, Path(_from_here(config_file)))


def open_model(source: Source) -> Any:
    """Return the RestoredDetector of a source: from its config, and compression from the checkpoint itself.

    Raises:
        UserError: The checkpoint does not fit the config, or carries none and there is none.
    """
    from core.checkpoint.checkpoint import load_checkpoint
    from core.detectors.building import build_detector
    from core.training.model import RestoredDetector, load_plain_weights, restore_detector
    from core.training.weights import without_copies

    if source.config is None:
        return restore_detector(source.checkpoint)
    given = without_copies(load_checkpoint(source.checkpoint))
    if given.compression is not None:
        return restore_detector(source.checkpoint)
    config = source.config
    if given.classes:
        from core.config.adapt import set_classes

        set_classes(config, given.classes)
    detector = build_detector(config)
    load_plain_weights(detector, given, source.checkpoint)
    return RestoredDetector(detector.eval(), detector, config, None, given)


def test_data(source: Source, arguments: argparse.Namespace) -> "DataRef":
    """Return the data set to test on: that of ``--data``, else the config's own.

    Raises:
        UserError: There is neither.
    """
    config, file = source.config, source.config_file
    if config is None and file is not None:
        config = read_config(str(file), (), arguments.trust_config)
    if config is None and not arguments.data:
        raise UserError("data", "none", f"No config lies beside {source.checkpoint}, so its data are not known.",
                        "Give the config, too, or --data.")
    return resolve(config or {}, file, arguments.data)


def _config_beside(checkpoint: Path) -> Path | None:
    found = sorted(checkpoint.absolute().parent.glob("*.py"))
    return found[0] if len(found) == 1 else None


def _from_here(path: str) -> str:
    """Return a config's path as MMDetection takes it: from the current folder, before the project's own configs."""
    return str(Path(path).absolute()) if "://" not in path and Path(path).is_file() else path
