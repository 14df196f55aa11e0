"""Load an MMDetection config: found, read as data, checked, changed by options."""

import importlib
import logging
import sys
from collections.abc import Iterator, Mapping
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.base.errors import UserError
from core.base.suggest import did_you_mean
from core.base.text import printable
from core.config.class_lists import with_class_lists
from core.config.data_only import SUFFIXES, config_files, read_config
from core.config.fingerprint import config_to_text
from core.config.keys import check_top_level
from core.config.mmcv_import import import_mmcv
from core.config.options import apply_options
from core.config.plain_data import plain_data
from core.config.python_text import NotData
from core.config.stored import fetch_config, is_stored

if TYPE_CHECKING:
    from mmcv import Config

logger = logging.getLogger(__name__)
REPOSITORY = Path(__file__).resolve().parents[2]
# What running a trusted config can raise for reasons that lie in the config.
_FAULTS_OF_CODE = (ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError, OSError,
                   RuntimeError, SyntaxError, TypeError, ValueError)


def load_config(path: str | Path, options: Mapping[str, Any] | None = None, trust: bool = False) -> "Config":
    """Return the mmcv Config of the file ``path`` with ``options`` applied.

    Args:
        path: A config file or its ``s3://`` location; a relative path is looked up below the repository first, then
            below the current folder.
        options: mmdet's ``--cfg-options`` as a dict of dotted keys.
        trust: Run the file as Python where it cannot be read as data, and import its ``custom_imports``; never one
            from storage.

    Raises:
        UserError: Whatever is wrong with the path, the text, its keys or the options.
    """
    import_mmcv()
    from mmcv import Config

    data = load_data(path, options, trust)
    # Without trust, load_data has refused the key.
    if data.get("custom_imports"):
        _import_custom_modules(data["custom_imports"], f"config {path}")
    return Config(data, cfg_text=config_to_text(data), filename=str(find_config(path)))


def load_data(path: str | Path, options: Mapping[str, Any] | None = None,
              trust: bool = False) -> dict[str, Any]:
    """Return the same values as :func:`load_config` as plain data; needs mmcv only where trusted code must run."""
    (file, root), thing = locate_config(path), f"config {path}"
    # A config from storage is data whatever is said: whoever can write there could run code here.
    trust = trust and not is_stored(path)
    try:
        data = read_config(file, root)
    except NotData:
        if not trust:
            raise
        data = _run(file, thing)
    check_top_level(data, thing)
    _check_required(data, thing)
    if options:
        data = plain_data(apply_options(data, options, thing), thing)
        _check_required(data, thing)
    data["data"] = with_class_lists(data["data"], file, root)
    if data.get("custom_imports") and not trust:
        modules, missing = _custom_modules(data["custom_imports"])
        absent = f" Not installed here: {missing}." if missing else ""
        install = f"Install {missing} and pass" if missing else "Pass"
        raise UserError(thing, f"custom_imports of {modules}" if modules else "custom_imports",
                        f"The config asks to import Python modules, which runs their code.{absent}",
                        f"{install} --trust-config where you trust the modules, or remove the key.")
    return data


def locate_config(path: str | Path) -> tuple[Path, Path | None]:
    """Return the config file that ``path`` names, absolute, and the folder that it must not read outside of, if any.

    Raises:
        UserError: There is none; names the nearest file.
    """
    if is_stored(path):
        return fetch_config(str(path))
    asked = Path(path).expanduser()
    places = [asked] if asked.is_absolute() else [REPOSITORY / asked, Path.cwd() / asked]
    try:
        for place in places:
            if place.is_file():
                return place, None
        neighbours = [file.name for place in places if place.parent.is_dir() for file in place.parent.iterdir()
                      if file.suffix in SUFFIXES]
    except OSError as error:
        raise UserError("config", f"{path!s:.200}", f"{error.strerror}.", "Check the path and its rights.") from error
    raise UserError("config", path, "There is no such file.",
                    did_you_mean(asked.name, neighbours, "Give a file below configs/ or a path of your own."))


def find_config(path: str | Path) -> Path:
    """Return the file of :func:`locate_config`."""
    return locate_config(path)[0]


def config_root(file: Path) -> Path:
    """Return the folder that usually holds the bases of ``file``, for a container that is to see them.

    It is the repository for its own files, else the outermost folder named ``configs`` above the file, as in
    MMDetection's own tree, else the file's folder.
    """
    if REPOSITORY in file.resolve().parents:
        return REPOSITORY
    named = [folder for folder in file.resolve().parents if folder.name == "configs"]
    return named[-1] if named else file.resolve().parent


def config_folders(file: Path) -> list[Path]:
    """Return the folders that a container must see to read a config of this machine: its root, and those of its bases.

    Of a config that cannot be read it is the root alone; resolve says what is wrong.
    """
    root = config_root(file)
    try:
        bases = config_files(file)
    except UserError:
        bases = ()
    outside = [base.parent for base in bases if root.resolve() not in base.parents]
    return list(dict.fromkeys([root, *outside]))


def pipelines(dataset: Any) -> Iterator[Any]:
    """Yield the pipelines of a dataset entry and of those that it wraps."""
    if isinstance(dataset, (list, tuple)):
        for item in dataset:
            yield from pipelines(item)
    elif isinstance(dataset, dict):
        if dataset.get("pipeline"):
            yield dataset["pipeline"]
        for key in ("dataset", "datasets"):
            yield from pipelines(dataset.get(key))


def _check_required(data: Mapping[str, Any], thing: str) -> None:
    rule = "An MMDetection config has a dict `model` with a type, and pipelines in data.train and data.test."
    model, section = data.get("model"), data.get("data")
    if not isinstance(model, dict) or not isinstance(model.get("type"), str):
        raise UserError(thing, "`model` or its `type` is missing", rule,
                        "Add it, or inherit a model from a `_base_` config.")
    for split in ("train", "test"):
        if not isinstance(section, dict) or not any(pipelines(section.get(split))):
            raise UserError(thing, f"`data.{split}` has no pipeline", rule,
                            "Add it, or inherit `data` from a `_base_` config.")


def _run(file: Path, thing: str) -> dict[str, Any]:
    from mmcv import Config

    try:
        # Not Config.fromfile: while models are built that one reads files as data (core.detectors.loaders).
        values, _ = Config._file2dict(str(file))
    except _FAULTS_OF_CODE as error:
        raise UserError(thing, f"{type(error).__name__}: {error}", "A trusted config is run as Python, and it failed.",
                        "Correct the config.") from error
    return plain_data(values, thing)


def _custom_modules(asked: Any) -> tuple[str, str]:
    """Return the modules that ``custom_imports`` names, and the packages of theirs that are not installed."""
    names = asked.get("imports") if isinstance(asked, Mapping) else None
    listed = [names] if isinstance(names, str) else names if isinstance(names, (list, tuple)) else []
    modules = [name for name in listed if isinstance(name, str)]
    # Not importlib.util.find_spec, which runs what it has to import on the way.
    missing = [name for name in dict.fromkeys(name.partition(".")[0] for name in modules) if name.isidentifier()
               and name not in sys.builtin_module_names and PathFinder.find_spec(name) is None]
    return printable(", ".join(modules)), printable(", ".join(missing))


def _import_custom_modules(asked: Any, thing: str) -> None:
    """Import as mmcv's import_modules_from_strings does, which is refused once models are built."""
    try:
        names, may_fail = asked["imports"], asked.get("allow_failed_imports", False)
        for name in [names] if isinstance(names, str) else names:
            try:
                importlib.import_module(name)
            except ImportError as error:
                if not may_fail:
                    raise
                logger.warning("custom_imports: %s is not imported: %s", name, error)
    except (AttributeError, ImportError, KeyError, TypeError, ValueError) as error:
        raise UserError(thing, f"custom_imports: {error}", "Its modules must be importable in this environment.",
                        "Install them there, or correct the key.") from error
